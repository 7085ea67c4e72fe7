"""How many connections there may be, how long each may stay, and who has to give way."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest

from blindsight_cli import localca
from tests.support import images
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

ASK = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
LARGE = b"GET /static/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n"
"""For 1.5 MB; two of them are more than the kernel takes off the gateway's hands."""


def connect(port: int, *, source: str = "127.0.0.1") -> socket.socket:
    """A connection that takes little that it does not read."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.settimeout(30)
    opened.bind((source, 0))
    opened.connect(("127.0.0.1", port))
    return opened


def open_connections(gateway: Gateway, port: int | None = None) -> int:
    """The gateway's side of them."""
    found = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(entry.laddr.port == (port or gateway.port) and entry.status != psutil.CONN_LISTEN for entry in found)


def hung_up(connection: socket.socket) -> bool:
    """Whether the peer has ended the connection; anything that it sent is dropped."""
    connection.setblocking(False)
    try:
        return connection.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(30)


def receive(connection: socket.socket) -> httpx2.Response:
    """The next answer. Raises `OSError` if the peer hung up."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        content = response.read()
        return httpx2.Response(response.status, headers=response.getheaders(), content=content)


def answer(connection: socket.socket) -> int:
    """Ask for something small, and say with what status it was answered. Raises `OSError` if the peer hung up."""
    connection.sendall(ASK)
    return receive(connection).status_code


@contextlib.contextmanager
def many() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, object]:
    files = localca.ensure(tmp_path / "tls", ["127.0.0.1"])
    return {"tls_port": free_port(), "tls_certificate": files.certificate, "tls_key": files.key}


@pytest.mark.parametrize("how", ["then close", "keep open", "pipelined", "tls"])
def test_slow_readers_are_cut(tiny_stack: Stack, tls: dict[str, object], how: str) -> None:
    """Forty anonymous callers ask for something large and read it byte by byte."""
    request = (LARGE + b"\r\n") * (8 if how == "pipelined" else 2)
    if how == "then close":
        request += LARGE + b"connection: close\r\n\r\n"
    with tiny_stack.another_gateway(response_timeout=1, **tls) as gateway, many() as readers:
        port = int(str(tls["tls_port"])) if how == "tls" else gateway.port
        for _ in range(40):
            opened = connect(port)
            if how == "tls":
                opened = ssl._create_unverified_context().wrap_socket(opened)
            readers.append(opened)
            opened.sendall(request)
        assert {reader.recv(12) for reader in readers} == {b"HTTP/1.1 200"}

        def all_cut() -> bool:
            for reader in readers:
                with contextlib.suppress(OSError):
                    reader.recv(1)
            return open_connections(gateway, port) == 0

        wait_until("the gateway lets go of them", all_cut, seconds=20)
        assert gateway.client.get("/livez").status_code == 200


def test_a_slow_reader_that_is_not_too_slow_gets_its_answer(tiny_stack: Stack) -> None:
    with tiny_stack.another_gateway(response_timeout=20) as gateway, connect(gateway.port) as reader:
        reader.sendall(LARGE + b"connection: close\r\n\r\n")
        response = receive(reader)
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["content-length"]) > 1 << 20


def test_a_kept_connection_is_closed_when_nothing_comes(tiny_stack: Stack) -> None:
    with tiny_stack.another_gateway(keepalive_timeout=1) as gateway, connect(gateway.port) as kept:
        for _ in range(3):
            assert answer(kept) == 200
        wait_until("it is closed", lambda: hung_up(kept), seconds=4)


def test_a_body_that_goes_on_after_its_answer_is_cut(tiny_stack: Stack) -> None:
    """It keeps coming, a byte at a time, and belongs to no request any more."""
    with tiny_stack.another_gateway(keepalive_timeout=1, body_timeout=1) as gateway, connect(gateway.port) as endless:
        endless.sendall(b"POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n")
        assert endless.recv(1 << 16).startswith(b"HTTP/1.1 405")

        def cut() -> bool:
            with contextlib.suppress(OSError):
                endless.sendall(b"x")
            return open_connections(gateway) == 0

        wait_until("it is cut", cut, seconds=15)


@pytest.mark.parametrize("begun", [b"", ASK, b"GET /livez HTTP/1.1\r\n"], ids=["silent", "answered", "half a head"])
def test_a_newcomer_takes_the_place_of_the_longest_waiting(tiny_stack: Stack, begun: bytes) -> None:
    """With all places taken by connections that ask for nothing."""
    limits = {"max_connections": 8, "max_connections_per_address": 8, "keepalive_timeout": 60}
    with tiny_stack.another_gateway(ready=False, **limits) as gateway, many() as waiting:
        for count in range(1, 9):
            waiting.append(connect(gateway.port))
            if begun == ASK:
                assert answer(waiting[-1]) == 200
            else:
                waiting[-1].sendall(begun)
            wait_until("it is accepted", lambda: open_connections(gateway) == min(count, 8))  # noqa: B023 -- called before the next turn
        with connect(gateway.port) as newcomer:
            assert answer(newcomer) == 200
            assert open_connections(gateway) <= 8
            wait_until("the first is closed", lambda: hung_up(waiting[0]))
            assert not any(hung_up(other) for other in waiting[1:])


def test_those_at_work_do_not_give_way(tiny_stack: Stack) -> None:
    """A newcomer waits outside until one of them is done; nothing of it is lost."""
    photo = images.plain(83)
    fields = f"host: localhost\r\ncontent-type: image/png\r\ncontent-length: {len(photo)}\r\n\r\n"
    head = b"POST /classify HTTP/1.1\r\n" + fields.encode()
    limits = {"max_connections": 4, "max_connections_per_address": 4}
    with tiny_stack.another_gateway(**limits) as gateway, many() as working:
        gateway.client.close()
        for _ in range(4):
            working.append(connect(gateway.port))
            working[-1].sendall(head + photo[:-1])
        wait_until("all are at work", lambda: gateway.metric("requests_in_progress") == 4)
        with connect(gateway.port) as newcomer:
            newcomer.sendall(ASK)
            wait_until("no connection has given way", lambda: not any(map(hung_up, working)))
            assert open_connections(gateway) == 4
            assert not hung_up(newcomer)
            for connection in working:
                connection.sendall(photo[-1:])
                assert receive(connection).json()["predictions"][0]["class_id"] == 83
            assert receive(newcomer).status_code == 200


def test_one_address_cannot_take_all(tiny_stack: Stack) -> None:
    limits = {"max_connections": 100, "max_connections_per_address": 5, "keepalive_timeout": 60}
    with tiny_stack.another_gateway(**limits) as gateway, many() as greedy:
        gateway.client.close()
        for _ in range(5):
            greedy.append(connect(gateway.port, source="127.0.0.2"))
            assert answer(greedy[-1]) == 200
        for _ in range(20):
            with connect(gateway.port, source="127.0.0.2") as surplus:
                wait_until("it is turned away", lambda: hung_up(surplus), seconds=5)
        with connect(gateway.port, source="127.0.0.3") as other:
            assert answer(other) == 200
        assert [answer(connection) for connection in greedy] == [200] * 5
        greedy.pop().close()

        def served_again() -> bool:
            with connect(gateway.port, source="127.0.0.2") as again, contextlib.suppress(ConnectionError):
                return answer(again) == 200
            return False

        wait_until("its place can be taken", served_again)
        assert gateway.metric('requests_rejected_total{reason="too_many_connections"}') >= 20


def test_connections_that_never_finish_their_handshake_count(tiny_stack: Stack, tls: dict[str, object]) -> None:
    limits = {"max_connections": 100, "max_connections_per_address": 5}
    port = int(str(tls["tls_port"]))
    with tiny_stack.another_gateway(**limits, **tls) as gateway, many() as silent:
        gateway.client.close()
        for _ in range(5):
            silent.append(connect(port, source="127.0.0.2"))
        with connect(port, source="127.0.0.2") as surplus:
            wait_until("it is turned away", lambda: hung_up(surplus))
        wait_until("they are given up", lambda: all(map(hung_up, silent)), seconds=20)
        with connect(port, source="127.0.0.2") as again:
            context = ssl._create_unverified_context()
            with context.wrap_socket(again) as wrapped:
                assert answer(wrapped) == 200


def test_a_process_without_file_descriptors_goes_on(tiny_stack: Stack) -> None:
    limits = {"max_connections": 1000, "max_connections_per_address": 1000, "keepalive_timeout": 60}
    with tiny_stack.another_gateway(**limits) as gateway, many() as waiting:
        process = psutil.Process(gateway.pid)
        most = process.num_fds() + 10
        process.rlimit(psutil.RLIMIT_NOFILE, (most, most))
        for _ in range(40):
            waiting.append(connect(gateway.port))
            waiting[-1].sendall(ASK)
        assert receive(waiting[-1]).status_code == 200
        for connection in waiting:
            connection.close()
        wait_until("it answers as before", lambda: gateway.client.get("/livez").status_code == 200)
        exhausted = [event for event in gateway.events() if "descriptors" in event["event"]]
        assert len(exhausted) == 1
