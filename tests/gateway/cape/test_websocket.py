"""Long messages handed over in pieces, short ones whole, and the limits of both, on a real listener."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from gateway import serve, websocket
from gateway.connections import Connections
from gateway.listener import Limits
from gateway.websocket import MAX_FRAME_BYTES, MAX_TEXT_BYTES
from tests.support.raw_websocket import ClosedError, HandshakeRefusedError, WebSocket
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = websocket._PIECE_BYTES


@dataclass
class Listener:
    """An application that keeps what it receives, and says what it is told to."""

    port: int = 0
    received: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    reading: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refuse":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
            return
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        message: dict[str, Any] = {"type": ""}
        while message["type"] != "websocket.disconnect":
            await asyncio.to_thread(self.reading.wait)
            message = await receive()
            self.received.put(message)
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 1000})
            if message.get("text") == "say much":
                await send({"type": "websocket.send", "bytes": bytes(8 << 20)})

    def next(self) -> dict[str, Any]:
        return self.received.get(timeout=30)

    def message(self) -> list[bytes]:
        """The pieces of the next binary message."""
        pieces = []
        while True:
            event = self.next()
            pieces.append(event["bytes"])
            if not event["more_body"]:
                return pieces

    def connect(self, path: str = "/") -> WebSocket:
        return WebSocket(f"http://127.0.0.1:{self.port}", path, ["cape.runtime, token"])


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Listener]:
    app = Listener()
    app.reading.set()
    server, opened = serve._server(app, "127.0.0.1", 0, drain=5, lifespan="off", **options)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[opened])), daemon=True)
    thread.start()
    app.port = opened.getsockname()[1]
    wait_until("listening", lambda: server.started)
    try:
        yield app
    finally:
        app.reading.set()
        server.should_exit = True
        thread.join(timeout=30)
        opened.close()
    assert not thread.is_alive()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with serving() as app:
        yield app


def content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, PIECE - 1, PIECE, PIECE + 1, 3_000_000])
def test_a_message_in_one_frame_is_one_piece(listener: Listener, length: int) -> None:
    with listener.connect() as socket:
        socket.send(content(length))
        assert listener.message() == [content(length)]


@pytest.mark.parametrize("fragment", [1000, 4096, 65_536, PIECE])
@pytest.mark.parametrize("length", [4097, PIECE + 1, 3_000_001])
def test_fragments_are_gathered_to_pieces(listener: Listener, fragment: int, length: int) -> None:
    with listener.connect() as socket:
        socket.send(content(length), fragment=fragment)
        socket.send(b"next")
        pieces = listener.message()
        assert b"".join(pieces) == content(length)
        assert all(PIECE <= len(piece) < PIECE + fragment for piece in pieces[:-1])
        assert listener.message() == [b"next"]


def test_text_arrives_whole_and_between_messages(listener: Listener) -> None:
    longest = "x" * MAX_TEXT_BYTES
    with listener.connect() as socket:
        socket.send("first")
        socket.send(content(PIECE * 2), fragment=5000)
        socket.send(longest)
        _send_text_fragments(socket, longest.encode(), 1000)
        assert listener.next()["text"] == "first"
        assert b"".join(listener.message()) == content(PIECE * 2)
        assert listener.next()["text"] == longest
        assert listener.next()["text"] == longest


@pytest.mark.parametrize("fragment", [1 << 20, 1000, MAX_TEXT_BYTES])
def test_text_has_a_limit_in_one_frame_as_in_many(listener: Listener, fragment: int) -> None:
    with listener.connect() as socket:
        _send_text_fragments(socket, b"x" * (MAX_TEXT_BYTES + 1), fragment)
        assert socket.wait_closed() == 1009
    event = listener.next()
    assert (event["type"], event["code"]) == ("websocket.disconnect", 1009)


def _send_text_fragments(socket: WebSocket, text: bytes, fragment: int) -> None:
    protocol = socket._protocol
    pieces = [text[start : start + fragment] for start in range(0, len(text), fragment)]
    protocol.send_text(pieces[0], fin=len(pieces) == 1)
    for index, piece in enumerate(pieces[1:], 2):
        protocol.send_continuation(piece, fin=index == len(pieces))
    socket._flush()


def test_a_frame_that_announces_too_much_is_refused_unread(listener: Listener) -> None:
    with listener.connect() as socket:
        # FIN, binary; masked, 64 bits of length; the mask.
        socket._socket.sendall(b"\x82\xff" + (MAX_FRAME_BYTES + 1).to_bytes(8) + bytes(4))
        assert socket.wait_closed() == 1009
    assert listener.next()["type"] == "websocket.disconnect"


def test_what_is_not_read_is_not_taken_in(listener: Listener) -> None:
    """While the application does not read, the client's own sending has to stop."""
    listener.reading.clear()
    with listener.connect() as socket:
        socket._socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < MAX_FRAME_BYTES:
                socket.send(bytes(PIECE))
                sent += PIECE
        assert 0 < sent < MAX_FRAME_BYTES // 2
        assert listener.received.empty()
        listener.reading.set()
        assert listener.message() == [bytes(PIECE)]


