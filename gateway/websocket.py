"""uvicorn's WebSocket protocol with streaming of long binary messages; shorter ones are passed on whole.

ASGI has only whole messages, and a function of 900 MB is one message. Here a `websocket.receive` with `more_body` true
is a piece of a binary message, as for HTTP bodies. Text messages are small in all protocols of the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from blindsight.problems import Problem
from gateway.deadline import WriteDeadline
from gateway.refusal import last_handshake, last_response

if TYPE_CHECKING:
    from asyncio.transports import BaseTransport

    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.datastructures import Headers
    from websockets.frames import Frame
    from websockets.http11 import Request, Response

    from gateway.connections import Place
    from gateway.listener import ListenerConfig

MAX_FRAME_BYTES: Final = 80 * 1024 * 1024
"""Maximum size of one WebSocket frame, which is kept in memory. Messages of several frames have no limit here."""

MAX_TEXT_BYTES: Final = 64 * 1024

_PIECE_BYTES: Final = 256 * 1024
"""Minimum size of a piece: some clients send 4 KiB at a time."""


_NO_HANDSHAKE: Final = Problem("bad_request", "This is not a WebSocket handshake of RFC 6455, section 4.2.1.")


class _Handshake(ServerProtocol):
    """Leaves the offered subprotocols to the application, which refuses them in JSON.

    Cape's command line offers an empty one if it has no token, and cannot read websockets' own refusal.
    """

    root_path = ""

    def accept(self, request: Request) -> Response:
        response = super().accept(request)
        # websockets' own refusal would quote the caller.
        return response if response.status_code == 101 else last_handshake(_NO_HANDSHAKE, self.root_path)

    def process_subprotocol(self, _: Headers) -> None:
        return None


class StreamingWebSocket(WebSocketsSansIOProtocol):
    """See the module."""

    config: ListenerConfig
    place: Place
    """The connection's, from the protocol before."""
    _writing: WriteDeadline

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- uvicorn's
        super().__init__(*arguments, **options)
        # Clients may offer compression; sealed bytes do not compress.
        self.conn = _Handshake(max_size=(None, MAX_FRAME_BYTES), logger=self.logger)
        self.conn.root_path = self.config.limits.root_path
        self._gathered = 0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        limits = self.config.limits
        self._writing = WriteDeadline(
            self.transport, limits.response_seconds, lambda: limits.turned_away("slow_reader")
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._writing.stop()
        self.place.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing.look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writing.look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The head comes whole. What websockets finds no request in, it would leave unanswered and open.
        if not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(last_response(_NO_HANDSHAKE, self.config.limits.root_path))
            self.transport.close()
            self._writing.look()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # uvicorn would complain that a refusal is no handshake.
        self._writing.look()

    def shutdown(self) -> None:
        """Leave an open WebSocket to the application, which closes it in order when it drains."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()

    def handle_text(self, event: Frame) -> None:
        self._gathered = len(event.data)
        if self._gathered > MAX_TEXT_BYTES:
            self._refuse_long_text()
            return
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self.curr_msg_data_type = "bytes"
        self.frames = []
        self._gathered = 0
        self._gather(event)

    def handle_cont(self, event: Frame) -> None:
        if self.curr_msg_data_type == "bytes":
            self._gather(event)
            return
        self._gathered += len(event.data)
        if self._gathered > MAX_TEXT_BYTES:
            self._refuse_long_text()
            return
        super().handle_cont(event)

    def _refuse_long_text(self) -> None:
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG)
        self.handle_parser_exception()

    def _gather(self, event: Frame) -> None:
        self.frames.append(cast("bytes", event.data))
        self._gathered += len(event.data)
        if not event.fin and self._gathered < _PIECE_BYTES:
            return
        piece = b"".join(self.frames)
        self.frames, self._gathered = [], 0
        if self.close_sent:
            return  # As uvicorn does: what comes after our close is dropped.
        received = {"type": "websocket.receive", "bytes": piece, "more_body": not event.fin}
        self.queue.put_nowait(cast("ASGIReceiveEvent", received))
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
