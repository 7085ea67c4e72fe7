"""`Client` and `AsyncClient` in a script of a user's, with a proxy in the environment that takes down what it gets."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blindsight import Client
from blindsight.errors import BlindsightError
from tests.support.processes import environment
from tests.support.proxies import RecordingProxy, naming, without_proxies
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blindsight.client.fake_gateway import FakeGateway

SCRIPT = """
    import asyncio, json, sys
    from pathlib import Path
    from blindsight import AsyncClient, Client
    kind, url, policy = sys.argv[1:]
    if kind == "Client":
        with Client(url, policy=Path(policy)) as client:
            answer = client.classify(b"a photo")
    else:
        async def ask():
            async with AsyncClient(url, policy=Path(policy)) as client:
                return await client.classify(b"a photo")
        answer = asyncio.run(ask())
    print(answer.predictions[0].label)
"""


class Served:
    """The fake gateway on a socket of this machine. `headers` are those of the requests that came."""

    def __init__(self, gateway: FakeGateway) -> None:
        served = self
        self.gateway = gateway
        self.headers: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                served.headers.append({name.lower(): value for name, value in self.headers.items()})
                request = httpx2.Request(
                    self.command, f"http://gateway{self.path}", content=content, headers=list(self.headers.items())
                )
                answer = gateway.handle(request)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_GET  # noqa: N815 -- the library's name

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Served:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()


@pytest.fixture
def served(gateway: FakeGateway) -> Iterator[Served]:
    with Served(gateway) as served:
        yield served


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as proxy:
        yield proxy


def run(folder: Path, served: Served, kind: str, variables: dict[str, str]) -> Any:
    script, policy = folder / "script.py", folder / "policy.json"
    script.write_text(textwrap.dedent(SCRIPT))
    policy.write_text(served.gateway.policy.to_json())
    return subprocess.run(
        [sys.executable, script, kind, served.url, policy],
        env={**without_proxies(environment(folder)), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("upper", [False, True], ids=["lower case", "upper case"])
def test_the_environments_proxy_sees_no_request(
    upper: bool, kind: str, served: Served, proxy: RecordingProxy, tmp_path: Path
) -> None:
    done = run(tmp_path, served, kind, naming(proxy.url, upper=upper))
    assert proxy.heads == []
    assert done.stdout == "golden retriever\n", done.stderr


def test_passwords_of_netrc_go_nowhere(served: Served, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    netrc.chmod(0o600)
    done = run(tmp_path, served, "Client", {"HOME": str(tmp_path), "NETRC": str(netrc)})
    assert done.stdout == "golden retriever\n", done.stderr
    assert not any("authorization" in headers for headers in served.headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_photo_elsewhere(
    status: int, gateway: FakeGateway, served: Served, proxy: RecordingProxy
) -> None:
    gateway.tricks["/classify"] = lambda _: httpx2.Response(status, headers={"location": f"{proxy.url}/classify"})
    with Client(served.url, policy=gateway.policy) as client, pytest.raises(BlindsightError) as caught:
        client.classify(b"a photo")
    assert caught.value.code == "unexpected_answer"
    assert proxy.heads == []


def refusal(caller: Any, url: str, **options: Any) -> str:
    """The code with which a client of either kind is refused when it is made or used."""
    with pytest.raises(BlindsightError) as caught:
        caller.client(url, transport=None, **options).verify()
    return caught.value.code


def test_a_proxy_that_is_asked_for(caller: Any, proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(caller, "https://gateway.example", proxy=proxy.url) == "unreachable"
    for name, value in naming(proxy.url).items():
        monkeypatch.setenv(name, value)
    assert refusal(caller, "https://gateway.example", proxy="env") == "unreachable"
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"CONNECT gateway.example:443 HTTP/1.1"] * 2


def test_is_not_one_for_this_machine(caller: Any, proxy: RecordingProxy) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]", "127.1", "LocalHost.", "a.localhost"):
        assert refusal(caller, f"http://{host}:{free_port()}", proxy=proxy.url) == "unreachable"
    assert proxy.heads == []


def test_sees_what_is_sealed_and_no_token(caller: Any, proxy: RecordingProxy) -> None:
    assert refusal(caller, "http://gateway.example", proxy=proxy.url, api_token="secret") == "plain_through_proxy"
    assert proxy.heads == []
    assert refusal(caller, "http://gateway.example", proxy=proxy.url) == "unavailable"
    assert proxy.heads[0].startswith(b"GET http://gateway.example/attestation?nonce=")


@pytest.mark.parametrize("proxy_url", ["", "socks5://127.0.0.1:1", "gopher://h:1", "h:1", "http://", "http://h:port"])
def test_or_is_none_that_can_be_used(caller: Any, proxy_url: str) -> None:
    assert refusal(caller, "https://gateway.example", proxy=proxy_url) == "proxy_unusable"
