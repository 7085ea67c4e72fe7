"""`cape` reaches its host directly, whatever proxy the environment names; and goes nowhere else than it was told."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.proxies import RecordingProxy, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fake_cape_host import FakeCapeHost

NAME = "cape.example"
"""Of another machine, as far as the command knows."""

SOCKET, REST = ("get-pcrs",), ("list",)


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as proxy:
        yield proxy


@pytest.fixture
def elsewhere(ada: Callable[..., Any], host: FakeCapeHost, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host under the name of another machine."""
    genuine = socket.getaddrinfo

    def getaddrinfo(name: Any, *arguments: Any, **options: Any) -> Any:
        return genuine("127.0.0.1" if name == NAME else name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return f"http://{NAME}:{host.port}"


@pytest.mark.parametrize("argv", [SOCKET, REST])
@pytest.mark.parametrize("upper", [False, True], ids=["lower case", "upper case"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_environments_proxy_is_not_used(
    where: str, upper: bool, argv: tuple[str, ...], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, host, proxy = (request.getfixturevalue(name) for name in ("ada", "host", "proxy"))
    url = host.url if where == "here" else request.getfixturevalue("elsewhere")
    for name, value in naming(proxy.url, upper=upper).items():
        monkeypatch.setenv(name, value)
    outcome = ada(*argv, "-u", url)
    assert proxy.heads == []
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("argv", [SOCKET, REST])
@pytest.mark.parametrize("asked", ["flag", "environment", "env"])
def test_one_that_is_asked_for_is_a_tunnel_for_tls(
    asked: str, argv: tuple[str, ...], ada: Callable[..., Any], proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {"flag": ("--proxy", proxy.url), "environment": (), "env": ("--proxy", "env")}[asked]
    if asked == "environment":
        monkeypatch.setenv("BLINDSIGHT_PROXY", proxy.url)
    monkeypatch.setenv("https_proxy", proxy.url if asked == "env" else "http://127.0.0.1:1")
    outcome = ada(*argv, "-u", f"https://{NAME}", *flags)
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"CONNECT cape.example:443 HTTP/1.1"]
    assert outcome.status == 1
    assert f"https://{NAME} cannot be reached" in outcome.err


@pytest.mark.parametrize("argv", [SOCKET, REST])
def test_and_sees_no_token_in_the_clear(argv: tuple[str, ...], ada: Callable[..., Any], proxy: RecordingProxy) -> None:
    for scheme in ("http", "ws"):
        outcome = ada(*argv, "-u", f"{scheme}://{NAME}", "--proxy", proxy.url)
        assert outcome.status == 1
        assert "the proxy could read tokens and results: " in outcome.err
    assert proxy.heads == []


@pytest.mark.parametrize("argv", [SOCKET, REST])
@pytest.mark.parametrize("proxy_url", ["socks5://127.0.0.1:1", "gopher://h:1", "http://user:pw@:b", "http://pw@h:1/pw"])
def test_an_unusable_one_is_said(argv: tuple[str, ...], proxy_url: str, ada: Callable[..., Any]) -> None:
    outcome = ada(*argv, "-u", f"https://{NAME}", "--proxy", proxy_url)
    assert outcome.status == 1
    assert "the proxy cannot be used" in outcome.err or "cannot be reached" in outcome.err
    assert "pw" not in outcome.err


@pytest.fixture
def redirecting(host: FakeCapeHost) -> Iterator[str]:
    """A host that sends everyone to the other one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{host.url.replace('http', 'ws')}{self.path}")
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


@pytest.mark.parametrize("argv", [SOCKET, REST])
def test_a_redirect_takes_no_token_elsewhere(
    argv: tuple[str, ...], ada: Callable[..., Any], host: FakeCapeHost, redirecting: str
) -> None:
    host.sockets.clear()
    host.requests.clear()
    outcome = ada(*argv, "-u", redirecting)
    assert (host.sockets, host.requests) == ([], [])
    assert outcome.status == 1
    assert "302" in outcome.err
