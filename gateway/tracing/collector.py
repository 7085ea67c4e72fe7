"""Spans, and their way to the collector (OTLP over HTTP). Only a gateway with `BLINDSIGHT_TRACES` imports this.

Every span passes through `_Allowed`, which copies from it what the allow list names. `start.py` imports this module and
makes the tracer while the environment variables of OpenTelemetry's SDK are hidden.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, TraceIdRatioBased

import blindsight
from gateway.tracing import allowed
from gateway.tracing.allowed import AllowList

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from prometheus_client import Counter

    from gateway.tracing.current import Kind
    from gateway.tracing.traceparent import RemoteParent

_log = logging.getLogger(__name__)

SERVICE: Final = "blindsight-gateway"

_QUEUE: Final = 4096
"""Spans that wait at most; further ones are dropped and counted."""
_BATCH: Final = 512
_DELAY_SECONDS: Final = 1.0
_EXPORT_SECONDS: Final = 5.0
"""For one batch, with its repetitions."""
_CLOSE_SECONDS: Final = 1.0
_MAX_ANSWER_BYTES: Final = 64 << 10
_CALLERS_TRACES: Final = 20
"""Traces a second that callers can have recorded by the flag of their `traceparent`, whatever the ratio is."""

_KINDS: Final = {"server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT, "internal": trace.SpanKind.INTERNAL}
_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)


class CollectorTracer:
    """Begins traces, and delivers them to the collector at `endpoint` in a thread of its own."""

    def __init__(self, endpoint: str, ratio: float, routes: Collection[str], lost: Counter) -> None:
        """`ratio`: of the traces that begin here, those that are recorded. `lost` counts undelivered spans."""
        # Its lines name the collector's errors in the collector's words; `_Delivery` logs ours.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        resource = Resource(
            {
                "service.name": SERVICE,
                "service.version": blindsight.__version__,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        exporter = OTLPSpanExporter(
            endpoint=endpoint, timeout=_EXPORT_SECONDS, compression=Compression.NoCompression, session=_Session()
        )
        self._delivery = _Delivery(exporter, lost)
        batches = BatchSpanProcessor(
            self._delivery,
            max_queue_size=_QUEUE,
            schedule_delay_millis=_DELAY_SECONDS * 1000,
            max_export_batch_size=_BATCH,
            export_timeout_millis=_EXPORT_SECONDS * 1000,
        )
        fallback = TraceIdRatioBased(ratio)
        self._provider = TracerProvider(
            sampler=ParentBased(fallback, remote_parent_sampled=_AtMost(_CALLERS_TRACES, fallback)),
            resource=resource,
            shutdown_on_exit=False,
            span_limits=SpanLimits(),
        )
        self._provider.add_span_processor(_Allowed(AllowList(routes), batches, self._delivery))
        self._tracer = self._provider.get_tracer(SERVICE)

    def begin(self, name: str, *, kind: Kind = "internal", parent: RemoteParent | None = None) -> _Span:
        """The first span of this gateway in a trace."""
        context = Context()
        if parent is not None:
            flags = _SAMPLED if parent.sampled else trace.TraceFlags(trace.TraceFlags.DEFAULT)
            remote = trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(remote), context)
        return _Span(self._tracer, self._tracer.start_span(name, context, _KINDS[kind]))

    async def close(self) -> None:
        """Deliver what has ended, for a second at most; a thread that still waits for the collector ends with the
        process.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # The loop has ended before.
                loop.call_soon_threadsafe(done.set)

        # Not the loop's own executor: the loop waits for that at its end.
        threading.Thread(target=shut_down, daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await done.wait()
        self._delivery.stop()


class _Span:
    """A span of OpenTelemetry, behind the few operations of `current.Span`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def set(self, key: str, value: allowed.Value) -> None:
        self._span.set_attribute(key, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, code: str, *, ours: bool = True) -> None:
        self._span.set_attribute(allowed.ERROR, code)
        if ours:
            self._span.set_status(trace.StatusCode.ERROR)

    def child(self, name: str, *, kind: Kind = "internal", begun: int | None = None) -> _Span:
        if not self._span.is_recording() and not self._span.get_span_context().trace_flags.sampled:
            return self
        context = trace.set_span_in_context(self._span, Context())
        return _Span(self._tracer, self._tracer.start_span(name, context, _KINDS[kind], start_time=begun))

    def end(self, at: int | None = None) -> None:
        if self._span.is_recording():
            self._span.end(at)


class _Allowed(SpanProcessor):
    """The one place through which spans pass: copies what the allow list names. Events, links, `tracestate` and
    descriptions are never copied.
    """

    def __init__(self, listed: AllowList, batches: BatchSpanProcessor, delivery: _Delivery) -> None:
        self._listed = listed
        self._batches = batches
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled or not self._listed.name(span.name):
            return
        if not self._delivery.take():
            return
        bare = ReadableSpan(
            name=span.name,
            context=trace.SpanContext(context.trace_id, context.span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=_bare_parent(span.parent),
            resource=span.resource,
            attributes=self._listed.attributes(span.attributes or {}),
            kind=span.kind,
            status=trace.Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._batches.on_end(bare)

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK's


def _bare_parent(parent: trace.SpanContext | None) -> trace.SpanContext | None:
    if parent is None:
        return None
    return trace.SpanContext(parent.trace_id, parent.span_id, is_remote=parent.is_remote, trace_flags=_SAMPLED)


class _Delivery(SpanExporter):
    """The exporter, with a bound on the spans that wait, a count of those lost, and a log line when that changes."""

    def __init__(self, exporter: SpanExporter, lost: Counter) -> None:
        self._exporter = exporter
        self._lost = lost
        self._waiting = 0
        self._lock = threading.Lock()
        self._failing = False
        self._stopped = False

    def take(self) -> bool:
        """Take one span into the queue; False, and it is lost, if the queue is full."""
        with self._lock:
            room = self._waiting < _QUEUE and not self._stopped
            self._waiting += room
        if not room:
            self._lost.inc()
        return room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans) if not self._stopped else SpanExportResult.FAILURE
        finally:
            with self._lock:
                self._waiting -= len(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing:
            self._lost.inc(len(spans))
        if failing != self._failing and not self._stopped:
            self._failing = failing
            if failing:
                _log.warning("traces not delivered: the collector of BLINDSIGHT_TRACES refuses them or is not there")
            else:
                _log.info("traces delivered again")
        return result

    def stop(self) -> None:
        """Give up what waits."""
        self._stopped = True
        with contextlib.suppress(Exception):
            self._exporter.shutdown()

    def shutdown(self) -> None:
        with contextlib.suppress(Exception):
            self._exporter.shutdown()


class _AtMost(Sampler):
    """Records at most so many traces a second for their callers' flag; the others as those without a parent."""

    def __init__(self, most: int, otherwise: Sampler) -> None:
        self._most = most
        self._otherwise = otherwise
        self._always = TraceIdRatioBased(1.0)
        self._second = 0
        self._taken = 0
        self._lock = threading.Lock()

    def should_sample(self, parent_context: Context | None, trace_id: int, *rest: Any, **named: Any) -> SamplingResult:  # noqa: ANN401 -- passed on
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._taken = second, 0
            self._taken += 1
            sampler = self._always if self._taken <= self._most else self._otherwise
        return sampler.should_sample(parent_context, trace_id, *rest, **named)

    def get_description(self) -> str:
        return f"AtMost{{{self._most}/s}}"


class _Session(requests.Session):
    """Sends to the collector alone: no proxies, netrc files or certificates of the environment, no redirects, no
    cookies; reads at most 64 KiB of an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401 -- as the exporter calls it
        end = time.monotonic() + _EXPORT_SECONDS
        self.cookies.clear()
        answer = super().request(method, url, **{**options, "stream": True, "allow_redirects": False})
        try:
            if 300 <= answer.status_code < 400:
                # The exporter would take it for a success.
                raise requests.TooManyRedirects("The collector redirects.")
            # Read only so that the connection can be used again. The exporter reads the status alone.
            read = 0
            for piece in answer.raw.stream(4096, decode_content=False):
                read += len(piece)
                if read > _MAX_ANSWER_BYTES or time.monotonic() > end:
                    break
        finally:
            answer.close()
        return answer
