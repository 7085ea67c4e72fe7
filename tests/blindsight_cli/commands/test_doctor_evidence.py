"""`blindsight doctor` on evidence: what is there, not what could be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command import blindsight
from tests.support.wire import free_port

if TYPE_CHECKING:
    from tests.support.stack import Stack


def rows(folder: Path, *arguments: object) -> dict[str, str]:
    """What is said of each check, without its mark."""
    done = blindsight(folder, "doctor", *arguments)
    assert "Traceback" not in done.stderr
    lines = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith(("ok", "mend"))]
    return {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines}


def test_the_kind_is_that_of_the_gateways_enclave(tiny_stack: Stack, tmp_path: Path) -> None:
    said = rows(tmp_path, "--url", tiny_stack.gateway.url)["evidence"]
    assert said.startswith("SIMULATED ENCLAVE")
    assert "the gateway reads its enclave's" in said


def test_where_nothing_runs_only_the_device_is_told_of(tmp_path: Path) -> None:
    """A device file, or none, says nothing of an enclave that could run elsewhere."""
    said = rows(tmp_path, "--url", f"http://127.0.0.1:{free_port()}")
    assert "evidence" not in said
    assert said["security module"].startswith("/dev/nsm is here" if Path("/dev/nsm").exists() else "no /dev/nsm here")
    assert "simulated" not in said["security module"].lower()
