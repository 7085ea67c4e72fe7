"""uvicorn's HTTP/1.1 with a bounded head, and with problems for what never becomes a request."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from blindsight.problems import Problem
from gateway import errors
from gateway.middleware import SECURITY_HEADERS

MAX_HEAD_BYTES: Final = 16 * 1024
"""Largest request line and header together. llhttp has no limit of its own and would keep all that comes."""

HEAD_SECONDS = 10.0
"""Time from a connection's start, or a further request's first byte, to the end of the head."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head that is malformed, too long or too slow, with `bad_request` or `request_timeout`."""

    _head_bytes = 0
    _in_head = True
    _begun = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # One read may bring a whole head and much of a body: only a head that is still open is too long.
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(Problem("bad_request", f"The request's head has more than {MAX_HEAD_BYTES} bytes."))

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._start_head()
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = self._begun = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's signature
        self._refuse(Problem("bad_request", "This is not an HTTP/1.1 request."))

    def _start_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._begun:
            self.transport.close()  # Not a byte: there is nobody to tell.
        elif not self.transport.is_closing():
            self._refuse(Problem("request_timeout", f"The request's head did not arrive within {HEAD_SECONDS:g} s."))

    def _refuse(self, problem: Problem) -> None:
        request_id = str(uuid.uuid4())
        response = errors.response(problem, request_id)
        fields = [
            *response.raw_headers,
            *SECURITY_HEADERS,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        head = STATUS_LINE[problem.kind.status] + b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.transport.write(head + b"\r\n" + bytes(response.body))
        self.transport.close()
