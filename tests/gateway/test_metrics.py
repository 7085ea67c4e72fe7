"""The metrics listener: its own port, base units, and nothing of any caller's in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support import images
from tests.support.models import label_of
from tests.support.problems import CANARY
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

METRICS = {
    "http_requests_total": {"method", "route", "status"},
    "http_request_duration_seconds": {"route"},
    "requests_in_progress": set(),
    "requests_rejected_total": {"reason"},
    "inference_stage_duration_seconds": {"stage"},
    "images_classified_total": set(),
    "sealed_requests_relayed_total": set(),
    "rate_limits_local": set(),
    "cape_sessions": set(),
    "enclave_up": {"enclave"},
    "evidence_verified_timestamp_seconds": {"enclave"},
    "policy_expiration_timestamp_seconds": {"enclave"},
    "tls_certificate_expiration_timestamp_seconds": set(),
    "evidence_refused_total": {"enclave", "code"},
    "enclave_workers": {"enclave"},
    "enclave_queued_calls": {"enclave"},
    "enclave_worker_restarts": {"enclave"},
    "trace_spans_lost_total": set(),
    "audit_lost_total": set(),
}
_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def _scrape(stack: Stack) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{stack.gateway.metrics_port}/metrics", trust_env=False)


def test_names_and_labels(tiny_stack: Stack) -> None:
    tiny_stack.client.post("/classify", files={"file": (CANARY, images.plain(31), f"image/{CANARY}")})
    tiny_stack.client.get(f"/{CANARY}", headers={"user-agent": CANARY})
    tiny_stack.client.request("PROPFIND", f"/static/{CANARY}")
    response = _scrape(tiny_stack)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.text
    declared = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.MULTILINE))
    # prometheus_client tells of every counter and histogram when it was made.
    assert {name for name in declared if not name.endswith("_created")} == set(METRICS)
    values: dict[str, set[str]] = {"route": set(), "method": set()}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        assert match, line
        name = re.sub(r"_(bucket|sum|count|created)$", "", match[1])
        labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', match[2] or ""))
        known = METRICS.get(name, METRICS.get(f"{name}_total"))
        assert known is not None, line
        assert set(labels) - {"le"} == known, line
        for label in values.keys() & labels.keys():
            values[label].add(labels[label])
    assert "unmatched" in values["route"]
    assert values["method"] >= {"GET", "POST", "other"}
    assert CANARY.lower() not in text.lower()
    assert label_of(31) not in text


def test_values(tiny_stack: Stack) -> None:
    gateway = tiny_stack.gateway
    before = (
        gateway.metric("images_classified_total"),
        gateway.metric('inference_stage_duration_seconds_count{stage="run"}'),
    )
    for _ in range(3):
        tiny_stack.client.post("/classify", files={"file": images.plain(31)})
    after = (
        gateway.metric("images_classified_total"),
        gateway.metric('inference_stage_duration_seconds_count{stage="run"}'),
    )
    assert after == (before[0] + 3, before[1] + 3)
    assert gateway.metric("enclave_up") == 1
    assert gateway.metric("requests_in_progress") == 0
    assert gateway.metric("evidence_verified_timestamp_seconds") > 1.7e9
    wait_until("the status has been seen", lambda: gateway.metric("enclave_workers") == tiny_stack.workers, seconds=5)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/classify"])
def test_the_listener_serves_nothing_else(tiny_stack: Stack, path: str) -> None:
    url = f"http://127.0.0.1:{tiny_stack.gateway.metrics_port}{path}"
    assert httpx2.get(url, trust_env=False).status_code == 404


def test_the_public_listener_serves_no_metrics(tiny_stack: Stack) -> None:
    assert tiny_stack.client.get("/metrics").status_code == 404
