"""What needs a hand inside the gateway: our own mistakes, the moment of draining, callers who hang up, memory only."""

from __future__ import annotations

import dataclasses
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace

from gateway.app import create_app
from gateway.log import JsonFormatter
from gateway.settings import Settings
from tests.support import images
from tests.support.inprocess import RunningApp, running_app
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def running(tiny_stack: Stack) -> Iterator[RunningApp]:
    with running_app(tiny_stack) as app:
        yield app


def _sample(running: RunningApp, name: str, **labels: str) -> float:
    return running.services.metrics.registry.get_sample_value(name, labels) or 0.0


def test_our_own_mistake(
    running: RunningApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen exception is a problem like any other, and what it quotes stays in the process."""

    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(CANARY)

    monkeypatch.setattr(running.services.fleet, "classify", fail)
    for path, field in (("/classify", "file"), ("/classify/batch", "files")):
        request_id = "0190a1b2-0000-7000-8000-00000000abcd"
        response = running.client.post(path, files={field: CANARY.encode()}, headers={"x-request-id": request_id})
        check(response, "internal")
        assert response.headers["x-request-id"] == request_id
        assert "default-src 'self'" in response.headers["content-security-policy"]
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert CANARY not in "".join(logged)
    unexpected = [line for line in logged if "unexpected exception" in line]
    assert len(unexpected) == 2
    assert all(request_id in line for line in unexpected)
    assert '"exception": "ZeroDivisionError"' in unexpected[0]
    assert _sample(running, "http_requests_total", method="POST", route="/classify", status="500") == 1
    assert running.services.admission._taken == 0


def test_draining(running: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.services.admission, "draining", True)
    for path, field in (("/classify", "file"), ("/classify/batch", "files")):
        check(running.client.post(path, files={field: CANARY.encode()}), "draining")
    for path in ("/readyz", "/v2/health/ready"):
        check(running.client.get(path), "draining")
    assert running.client.get("/livez").status_code == 200


def test_a_caller_who_hangs_up_is_no_mistake_of_ours(running: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    for media_type in ("image/png", "multipart/form-data; boundary=x"):
        with Connection(running.port) as connection:
            connection.start("POST", "/classify", {"content-type": media_type, "content-length": "1000"})
            connection.send(b"--x\r\n")
            wait_until("the body is awaited", lambda: running.services.admission._taken == 1)
        wait_until("the place is free again", lambda: running.services.admission._taken == 0)
    gone = {"method": "POST", "route": "/classify", "status": "499"}
    wait_until("both are recorded", lambda: _sample(running, "http_requests_total", **gone) == 2)
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


def test_an_upload_stays_in_memory(running: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 MB through the form: form libraries write files of more than 1 MB to disk, where no image belongs."""
    made: list[str] = []
    create = tempfile._mkstemp_inner

    def watched(*arguments: Any) -> Any:
        made.append("file")
        return create(*arguments)

    monkeypatch.setattr(tempfile, "_mkstemp_inner", watched)
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
    photo = images.padded(77, 15_000_000)
    response = running.client.post("/classify", files={"file": photo})
    assert response.json()["predictions"][0]["class_id"] == 77
    response = running.client.post("/classify/batch", files=[("files", photo), ("files", photo)])
    assert [result["predictions"][0]["class_id"] for result in response.json()["results"]] == [77, 77]
    assert not made
    # The watch itself works.
    with tempfile.SpooledTemporaryFile(max_size=1) as file:
        file.write(photo)
    assert made


def test_telemetry_stays_off_even_if_the_process_has_a_provider(
    tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI traces by itself as soon as anything in the process configures OpenTelemetry, or the environment does."""

    class Provider(trace.NoOpTracerProvider):
        pass

    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setattr(trace, "get_tracer_provider", Provider)
    assert FastAPI()._native_telemetry.enabled()
    app = create_app(Settings(policy=tiny_stack.policy_file, _env_file=None))
    assert not app._native_telemetry.enabled()
    assert app._telemetry["auto_configure"] is False


def test_the_end_of_the_policy_ends_the_service(running: RunningApp) -> None:
    """Within a look at the status, not at the next verification that was due anyway; and it can be renewed."""
    fleet = running.services.fleet
    enclave = fleet.members[0].enclave
    policy, now = enclave.policy, datetime.now(UTC).replace(microsecond=0)
    attested = enclave.current
    fleet.policy = enclave.policy = dataclasses.replace(policy, expires=now)
    enclave._attested = dataclasses.replace(attested, verified=dataclasses.replace(attested.verified, until=now))
    try:
        wait_until("the end is seen", lambda: not enclave.ready, seconds=10)
        for answer in (
            running.client.get("/readyz"), running.client.get("/attestation"),
            running.client.post("/classify", files={"file": images.plain(3)}),
        ):  # fmt: skip
            assert check(answer, "evidence_refused")["evidence_code"] == "policy_expired"
    finally:
        fleet.policy = enclave.policy = policy
    wait_until("the policy is good again", lambda: enclave.ready)
