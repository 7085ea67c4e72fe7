"""The way of spans to the collector: what may pass, where to, and what a bad collector costs."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.tracing import allowed, current
from gateway.tracing import collector as delivery
from tests.support.images import plain
from tests.support.otlp import collector
from tests.support.problems import CANARY
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from tests.support.otlp import Behaviour
    from tests.support.processes import Gateway
    from tests.support.stack import Stack

ROUTES = ("/classify",)


def lost() -> Counter:
    return Counter("lost", "…", registry=CollectorRegistry())


def count(counter: Counter) -> float:
    return float(next(iter(counter.collect())).samples[0].value)


def _say_everything(tracer: delivery.CollectorTracer) -> None:
    with current.entered(tracer.begin("POST /classify", kind="server")) as span:
        for key in (allowed.METHOD, allowed.ROUTE, allowed.ERROR, allowed.ENCLAVE, allowed.CAPE_ROUTE):
            span.set(key, CANARY)
        span.set(allowed.CAPE_OUTCOME, CANARY)
        span.set(allowed.STATUS, 1_000_000)
        span.set("url.path", f"/{CANARY}")
        span.set(CANARY, 1)
        with current.span(CANARY), current.span("seal"):
            pass
        raise ValueError(CANARY)


async def test_only_what_is_listed_passes() -> None:
    with collector() as kept:
        tracer = delivery.CollectorTracer(kept.url, 1, ROUTES, lost())
        with pytest.raises(ValueError, match=CANARY):
            _say_everything(tracer)
        with current.entered(tracer.begin("POST /classify")) as span:
            span.rename(f"POST /{CANARY}")
        await tracer.close()
        spans = {span.name: span for span in kept.spans()}
        assert spans.keys() == {"POST /classify", "seal"}
        assert spans["POST /classify"].attributes == {"error.type": "internal"}
        assert CANARY.encode() not in kept.everything()


def test_the_processor_drops_what_the_sdk_could_add() -> None:
    """Events, links, `tracestate` and descriptions have no way through our own spans; theirs must end here, too."""
    from opentelemetry import trace

    with collector() as kept:
        tracer = delivery.CollectorTracer(kept.url, 1, ROUTES, lost())
        state = trace.TraceState([("a", CANARY)])
        flags = trace.TraceFlags(1)
        parent = trace.SpanContext(7, 8, is_remote=True, trace_flags=flags, trace_state=state)
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = tracer._tracer.start_span("seal", context, links=[trace.Link(parent, {"a": CANARY})])
        span.record_exception(ValueError(CANARY))
        span.add_event(CANARY)
        span.set_status(trace.StatusCode.ERROR, CANARY)
        span.end()
        tracer._provider.shutdown()
        (got,) = kept.spans()
        assert got.span.status.code == 2
        assert CANARY.encode() not in kept.everything()


def test_without_the_setting_nothing_of_it_is_imported(tiny_stack: Stack) -> None:
    code = (
        "import sys; from gateway.app import create_app; from gateway.settings import Settings; create_app(Settings());"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter',"
        " 'opentelemetry.proto', 'requests', 'urllib3', 'google.protobuf'))])"
    )
    environment = {"BLINDSIGHT_POLICY": str(tiny_stack.policy_file), "PYTHONPATH": ":".join(sys.path)}
    for more, expected in (({}, True), ({"BLINDSIGHT_TRACES": "http://127.0.0.1:9/v1/traces"}, False)):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**environment, **more}, capture_output=True, check=True
        )
        assert (done.stdout.strip() == b"[]") is expected, done.stdout


@pytest.mark.parametrize(
    "url",
    [
        "collector:4318",
        "grpc://collector:4317",
        "http://",
        "http:///v1/traces",
        "http://user:secret@collector:4318/v1/traces",
        "http://collector:4318/v1/traces?key=secret",
        "http://collector:4318/v1/traces#x",
        "http://collector:port/v1/traces",
        "http://collector:99999/v1/traces",
    ],
)
def test_other_urls_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"traces|TRACES"):
        Settings(policy=tmp_path, traces=url, _env_file=None)


def test_the_environment_changes_nothing(tiny_stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the SDK's variables, nor proxies, nor netrc files."""
    with collector() as kept, collector() as other:
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {CANARY} password {CANARY}\n")
        variables = {
            "HOME": str(tmp_path),
            "NETRC": str(tmp_path / ".netrc"),
            "OTEL_RESOURCE_ATTRIBUTES": f"a={CANARY}",
            "OTEL_SERVICE_NAME": CANARY,
            "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "host,process,os",
            "OTEL_EXPORTER_OTLP_HEADERS": f"a={CANARY}",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"b={CANARY}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{other.port}",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": other.url,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "missing"),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.000001",
            "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "gcp",
            "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
            "OTEL_PROPAGATORS": "unknown",
            "OTEL_TRACES_SAMPLER": "always_off",
            "OTEL_SDK_DISABLED": "true",
            "OTEL_BSP_MAX_QUEUE_SIZE": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0",
            **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), f"http://127.0.0.1:{other.port}"),
            "NO_PROXY": "",
            "no_proxy": "",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with tiny_stack.another_gateway(traces=kept.url) as gateway:
            gateway.client.get("/info")
            spans = wait_until("spans", lambda: [span for span in kept.spans() if span.name == "GET /info"])
            said = next(line for line in gateway.events() if "OpenTelemetry" in line["event"])
        assert "OTEL_RESOURCE_ATTRIBUTES" in said["reason"]
        assert CANARY not in gateway.log()
        assert spans[0].attributes["http.response.status_code"] == 200
        assert CANARY.encode() not in kept.everything()
        assert b"authorization" not in kept.everything().lower()
        assert other.raw == []


