"""Statements 1 to 13: transport. Docstrings are the rows of docs/cape-compatibility.md."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cape_client import GO_FRAGMENT_BYTES, ClientError, start_frame
from tests.support.cape_host import PRELUDE
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cape_host import CapeHost, Deployed, Person

RUN = """
    cape = Cape(given.get("url"))
    answer(cape.run(given["function"], given["token"], b"hello").decode())
"""


def refused(host: CapeHost, path: str, *subprotocols: str) -> tuple[int, dict[str, str]]:
    """Status and body of a handshake that is refused; the command line reads no more than 1024 bytes of it."""
    with pytest.raises(HandshakeRefusedError) as caught:
        WebSocket(host.plain_url, path, subprotocols)
    assert len(caught.value.body) < 1024
    body = json.loads(caught.value.body)
    assert body["error"] == body["message"]
    return caught.value.status, body


def test_01_private_authority(pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """WSS with a private authority's certificate and `SSL_CERT_FILE`. (py: pycape)"""
    assert pycape(RUN, function=echo.id, token=ada.token()) == "hello"
    script = """
        import ssl
        try:
            Cape().run(given["function"], given["token"], b"hello")
        except ssl.SSLCertVerificationError as error:
            answer(error.verify_message)
    """
    refusal = pycape(script, function=echo.id, token=ada.token(), changes={"SSL_CERT_FILE": None})
    assert "unable to get local issuer certificate" in refusal


