"""Prometheus metrics, in base units. No label carries content, class names or clients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_STAGES: Final = ("seal", "enclave", "open", "wait", "decode", "preprocess", "run")

_OF_AN_ENCLAVE: Final = (
    ("up", "enclave_up", "1 if the enclave is verified and warm."),
    ("verified", "evidence_verified_timestamp_seconds", "When the enclave's evidence was last accepted."),
    (
        "accepted_until",
        "policy_expiration_timestamp_seconds",
        "When the policy, or the enclave's release in it, expires; +Inf without an end.",
    ),
    ("workers", "enclave_workers", "Live workers of the enclave."),
    ("queued", "enclave_queued_calls", "Calls waiting in the enclave."),
    ("restarts", "enclave_worker_restarts", "Workers the enclave has replaced."),
)
"""Key, name and meaning of the gauges that each enclave has."""


class Metrics:
    """The gateway's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "http_request_duration_seconds", "Time to answer.", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.in_progress = Gauge("requests_in_progress", "Requests that hold an image.", registry=registry)
        self.rejected = Counter("requests_rejected_total", "Requests turned away.", ["reason"], registry=registry)
        self.stage_seconds = Histogram(
            "inference_stage_duration_seconds",
            "Time of a stage: seal, enclave (the exchange), open; of the exchange wait, decode, preprocess, run.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.stages = {stage: self.stage_seconds.labels(stage) for stage in _STAGES}
        """The histogram of each stage, because the lookup of a label takes longer than an observation."""
        self.images = Counter("images_classified_total", "Images answered with classes.", registry=registry)
        self.relayed = Counter(
            "sealed_requests_relayed_total",
            "Requests that callers sealed, answered; with what, only they and the enclave know.",
            registry=registry,
        )
        self.sessions = Gauge("cape_sessions", "Cape clients connected.", registry=registry)
        self.rate_limits_local = Gauge(
            "rate_limits_local",
            "1 while the Redis of BLINDSIGHT_REDIS does not answer: this gateway then counts alone.",
            registry=registry,
        )
        self.enclave_gauges = {
            name: Gauge(title, meaning, ["enclave"], registry=registry) for name, title, meaning in _OF_AN_ENCLAVE
        }
        self.certificate_end = Gauge(
            "tls_certificate_expiration_timestamp_seconds",
            "When the certificate of the HTTPS port expires; +Inf without one.",
            registry=registry,
        )
        self.certificate_end.set(math.inf)
        self.spans_lost = Counter("trace_spans_lost_total", "Spans that the collector did not get.", registry=registry)
        self.audit_lost = Counter(
            "audit_lost_total", "Entries that could not be written to the audit log's file.", registry=registry
        )
        self.evidence_refused = Counter(
            "evidence_refused_total", "Evidence refused.", ["enclave", "code"], registry=registry
        )


class EnclaveMetrics:
    """The instruments of one enclave, labelled with its address."""

    def __init__(self, metrics: Metrics, address: str) -> None:
        self._metrics = metrics
        self._address = address
        gauges = metrics.enclave_gauges
        self.up, self.verified, self.accepted_until, self.workers, self.queued, self.restarts = (
            gauges[name].labels(address)
            for name in ("up", "verified", "accepted_until", "workers", "queued", "restarts")
        )

    def accepts_until(self, end: datetime | None) -> None:
        """Set when the accepted evidence ends to be accepted; None is never."""
        self.accepted_until.set(math.inf if end is None else end.timestamp())

    def refused(self, code: str) -> None:
        """Count evidence that was refused."""
        self._metrics.evidence_refused.labels(self._address, code).inc()

    def forget(self) -> None:
        """Remove the gauges, whose last values would otherwise stay."""
        for gauge in self._metrics.enclave_gauges.values():
            gauge.remove(self._address)


class MetricsApp:
    """A minimal ASGI application for the metrics listener."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        if scope["type"] != "http":
            return
        found = scope["path"] == "/metrics"
        body = generate_latest(self._metrics.registry) if found else b"see /metrics\n"
        headers = [(b"content-type", CONTENT_TYPE.encode())]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})
