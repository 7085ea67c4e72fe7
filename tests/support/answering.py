"""Servers on the loopback that are no gateways: each request gets the answer that a test gives."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Respond = Callable[[BaseHTTPRequestHandler], None]
"""Writes the answer to a request, whose body has been read."""

BLOCK: Final = bytes(1 << 20)


@contextlib.contextmanager
def answering(respond: Respond, port: int = 0) -> Iterator[str]:
    """The address of a server that answers every GET and POST with `respond`, until the block ends; 0: a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Clients that have seen enough close the connection.
            with contextlib.suppress(ConnectionError):
                respond(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


def content(body: bytes, status: int = 200, **headers: str) -> Respond:
    """One answer to everything; `content_type="text/html"` names a header."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return respond


def json_of(value: object, status: int = 200, **headers: str) -> Respond:
    """As `content`, with JSON. NaN and infinity are written as Python does."""
    return content(json.dumps(value).encode(), status, **({"content_type": "application/json"} | headers))


def by_path(answers: dict[str, Respond]) -> Respond:
    """The answer to the path of the request, without its query; 404 to others."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        answers.get(request.path.partition("?")[0], content(b"", 404))(request)

    return respond


def endless(request: BaseHTTPRequestHandler) -> None:
    """A body without an end, as fast as it is read."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(BLOCK)


def packed(request: BaseHTTPRequestHandler) -> None:
    """A body that is a thousand times as large when it is unpacked, and never asked for."""
    content(zlib.compress(BLOCK * 64), content_encoding="deflate")(request)


def trickling(request: BaseHTTPRequestHandler) -> None:
    """A body that comes byte by byte."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" ")
        time.sleep(0.2)


def trickling_head(request: BaseHTTPRequestHandler) -> None:
    """A head that comes byte by byte."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        request.wfile.write(b"x")
        time.sleep(0.2)


def silent(request: BaseHTTPRequestHandler) -> None:
    """No answer, for longer than any client here waits."""
    time.sleep(60)
