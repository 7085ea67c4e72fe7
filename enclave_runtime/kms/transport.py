"""One HTTP exchange over a connection that the host forwards, bounded in time and size.

The host can cut, delay or refuse the connection, but not read or change it if `tls` is used: TLS ends in the enclave.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

Connector = Callable[[float], socket.socket]
"""A function that opens a connection within the given number of seconds. Raises `OSError`."""

DEADLINE_SECONDS: Final = 20.0
"""Deadline of an exchange, including its connection. KMS answers within a second."""
MAX_ANSWER_BYTES: Final = 256 * 1024
"""Maximum size of an answer. KMS's have some kilobytes."""


class ExchangeFailed(Exception):
    """There was no complete answer within the limits of time and size."""


@dataclass(frozen=True)
class Request:
    """A request to `host`. `path` is sent unchanged."""

    method: str
    host: str
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes


class _Connection(http.client.HTTPConnection):
    """A connection over an existing socket."""

    def __init__(self, host: str, opened: socket.socket) -> None:
        super().__init__(host)
        self.sock = opened


def exchange(
    connect: Connector, request: Request, *, tls: ssl.SSLContext | None, seconds: float = DEADLINE_SECONDS
) -> Answer:
    """Send `request` over a new connection, with TLS to its host unless `tls` is None, and return the answer.

    Raises `ExchangeFailed`, whose message is the type of the cause.
    """
    try:
        with connect(seconds) as plain, cut_off(plain, seconds):
            plain.settimeout(seconds)
            with tls.wrap_socket(plain, server_hostname=request.host) if tls else plain as opened:
                return _exchange(opened, request)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ExchangeFailed(type(error).__name__) from error


@contextlib.contextmanager
def cut_off(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Shut down `connection` after `seconds` in any state. A socket timeout would not end a peer that sends slowly."""
    # On a duplicate descriptor, because `ssl` takes over that of the socket.
    with connection.dup() as twin:
        timer = threading.Timer(seconds, _shut, [twin])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _exchange(opened: socket.socket, request: Request) -> Answer:
    client = _Connection(request.host, opened)
    client.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
    headers = {"Host": request.host, **request.headers, "Content-Length": str(len(request.body)), "Connection": "close"}
    for name, value in headers.items():
        client.putheader(name, value)
    client.endheaders(request.body)
    response = client.getresponse()
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise ValueError("too long")
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return Answer(response.status, body)