def test_a_client_that_does_not_read_is_cut() -> None:
    """It would hold its session, and the process of its function, for as long as it liked."""
    limits = Limits(Connections(1), response_seconds=1)
    with serving(limits=limits) as listener, listener.connect() as socket:
        socket.send("say much")
        assert listener.next()["text"] == "say much"
        wait_until("it is cut", lambda: not listener.received.empty())
        assert listener.next()["type"] == "websocket.disconnect"
        # Its place was the only one.
        with listener.connect() as again:
            again.send("hello")
            assert listener.next()["text"] == "hello"


def test_a_client_that_reads_a_large_result_has_time_for_it() -> None:
    """More than it has for a small one: eight seconds on top of one."""
    limits = Limits(Connections(1), response_seconds=1)
    with serving(limits=limits) as listener, listener.connect() as socket:
        socket.send("say much")
        assert listener.next()["text"] == "say much"
        began = time.monotonic()
        wait_until("more than the time for a small one has passed", lambda: time.monotonic() > began + 2)
        assert socket.receive() == bytes(8 << 20)
        socket.send("hello")
        assert listener.next()["text"] == "hello"


def test_what_comes_after_our_close_is_nobodys(listener: Listener) -> None:
    with listener.connect() as socket:
        socket.send("close")
        assert listener.next()["text"] == "close"
        assert listener.next()["type"] == "websocket.disconnect"
        socket.send(content(10))
        assert socket.wait_closed() == 1000
    assert listener.received.empty()


def test_a_refusal_is_an_http_answer_and_no_fault(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HandshakeRefusedError) as caught:
        listener.connect("/refuse")
    assert (caught.value.status, caught.value.body) == (401, b"no")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_compression_is_declined_and_one_subprotocol_chosen(listener: Listener) -> None:
    socket = WebSocket(f"http://127.0.0.1:{listener.port}", "/", ["cape.runtime", "token"], deflate=True)
    with socket:
        assert socket.header("sec-websocket-extensions") == []
        assert socket.header("sec-websocket-protocol") == ["cape.runtime"]
        socket.ping(seconds=10)


def test_a_shutdown_leaves_an_open_conversation_to_the_application(listener: Listener) -> None:
    with listener.connect() as socket:
        socket.send("hello")
        assert listener.next()["text"] == "hello"
        (connection,) = _connections()
        connection.shutdown()
        socket.send("still here")
        assert listener.next()["text"] == "still here"
        socket.send("close")
        with pytest.raises(ClosedError):
            socket.receive()


def _connections() -> list[Any]:
    import gc

    return [each for each in gc.get_objects() if type(each) is websocket.StreamingWebSocket and not each.disconnected]