def redirect(port: int) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"http://127.0.0.1:{port}/v1/traces")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def test_redirects_are_not_followed(tiny_stack: Stack) -> None:
    with collector() as other, collector(redirect(other.port)) as kept:
        with tiny_stack.another_gateway(traces=kept.url) as gateway:
            gateway.client.get("/info")
            wait_until("loss", lambda: gateway.metric("trace_spans_lost_total"))
            lines = [line for line in gateway.events() if "traces not delivered" in line["event"]]
        assert kept.raw
        assert other.raw == []
        assert len(lines) == 1
        assert "exception" not in lines[0]


def never(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(20)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(f"x-{number}: y\r\n".encode())
        handler.wfile.flush()
        time.sleep(0.2)


def later(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(503)
    handler.send_header("Retry-After", "3600")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff\r\n\r\n" * 100)


def bomb(handler: BaseHTTPRequestHandler) -> None:
    import gzip

    body = gzip.compress(bytes(100 << 20))
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("behave", [never, endless, dripping, later, garbage, bomb])
def test_a_bad_collector_costs_requests_nothing(tiny_stack: Stack, behave: Behaviour) -> None:
    with collector(behave) as kept:
        gateway = tiny_stack.start_gateway(traces=kept.url)
        _use_and_stop(gateway)
        assert kept.raw


def test_nor_does_one_that_is_gone(tiny_stack: Stack) -> None:
    _use_and_stop(tiny_stack.start_gateway(traces=f"http://127.0.0.1:{free_port()}/v1/traces"))


def _use_and_stop(gateway: Gateway) -> None:
    try:
        gateway.wait_ready()
        image = plain(3)
        slowest = 0.0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            started = time.monotonic()
            assert gateway.client.post("/classify", content=image).status_code == 200
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < 1
    except BaseException:
        gateway.kill()
        raise
    gateway.client.close()
    started = time.monotonic()
    gateway.stop()
    assert time.monotonic() - started < 3.5


def test_what_waits_is_bounded_and_losses_are_counted() -> None:
    with collector(never) as kept:
        counter = lost()
        tracer = delivery.CollectorTracer(kept.url, 1, ROUTES, counter)
        started = time.monotonic()
        for _ in range(3 * delivery._QUEUE):
            tracer.begin("POST /classify").end()
        assert time.monotonic() - started < 10
        assert count(counter) >= 2 * delivery._QUEUE - delivery._BATCH
        assert len(tracer._provider._active_span_processor._span_processors) == 1
        tracer._delivery.stop()