def test_02_verification_disabled(pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """The same with `CAPE_DEV_DISABLE_SSL=1` instead. (py: pycape)"""
    changes = {"SSL_CERT_FILE": None, "CAPE_DEV_DISABLE_SSL": "1"}
    assert pycape(RUN, function=echo.id, token=ada.token(), changes=changes) == "hello"


def test_03_plain_loopback(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """`ws://` on the loopback runs. (js, cli: raw client, cape)"""
    with cape_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        assert js.invoke(b"hello") == b"hello"
    plain = cape_host.plain_url.replace("http:", "ws:")
    for url in (plain, cape_host.plain_url):
        assert ada.cape("run", echo.id, "hello", "-u", url).out == b"hello\n"


def test_04_one_subprotocol_echoed(
    cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed
) -> None:
    """The 101 echoes `cape.runtime` or `cape.function`, whichever was offered, alone. (py, js: pycape, raw client)"""
    for scheme in ("cape.runtime", "cape.function"):
        with WebSocket(cape_host.plain_url, f"/v1/run/{echo.id}", [f"{scheme},{ada.token()}"]) as socket:
            assert socket.header("sec-websocket-protocol") == [scheme]
        with cape_host.js(f"/v1/run/{echo.id}", ada.token(), scheme=scheme) as js:
            assert js.invoke(b"x") == b"x"
    script = """
        cape = Cape()
        cape.connect(given["function"], given["token"])
        answer(cape._ctx._websocket.subprotocol)
        cape.close()
    """
    assert pycape(script, function=echo.id, token=ada.token()) == "cape.runtime"


def test_05_two_header_lines(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """Scheme and token in two header lines authenticate. (cli: raw client)"""
    with cape_host.go(f"/v1/run/{echo.id}", ada.token()) as go:
        assert go.socket.header("sec-websocket-protocol") == ["cape.runtime"]
        assert go.invoke(b"hello") == b"hello"


def test_06_trailing_slash(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """A base URL with a slash at its end works, for sockets and for keys. (py: pycape)"""
    script = """
        cape = Cape(given["url"])
        ran = cape.run(given["function"], given["token"], b"hello").decode()
        answer([ran, cape.key(username="ada").hex()])
    """
    changes = {"CAPE_LOCAL_CONFIG_DIR": str(ada.home / "slash")}
    found = pycape(script, url=f"{cape_host.url}/", function=echo.id, token=ada.token(), changes=changes)
    assert found == ["hello", ada.key_der.hex()]


def test_07_bad_tokens_are_refused(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """A missing, unknown, expired or revoked token gets a short JSON 401; expiry is named. (cli: raw client, cape)"""
    path = f"/v1/run/{echo.id}"
    created = ada.cape("token", "create", "--name", "short-lived", "-o", "json").json
    with cape_host.go(path, created["token"]) as go:
        assert go.invoke(b"x") == b"x"
    ada.cape("token", "delete", created["id"])
    expired = ada.token(lifetime=timedelta(seconds=-5))
    forged = f"{ada.token().rpartition('.')[0]}.{'A' * 86}"
    for subprotocols in ((), ("cape.runtime",)):
        assert refused(cape_host, path, *subprotocols)[0] == 401
    for token in ("unknown", "a.b.c", forged, created["token"]):
        status, body = refused(cape_host, path, "cape.runtime", token)
        assert status == 401
        assert "token is expired" not in body["error"]
    status, body = refused(cape_host, path, "cape.runtime", expired)
    assert (status, "token is expired" in body["error"]) == (401, True)
    said = ada.cape("run", echo.id, "x", "--token", expired, status=1).err
    assert "your token is expired. Try logging in again with `cape login`" in said
    assert "error code: 401, reason: " in ada.cape("run", echo.id, "x", "--token", forged, status=1).err


def test_08_empty_token(cape_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """An empty token is refused like any other, and the server goes on. (cli: raw client)"""
    for subprotocols in (("cape.runtime,",), ("cape.runtime, ",), ("cape.runtime", ""), ("",), (",",)):
        assert refused(cape_host, "/v1/test", *subprotocols)[0] == 401
    with cape_host.go(f"/v1/run/{echo.id}", ada.token()) as go:
        assert go.invoke(b"x") == b"x"


def test_09_three_megabytes(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """3 MB in one frame, and in frames of 4 KiB, come back whole. (py, cli: pycape, raw client, cape)"""
    script = """
        content = bytes(range(256)) * 12288
        answer([len(content), Cape().run(given["function"], given["token"], content) == content])
    """
    assert pycape(script, function=echo.id, token=ada.token()) == [3 << 20, True]
    content = bytes(range(255, -1, -1)) * 12288
    for url in (cape_host.plain_url, cape_host.url):
        with cape_host.go(f"/v1/run/{echo.id}", ada.token(), url=url) as go:
            go.send_input(content, fragment=GO_FRAGMENT_BYTES)
            assert go.output() == content
    file = ada.home / "large"
    file.write_bytes(content)
    assert ada.cape("run", echo.id, "--file", str(file)).out == content + b"\n"


def test_10_pongs_while_a_handler_runs(
    cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, lab: Deployed
) -> None:
    """Pings are answered while a handler runs, and its result comes. (py: pycape, raw client)"""
    order = json.dumps({"do": "sleep", "seconds": 3}).encode()
    script = PRELUDE + "answer(Cape().run(given['function'], given['token'], given['order'].encode()).decode())"
    given = json.dumps({"function": lab.id, "token": ada.token(), "order": order.decode()})
    with subprocess.Popen(
        [str(ada.python), "-c", script, given], stdout=subprocess.PIPE, cwd=ada.home, env=ada.variables()
    ) as running:
        with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
            js.send_input(order)
            began, pings = time.monotonic(), 0
            while not js.socket.waiting:
                js.socket.ping(seconds=1)
                pings += 1
                time.sleep(0.2)  # The pace of the pings.
            assert js.output() == b"slept"
        assert time.monotonic() - began >= 3
        assert pings >= 8
        answered, _ = running.communicate(timeout=60)
    assert json.loads(answered) == "slept"


@pytest.fixture(scope="module")
def impatient_host(cape_host: CapeHost) -> Iterator[CapeHost]:
    """The same host behind a gateway that closes connections after a second."""
    stack, tls_port = cape_host.stack, free_port()
    with stack.another_gateway(tls_port=tls_port, idle_seconds=1) as gateway:
        yield replace(cape_host, tls_port=tls_port, plain_url=gateway.url)


def test_11_idle_connection_python(
    impatient_host: CapeHost, pycape: Callable[..., Any], ada: Person, lab: Deployed
) -> None:
    """An idle connection is closed with 1000, so that the next invoke says what happened. (py: pycape)"""
    script = """
        import time
        cape = Cape(given["url"])
        cape.connect(given["function"], given["token"])
        busy = cape.invoke(json.dumps({"do": "sleep", "seconds": 2}).encode()).decode()
        socket, deadline = cape._ctx._websocket, time.monotonic() + 20
        while socket.close_code is None and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            cape.invoke(b"{}")
        except RuntimeError as error:
            answer([busy, socket.close_code, str(error)])
    """
    busy, code, said = pycape(script, url=impatient_host.url, function=lab.id, token=ada.token())
    # A handler that runs for longer than that is no silence.
    assert (busy, code) == ("slept", 1000)
    assert said.startswith("Enclave websocket connection was closed, likely due to timeout error.")


def test_12_idle_connection_javascript(impatient_host: CapeHost, ada: Person, echo: Deployed) -> None:
    """After it, the next invoke of cape-js finds the connection not open. (js: raw client)"""
    with impatient_host.js(f"/v1/run/{echo.id}", ada.token()) as js:
        began = time.monotonic()
        for _ in range(5):
            js.socket.ping(seconds=1)  # Pings are no activity.
            time.sleep(0.1)
        assert js.socket.wait_closed() == 1000
        assert time.monotonic() - began < 10
        with pytest.raises(ClientError, match="WebSocket connection not open"):
            js.invoke(b"x")


def test_13_no_compression(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed) -> None:
    """permessage-deflate is declined. (py, js: pycape, raw client)"""
    with WebSocket(cape_host.plain_url, f"/v1/run/{echo.id}", [f"cape.runtime,{ada.token()}"], deflate=True) as socket:
        assert socket.header("sec-websocket-extensions") == []
        socket.send(start_frame(bytes(12)))
        assert "attestation_doc" in str(socket.receive())
        assert socket.close(None) in {1000, 1005}
    script = """
        cape = Cape()
        cape.connect(given["function"], given["token"])
        socket = cape._ctx._websocket
        offered = socket.request.headers["Sec-WebSocket-Extensions"]
        answer([offered.partition(";")[0], len(socket.protocol.extensions), cape.invoke(b"x").decode()])
        cape.close()
    """
    assert pycape(script, function=echo.id, token=ada.token()) == ["permessage-deflate", 0, "x"]
