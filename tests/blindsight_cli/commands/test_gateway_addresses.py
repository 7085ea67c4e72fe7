"""Where each command looks for the gateway, and what it says of an address that is none."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import blindsight
from tests.support.processes import environment
from tests.support.wire import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def with_url(folder: Path, url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "blindsight_cli.main", *map(str, arguments)],
        cwd=folder, env={**environment(folder, {"url": url}), "COLUMNS": "400"}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["attest", "attest verify"])
def test_attest_reads_the_address_of_the_environment(tiny_stack: Stack, tmp_path: Path, command: str) -> None:
    options = ("--policy", tiny_stack.policy_file)
    done = with_url(tmp_path, tiny_stack.gateway.url, *command.split(), *options)
    assert done.returncode == 0, done.stderr
    nothing = f"http://127.0.0.1:{free_port()}"
    assert with_url(tmp_path, nothing, *command.split(), tiny_stack.gateway.url, *options).returncode == 0


def test_doctor_reads_it(tiny_stack: Stack, tmp_path: Path) -> None:
    assert f"ready at {tiny_stack.gateway.url}" in with_url(tmp_path, tiny_stack.gateway.url, "doctor").stdout


def test_the_hostile_gateway_reads_it(tmp_path: Path) -> None:
    nothing = f"http://127.0.0.1:{free_port()}"
    assert f"{nothing} does not answer" in with_url(tmp_path, nothing, "demo", "evil-gateway").stderr


COMMANDS = {
    "attest": ("attest", "{url}"),
    "classify": ("classify", "--url", "{url}", "absent.png"),
    "doctor": ("doctor", "--url", "{url}"),
    "hardware-report": ("hardware-report", "--out", "report.json", "--url", "{url}"),
    "with-local-trust": ("with-local-trust", "--url", "{url}", "true"),
    "demo": ("demo", "evil-gateway", "--url", "{url}"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_address_without_a_scheme(tiny_stack: Stack, tmp_path: Path, command: tuple[str, ...]) -> None:
    policy = tmp_path / ".blindsight" / "policy.json"
    policy.parent.mkdir(mode=0o700)
    policy.write_bytes(tiny_stack.policy_file.read_bytes())
    done = blindsight(tmp_path, *(each.format(url="localhost:18400") for each in command))
    assert done.returncode == 1
    assert "localhost:18400 is not an address of a gateway" in done.stderr
    scheme = "https" if command[0] == "with-local-trust" else "http"
    assert f"{scheme}://localhost:18400" in done.stderr


@pytest.mark.parametrize("url", ["ftp://localhost", "http://", "http://a:b", ""])
def test_other_texts_that_are_none(tmp_path: Path, url: str) -> None:
    done = blindsight(tmp_path, "attest", url)
    assert done.returncode == 1
    assert "is not an address of a gateway" in done.stderr
    assert "begins with http:// or https://" in done.stderr
