"""Log lines on a disk that is full for a while: only the line that was cut is lost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

_SAYING = """
import logging, sys
from {module} import {name}
{call}
log = logging.getLogger("{logger}")
for _ in sys.stdin:
    log.info("said")
    print(flush=True)
"""
UNITS = {
    "gateway": ("gateway.log", "configure", "configure()"),
    "enclave": ("enclave_runtime.serve", "_log_as_json", "_log_as_json()"),
}


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("unit", UNITS)
def test_a_line_that_a_full_disk_cut_spoils_no_other(tmp_path: Path, unit: str, unbuffered: bool) -> None:
    module, name, call = UNITS[unit]
    log = tmp_path / "log"
    script = _SAYING.format(module=module, name=name, call=call, logger=module)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *(["-u"] if unbuffered else []), "-c", script], cwd=tmp_path, env=environment(tmp_path),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def say() -> None:
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()

        say()
        whole = log.stat().st_size
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (whole + 3, hard))
        say()
        say()
        assert log.stat().st_size == whole + 3, "the limit cuts the line"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        say()
        say()
        process.communicate(timeout=30)
    lines = log.read_text().splitlines()
    events = [json.loads(line)["event"] for index, line in enumerate(lines) if index != 1]
    assert events == ["said"] * 3
    assert lines[1] == lines[0][:3]
