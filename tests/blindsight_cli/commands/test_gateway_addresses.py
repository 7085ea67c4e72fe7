"""Where each command looks for the gateway, and what it says of an address that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from blindsight.client import addresses
from blindsight_cli.main import app
from tests.support import preloaded
from tests.support.command import blindsight
from tests.support.processes import environment
from tests.support.wire import free_port

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.stack import Stack


def with_url(folder: Path, url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    variables = {**environment(folder, {"url": url}), "COLUMNS": "400"}
    return preloaded.run_text("blindsight_cli.main", arguments, cwd=folder, env=variables)


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


ODD = {
    "": ("it is empty", None),
    "http://": ("it has no host", None),
    "http:///host:8000": ("it has no host", "http://host:8000"),
    "http://:8000": ("it has no host", None),
    "http://http://localhost:8000": ("it has two schemes", "http://localhost:8000"),
    "http://https//localhost": ("it has two schemes", "https://localhost"),
    "http:/localhost:8000": ("are not parted by ://", "http://localhost:8000"),
    "https//localhost": ("are not parted by ://", "https://localhost"),
    "http:localhost": ("are not parted by ://", "http://localhost"),
    "ftp://localhost": ("its scheme is ftp", "http://localhost"),
    "ws://localhost:8000": ("its scheme is ws", "http://localhost:8000"),
    "ftp://http://localhost": ("its scheme is ftp", "http://localhost"),
    "http://a:b": ("its port is b, and ports are numbers from 1 to 65535", None),
    "http://localhost:99999": ("its port is 99999, and ports are numbers from 1 to 65535", None),
    "http://localhost:0": ("its port is 0, and ports are numbers from 1 to 65535", None),
    "http://[::1]:99999": ("its port is 99999", None),
    "localhost:99999": ("it has no scheme", None),
    "http://localhost:8000/?top_k=3": ("it has a query", "http://localhost:8000/"),
    "http://localhost:8000/ml?a#b": ("it has a fragment", "http://localhost:8000/ml"),
    "http://localhost:8000#top": ("it has a fragment", "http://localhost:8000"),
    " http://localhost:8000": ("it has blanks", "http://localhost:8000"),
    "http://local host": ("it has blanks", "http://localhost"),
    "http://[::1": ("its host cannot be read", None),
}
"""What is wrong with each, and what is proposed in its place."""


@pytest.mark.parametrize("url", ODD)
def test_other_texts_that_are_none(url: str) -> None:
    reason, proposed = ODD[url]
    done = CliRunner().invoke(app, ["attest", url])
    error, step = done.stderr.splitlines()
    assert (done.exit_code, error) == (1, f"error: {url} is not an address of a gateway: {error.rpartition(': ')[2]}")
    assert reason in error
    assert step.startswith("next:  check URL: an address begins with http:// or https://, as in ")
    assert step.endswith(f" {proposed or 'http://localhost:8000'}")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_tells_them(tiny_stack: Stack, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Not that there is nothing at an address that was mistyped."""
    for url, (reason, _) in (each for each in ODD.items() if each[0].startswith("http://http://")):
        done = blindsight(tmp_path, *(word.format(url=url) for word in command))
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost", "HTTP://localhost:8000/", "https://classify.example.org/ml", "http://[::1]:8000",
        "http://user:word@proxy.example:65535", "https://xn--zrich-kva.example", "http://z\xfcrich.example:1/",
    ],
)  # fmt: skip
def test_addresses_that_are_some(url: str) -> None:
    assert addresses.fault(url) is None


def test_a_file_is_no_gateway(tmp_path: Path) -> None:
    """Of a kept document, `attest` has another command."""
    (tmp_path / "kept.cbor").write_bytes(b"x")
    done = blindsight(tmp_path, "attest", "kept.cbor")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: kept.cbor is a file, and no gateway")
    assert "`blindsight attest diff`" in done.stderr
    assert "http://kept.cbor" not in done.stderr
