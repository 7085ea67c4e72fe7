"""Problems as complete HTTP/1.1 responses, for requests that do not reach the application."""

from __future__ import annotations

import uuid
from email.utils import formatdate
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.datastructures import Headers
from websockets.http11 import Response

from gateway import errors
from gateway.middleware import SECURITY_HEADERS

if TYPE_CHECKING:
    from blindsight.problems import Problem


def last_response(problem: Problem, root: str = "") -> bytes:
    """The response with `problem` that closes the connection; `root` is the gateway's path prefix."""
    status, fields, body = _last(problem, root)
    return STATUS_LINE[status] + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + body


def last_handshake(problem: Problem, root: str = "") -> Response:
    """The same as the answer to a WebSocket handshake."""
    status, fields, body = _last(problem, root)
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields])
    return Response(status, STATUS_LINE[status].split(b" ", 2)[2].strip().decode(), headers, body)


def _last(problem: Problem, root: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    request_id = str(uuid.uuid4())
    response = errors.response(problem, request_id, root)
    fields = [
        (b"date", formatdate(usegmt=True).encode()),
        *response.raw_headers,
        *SECURITY_HEADERS,
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    return problem.kind.status, fields, bytes(response.body)
