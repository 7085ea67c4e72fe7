"""A collector of OpenTelemetry traces on the loopback (OTLP over HTTP), which can misbehave."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """One span, and what came with it."""

    span: Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.span.name)

    @property
    def attributes(self) -> dict[str, Any]:
        return {pair.key: _value(pair.value) for pair in self.span.attributes}

    @property
    def trace_id(self) -> str:
        return bytes(self.span.trace_id).hex()

    @property
    def parent(self) -> str:
        return bytes(self.span.parent_span_id).hex()

    @property
    def id(self) -> str:
        return bytes(self.span.span_id).hex()

    @property
    def seconds(self) -> float:
        return (self.span.end_time_unix_nano - self.span.start_time_unix_nano) / 1e9


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@dataclass
class Collector:
    """What has come. `behave` answers in the place of 200."""

    port: int = 0
    behave: Behaviour | None = None
    raw: list[bytes] = field(default_factory=list)
    """Request lines, header fields and bodies."""
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def messages(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]

    def spans(self, trace_id: str | None = None) -> list[Received]:
        """All spans that came, or those of one trace."""
        spans = [
            Received(span, {pair.key: _value(pair.value) for pair in resource.resource.attributes})
            for message in self.messages()
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return [each for each in spans if trace_id in {None, each.trace_id}]

    def everything(self) -> bytes:
        """All bytes that came."""
        return b"\n".join(self.raw)


@contextlib.contextmanager
def collector(behave: Behaviour | None = None) -> Iterator[Collector]:
    """A collector for as long as the block lasts."""
    kept = Collector(behave=behave)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.raw.append(self.requestline.encode() + b"\n" + bytes(self.headers) + body)
            kept.bodies.append(body)
            if kept.behave is not None:
                with contextlib.suppress(OSError):
                    kept.behave(self)
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.do_POST  # A proxy's methods.
            raise AttributeError(name)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
