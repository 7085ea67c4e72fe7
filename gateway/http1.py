"""uvicorn's HTTP/1.1 with a limited head, strict framing, and one answer for each request, in order.

Requests that do not reach the application are answered with problems here.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from blindsight.problems import Problem
from gateway.connections import source_of
from gateway.deadline import WriteDeadline
from gateway.refusal import last_response
from gateway.unread import AnswerTransport

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from gateway.connections import Place
    from gateway.listener import ListenerConfig
    from gateway.pacing import Standing
    from gateway.websocket import StreamingWebSocket

MAX_HEAD_BYTES: Final = 16 * 1024
"""Maximum size of request line and header together, and of the bytes between two pieces of a chunked body. llhttp has
no limit of its own and would keep, or at least read, everything."""

_LONG_HEAD: Final = f"The request's head has more than {MAX_HEAD_BYTES} bytes."
_ABSOLUTE_FORM: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

HEAD_SECONDS = 10.0
"""Time from a connection's start, or a further request's first byte, to the end of the head."""

LINGER_SECONDS: Final = 2.0
"""Time for which data of a refused caller is read and dropped. Closing at once would reset the connection, and the
caller could not read the refusal (RFC 9112, section 9.6)."""

MOST_DROPPED_BYTES = 256 * 1024 * 1024
"""Of a body that continues after its answer; the body's own timeout applies. Callers with a larger body may not receive
the answer."""

MAX_PIPELINED: Final = 64
"""Requests that a connection can send before it gets an answer. One read can contain ten thousand."""

_MALFORMED: Final = "This is not an HTTP/1.1 request."


class _Faulty(Exception):
    """A head that llhttp accepts and this gateway refuses; the message states the reason."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses malformed, too long or too slow requests with `bad_request` or `request_timeout`, and closes the
    connection.

    `Upgrade` is followed only for WebSocket routes; elsewhere it is ignored (RFC 9110, section 7.8). llhttp stops after
    every head with an upgrade, and httptools reports that such requests have no body; so these heads are parsed again,
    without `Upgrade`.
    """

    _head_bytes = 0
    _in_head = True
    _in_body = False
    """Whether the end of the last request, `cycle`, has not arrived yet."""
    _begun = False
    _stopping = False
    """Whether the parser is about to stop after a head with an upgrade."""
    _dropped_bytes = 0
    """Bytes of the last request's body after its answer."""
    _ends_with_body = False
    """Whether the last request is answered and the connection closes after its body."""
    _bytes_beside_body = 0
    """Bytes since the head's end or the body's last piece."""
    _timer: asyncio.TimerHandle | None = None
    _refused = False
    """Whether the connection reads no more."""
    _last_word: Problem | None = None
    """A refusal to send after the answers to earlier requests."""

    config: ListenerConfig
    place: Place
    """Set by the listener."""
    _writing: WriteDeadline
    _standing: Standing
    """The caller of the current request: the connection's own, or the one behind a proxy."""
    _own_standing: Standing
    _current: RequestResponseCycle | None = None
    """The request in progress, or the last one; `cycle` is the latest to arrive."""
    _held: asyncio.TimerHandle | None = None
    """Set while the current request, which came too early, is delayed."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.config = cast("ListenerConfig", config)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        limits = self.config.limits
        self._writing = WriteDeadline(transport, limits.response_seconds, lambda: limits.turned_away("slow_reader"))
        self._own_standing = self._standing = limits.pacing.take_over(self.place.source, self.loop.time())
        self.place.wait(self)
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._held is not None:
            self._held.cancel()
        self._writing.stop()
        self.config.limits.pacing.keep(self.place.source, self._own_standing, self.loop.time())
        self.place.leave()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close at once, because another connection needs the place."""
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing.look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._settle()

    def shutdown(self) -> None:
        super().shutdown()
        self._writing.look()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._bytes_beside_body += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            ours = error.__cause__ or error.__context__
            if self._ends_with_body:
                self._close()
                return
            self._refuse(Problem("bad_request", str(ours) if isinstance(ours, _Faulty) else _MALFORMED))
            return
        # One read may bring a whole head and much of a body: only a head that is still open is too long.
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(Problem("bad_request", _LONG_HEAD))
        elif self._in_body and self._bytes_beside_body > MAX_HEAD_BYTES:
            self._refuse(Problem("bad_request", f"More than {MAX_HEAD_BYTES} bytes stand between parts of the body."))

    def _parse(self, data: bytes) -> None:
        """Raises `HttpParserError`."""
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                rest = data[stopped.args[0] :]
            self._stopping = False
            if self.scope["method"] == "CONNECT":
                # What follows may be meant for the tunnel.
                raise httptools.HttpParserError from _Faulty("This gateway is not a tunnel.")
            if self._opens_websocket():
                self._become_websocket(rest)
                return
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
            data = self._head(without=b"upgrade") + rest

    def on_message_begin(self) -> None:
        if self._ends_with_body:
            raise _Faulty(_MALFORMED)  # Nothing is answered behind a last request.
        # Data alone is no sign of life: blank lines before a request would keep a connection open for ever.
        self._unset_keepalive_if_required()
        self._settle()
        if not self._in_head:
            self._start_head()
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are no headers, whatever they are called (RFC 9110, 6.5.1).
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = self._begun = False
        self._bytes_beside_body = 0
        self._stop_timer()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version = self.parser.get_http_version()
        self._check_head(version)
        self._take_targets_host()
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1.
        if self.parser.should_upgrade():
            self._stopping = True
            return
        self.place.work()
        super().on_headers_complete()
        self._in_body, self._dropped_bytes = True, 0
        cycle = self.cycle
        cycle.transport = cast("asyncio.Transport", AnswerTransport(self.transport, lambda: self._end_behind(cycle)))
        if self.expect_100_continue:
            # If it is refused instead, its caller may send the body or the next request: nothing tells them apart.
            self.cycle.keep_alive = False

    def _check_head(self, version: str) -> None:
        """Raise `_Faulty` for heads that other parsers could interpret differently (RFC 9112, section 6.1) and that
        llhttp accepts.
        """
        if version not in {"1.0", "1.1"}:
            raise _Faulty(_MALFORMED)
        # A head that comes in one piece is whole before its bytes are counted.
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise _Faulty(_LONG_HEAD)
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise _Faulty("The only transfer coding is chunked, in HTTP/1.1.")
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Faulty(f"More than {MAX_PIPELINED} requests wait for their answers on this connection.")

    def on_body(self, body: bytes) -> None:
        self._bytes_beside_body = 0
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > MOST_DROPPED_BYTES:
                self._close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._stopping:
            return
        if self._ends_with_body:
            self._close()
            return
        super().on_message_complete()
        self._limit_silence()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current = cycle
        self._standing = self._standing_of(cycle)
        wait = self._standing.wait(self.loop.time())
        if not wait:
            super()._start_asgi_task(cycle, app)
            return
        # Nothing more is read meanwhile, so that its caller does not get rid of the body either.
        self.flow.pause_reading()
        self._held = self.loop.call_later(wait, self._let_in, cycle, app)

    def _standing_of(self, cycle: RequestResponseCycle) -> Standing:
        """The caller's standing: several callers share a proxy's connection."""
        limits, peer = self.config.limits, self.client[0] if self.client else ""
        caller = limits.proxies.caller(peer, cycle.scope["headers"])
        if caller is None or caller.address == peer:
            return self._own_standing
        return limits.pacing.shared(source_of(caller.address))

    def _let_in(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._held = None
        self.flow.resume_reading()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._current is not None:
            state, now = self._current.scope["state"], self.loop.time()
            if "retry_after" in state:
                self._standing.refused(now, state["retry_after"])
            elif state.get("denied"):
                self._standing.denied(now)
        last = not self.pipeline
        super().on_response_complete()
        self._writing.look()
        self._settle()
        self._limit_silence()
        if last and self._last_word is not None and not self.transport.is_closing():
            self._say(self._last_word)

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _settle(self) -> None:
        """Mark the connection as idle, if it is."""
        if self.cycle is None or self.cycle.response_complete:
            self._writing.look()
            if not self.transport.get_write_buffer_size():
                self.place.wait(self)

    def _limit_silence(self) -> None:
        """Apply this gateway's timeouts instead of uvicorn's: for the next request, or for a body that continues after
        its answer.
        """
        if self.timeout_keep_alive_task is not None:
            limits = self.config.limits
            seconds = limits.body_seconds if self._in_body else limits.keepalive_seconds
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _close(self) -> None:
        self.transport.close()
        self._writing.look()

    def _end_behind(self, cycle: RequestResponseCycle) -> None:
        """Close the connection after the answer of `cycle`, once its body has arrived, or exceeds its size or time."""
        if not cycle.response_complete or cycle is not self.cycle or not self._in_body:
            self.transport.close()
            return
        self._ends_with_body = True
        # `_limit_silence` bounds the time. Over TLS there is no half of a connection to close.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _opens_websocket(self) -> bool:
        """Whether the head at which the parser stopped opens a WebSocket, and no earlier request waits for its
        answer.
        """
        asked = b",".join(value for name, value in self.headers if name == b"upgrade").strip().lower()
        has_body = any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self.headers
        )
        return (
            asked == b"websocket"
            and self.ws_protocol_class is not None
            and self.scope["method"] == "GET"
            and self.scope["http_version"] == "1.1"
            and not has_body
            and (self.cycle is None or self.cycle.response_complete)
            and self.url.startswith(b"/")
            and self.config.is_websocket(unquote(self.url.partition(b"?")[0]))
        )

    def _become_websocket(self, rest: bytes) -> None:
        assert self.ws_protocol_class is not None  # noqa: S101 -- `_opens_websocket` has looked
        self._refused = True
        self._stop_timer()
        self._writing.stop()
        self.connections.discard(self)
        protocol = self.ws_protocol_class(config=self.config, server_state=self.server_state, app_state=self.app_state)  # type: ignore[call-arg]  # uvicorn knows it as any `asyncio.Protocol`
        cast("StreamingWebSocket", protocol).place = self.place
        self.place.work()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(self._head())
        if rest and not self.transport.is_closing():
            protocol.data_received(rest)

    def _head(self, *, without: bytes = b"") -> bytes:
        """The request's head as received, with names in lower case."""
        start = f"{self.scope['method']} ".encode() + self.url + f" HTTP/{self.scope['http_version']}\r\n".encode()
        fields = (name + b": " + value + b"\r\n" for name, value in self.headers if name != without)
        return start + b"".join(fields) + b"\r\n"

    def _take_targets_host(self) -> None:
        """For a target in absolute form, use its host instead of the header's (RFC 9112, section 3.2.2)."""
        authority = _ABSOLUTE_FORM.match(self.url)
        hosts = [position for position, (name, _) in enumerate(self.headers) if name == b"host"]
        if authority and len(hosts) == 1:
            self.headers[hosts[0]] = (b"host", authority[1])

    def _start_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._begun:
            self._close()  # Not a byte has come: no caller waits for an answer.
        elif not self.transport.is_closing():
            self._refuse(Problem("request_timeout", f"The request's head did not arrive within {HEAD_SECONDS:g} s."))

    def _refuse(self, problem: Problem) -> None:
        """Stop reading, answer the current request with `problem` in its place, unless it is answered, and close the
        connection.
        """
        self._refused = True
        self._stop_timer()
        cycle = self.cycle
        if not self._in_body:
            if cycle is None or cycle.response_complete:
                self._say(problem)
            else:
                self._last_word = problem
        elif cycle.response_started:
            self._close()
        elif self.pipeline:
            self.pipeline.popleft()
            self._last_word = problem
        else:
            if self._held is not None:
                self._held.cancel()
            cycle.disconnected = True
            cycle.message_event.set()
            self._say(problem)

    def _say(self, problem: Problem) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(last_response(problem, self.config.limits.root_path))
        if not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close)
