"""No photo goes through a proxy by accident: the `blindsight` command, with a proxy that takes down what it gets."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindsight_cli import deployment, localca
from tests.blindsight_cli.commands.conftest import CLASS
from tests.support.models import label_of
from tests.support.names import leading_here
from tests.support.processes import environment
from tests.support.proxies import RecordingProxy, naming, without_proxies
from tests.support.wire import Recorder, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.stack import Stack

NAME = "photos.example"
"""Of another machine, as far as the command knows."""


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as proxy:
        yield proxy


def blindsight(
    folder: Path, *arguments: object, changes: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command where `NAME` leads to this machine."""
    variables = without_proxies(environment(folder))
    path = f"{leading_here(folder / 'names', NAME)}:{variables['PYTHONPATH']}"
    return subprocess.run(
        [sys.executable, "-m", "blindsight_cli.main", *map(str, arguments)],
        cwd=folder,
        env={**variables, "PYTHONPATH": path, "COLUMNS": "200", **(changes or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("lane", [(), ("--sealed",)], ids=["plain", "sealed"])
@pytest.mark.parametrize("upper", [False, True], ids=["lower case", "upper case"])
def test_the_environments_proxy_sees_no_photo(
    upper: bool, lane: tuple[str, ...], tiny_stack: Stack, photo: Path, tmp_path: Path
) -> None:
    """The proxy would pass everything on, so that a command which used it would not even notice."""
    with Recorder(tiny_stack.gateway.port) as recorder:
        variables = naming(f"http://127.0.0.1:{recorder.port}", upper=upper)
        policy = ("--policy", tiny_stack.policy_file) if lane else ()
        arguments = ("--url", tiny_stack.gateway.url, *policy, *lane, photo)
        done = blindsight(tmp_path, "classify", *arguments, changes=variables)
        assert recorder.streams() == []
    assert done.returncode == 0, done.stderr
    assert label_of(CLASS) in done.stdout


@pytest.mark.parametrize("asked", ["--proxy", "BLINDSIGHT_PROXY", "env"])
def test_this_machine_is_reached_directly_whatever_is_asked_for(
    asked: str, proxy: RecordingProxy, photo: Path, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    options = {
        "--proxy": (("--proxy", proxy.url), {}),
        "BLINDSIGHT_PROXY": ((), {"BLINDSIGHT_PROXY": proxy.url}),
        "env": (("--proxy", "env"), naming(proxy.url)),
    }
    arguments, variables = options[asked]
    done = blindsight(tmp_path, "classify", "--url", url, *arguments, photo, changes=variables)
    assert proxy.heads == []
    assert done.returncode == 1
    assert f"error: {url} does not answer (ConnectError)" in done.stderr


@pytest.mark.parametrize("asked", ["--proxy", "BLINDSIGHT_PROXY", "env"])
def test_a_proxy_gets_no_photo_in_the_clear_even_if_asked_for(
    asked: str, proxy: RecordingProxy, photo: Path, tmp_path: Path
) -> None:
    options = {
        "--proxy": (("--proxy", proxy.url), {}),
        "BLINDSIGHT_PROXY": ((), {"BLINDSIGHT_PROXY": proxy.url}),
        "env": (("--proxy", "env"), naming(proxy.url)),
    }
    arguments, variables = options[asked]
    done = blindsight(tmp_path, "classify", "--url", f"http://{NAME}", *arguments, photo, changes=variables)
    assert proxy.heads == []
    assert (done.returncode, done.stdout) == (1, "")
    said, following = done.stderr.splitlines()
    assert said == f"error: the proxy could read the photos: http://{NAME} is not encrypted [plain_through_proxy]"
    assert following.startswith("next:  ")
    assert "--sealed" in following


def test_nor_an_api_token(proxy: RecordingProxy, tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    arguments = ("--sealed", "--policy", tiny_stack.policy_file, "--url", f"http://{NAME}", "--proxy", proxy.url)
    done = blindsight(tmp_path, "classify", *arguments, photo, changes={"BLINDSIGHT_TOKEN": "secret"})
    assert proxy.heads == []
    assert done.returncode == 1
    assert f"error: the proxy could read the API token: http://{NAME} is not encrypted" in done.stderr
    assert "secret" not in done.stderr


def test_sealed_photos_go_through_a_proxy_that_was_asked_for(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    with tiny_stack.another_gateway(hosts=NAME) as gateway, Recorder(gateway.port) as recorder:
        proxy = f"http://127.0.0.1:{recorder.port}"
        arguments = ("--sealed", "--policy", tiny_stack.policy_file, "--url", f"http://{NAME}", "--proxy", proxy)
        done = blindsight(tmp_path, "classify", *arguments, photo)
        recording = b"".join(recorder.streams())
    assert done.returncode == 0, done.stderr
    assert label_of(CLASS) in done.stdout
    assert b"POST http://photos.example/classify" in recording
    assert photo.read_bytes() not in recording


def test_https_goes_through_it_as_a_tunnel(proxy: RecordingProxy, photo: Path, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "classify", "--url", f"https://{NAME}", "--proxy", proxy.url, photo)
    assert {head.split(b"\r\n")[0] for head in proxy.heads} == {b"CONNECT photos.example:443 HTTP/1.1"}
    assert done.returncode == 1
    assert "does not answer (ProxyError)" in done.stderr


def test_exceptions_of_the_environment_count_with_it(proxy: RecordingProxy, photo: Path, tmp_path: Path) -> None:
    variables = {**naming(proxy.url), "no_proxy": NAME}
    url = f"https://{NAME}:{free_port()}"
    done = blindsight(tmp_path, "classify", "--url", url, "--proxy", "env", photo, changes=variables)
    assert proxy.heads == []
    assert "does not answer (ConnectError)" in done.stderr


@pytest.mark.parametrize("command", ["attest", "doctor"])
def test_the_other_commands_do_the_same(command: str, proxy: RecordingProxy, tiny_stack: Stack, tmp_path: Path) -> None:
    url = tiny_stack.gateway.url
    arguments = {
        "attest": ("attest", url, "--policy", tiny_stack.policy_file),
        "doctor": ("doctor", "--url", url, "--state", tmp_path),
    }[command]
    done = blindsight(tmp_path, *arguments, changes=naming(proxy.url))
    assert proxy.heads == []
    assert url in done.stdout or "10. Freshness     passed" in done.stdout
    elsewhere = [f"https://{NAME}" if argument == url else argument for argument in arguments]
    blindsight(tmp_path, *elsewhere, "--proxy", proxy.url)
    assert {head.split(b"\r\n")[0] for head in proxy.heads} == {b"CONNECT photos.example:443 HTTP/1.1"}


def test_doctor_connects_to_no_certificate_past_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refused(address: object, *_: object) -> None:
        asked.append(address)
        raise OSError

    monkeypatch.setattr(deployment.socket, "create_connection", refused)
    now = datetime.now(UTC)
    deployment.of_tls(f"https://{NAME}", tmp_path, now, "http://proxy.example:3128")
    assert asked == []
    deployment.of_tls("https://localhost", tmp_path, now, "http://proxy.example:3128")
    deployment.of_tls(f"https://{NAME}", tmp_path, now)
    assert asked == [("localhost", 443), (NAME, 443)]


@pytest.mark.parametrize("proxy_url", ["socks5://127.0.0.1:1", "http://a:pw@:b"])
def test_an_unusable_proxy_counts_only_if_asked_for(
    proxy_url: str, tiny_stack: Stack, photo: Path, tmp_path: Path
) -> None:
    variables = naming(proxy_url)
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, photo, changes=variables)
    assert done.returncode == 0, done.stderr
    done = blindsight(tmp_path, "classify", "--url", f"https://{NAME}", "--proxy", proxy_url, photo)
    assert done.returncode == 1
    assert "[proxy_unusable]" in done.stderr
    assert "next:  " in done.stderr
    assert "pw" not in done.stderr
    assert "Traceback" not in done.stderr


def test_photos_in_the_clear_across_a_network_are_warned_of(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    with tiny_stack.another_gateway(hosts=NAME) as gateway:
        url = f"http://{NAME}:{gateway.port}"
        done = blindsight(tmp_path, "classify", "--url", url, photo)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        f"WARNING: {url} is not encrypted: everyone between here and there can read the photos. "
        "Use an https:// address, or --sealed."
    )
    for arguments in (
        ("--url", tiny_stack.gateway.url),
        ("--url", url, "--sealed", "--policy", tiny_stack.policy_file),
    ):
        assert "WARNING" not in blindsight(tmp_path, "classify", *arguments, photo).stderr


def test_ssl_cert_file_names_the_authorities(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    tls, port = localca.ensure(tmp_path / "tls", ["localhost"]), free_port()
    with tiny_stack.another_gateway(tls_port=port, tls_certificate=tls.certificate, tls_key=tls.key):
        arguments = ("classify", "--url", f"https://localhost:{port}", photo)
        refused = blindsight(tmp_path, *arguments)
        done = blindsight(tmp_path, *arguments, changes={"SSL_CERT_FILE": str(tls.ca)})
    assert "certificate is not trusted here" in refused.stderr
    assert done.returncode == 0, done.stderr
