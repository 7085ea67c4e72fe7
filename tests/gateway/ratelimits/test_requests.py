"""Limits of requests and images through HTTP: who is counted, what is counted, and what a refusal says."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2

from gateway import pacing, tokens
from tests.support import images
from tests.support.inprocess import running_app
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.inprocess import RunningApp
    from tests.support.stack import Stack

PHOTO = images.plain(5)


def classify(app: RunningApp, token: str = "", **headers: str) -> httpx2.Response:
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    return app.client.post("/classify", content=PHOTO, headers={"content-type": "image/png", **headers})


def batch(app: RunningApp, count: int, token: str = "", photo: bytes = PHOTO) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return app.client.post("/classify/batch", files=[("files", photo)] * count, headers=headers)


def state(response: httpx2.Response) -> dict[str, tuple[int, int]]:
    """Of each policy, what remains and in which time; the fields must be structured fields."""
    policies = re.fullmatch(
        r'("[a-z0-9-]+";q=\d+;w=\d+)(, "[a-z0-9-]+";q=\d+;w=\d+)*', response.headers["ratelimit-policy"]
    )
    states = re.fullmatch(r'("[a-z0-9-]+";r=\d+;t=\d+)(, "[a-z0-9-]+";r=\d+;t=\d+)*', response.headers["ratelimit"])
    assert policies
    assert states
    return {name: (int(r), int(t)) for name, r, t in re.findall(r'"([^"]+)";r=(\d+);t=(\d+)', states[0])}


def test_a_rate_limit(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="3/minute") as app:
        for left in (2, 1, 0):
            answer = classify(app)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"requests-per-minute";q=3;w=60'
            assert state(answer)["requests-per-minute"][0] == left
        refused = classify(app)
        problem = check(refused, "rate_limited")
        assert problem["retry_after"] == int(refused.headers["retry-after"]) == state(refused)["requests-per-minute"][1]
        assert 1 <= problem["retry_after"] <= 120
        assert problem["policy"] == "requests-per-minute"
        # All routes that cost the enclave something have one count.
        posted = ("/classify/batch", "/ohttp", f"http://127.0.0.1:{app.port}//classify", "/cl%61ssify")
        for method, path in [("GET", "/attestation"), ("HEAD", "/attestation"), *[("POST", path) for path in posted]]:
            answer = app.client.request(method, path, content=b"x" if method == "POST" else None)
            assert answer.status_code == 429, (method, path)
        for path in ("/livez", "/readyz", "/info", "/docs", "/openapi.json", "/static/app/app.js", "/problems",
                     "/.well-known/ohttp-gateway"):  # fmt: skip
            answer = app.client.get(path)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
        assert app.client.options("/classify").status_code == 405
        assert app.client.get("/classify").status_code == 405
        found = app.services.metrics.registry.get_sample_value("requests_rejected_total", {"reason": "rate_limited"})
        assert found == 7


def test_the_shorter_window_refuses_without_using_up_the_longer(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="100/hour;2/minute") as app:
        for _ in range(6):
            answer = classify(app)
        assert check(answer, "rate_limited")["policy"] == "requests-per-minute"
        assert app.services.limiter is not None
        readings: dict[str, Any] = {}
        hour = next(limit for limit in app.services.limiter._rates if limit.seconds == 3600)
        key = app.services.limiter._counters._counters[(hour, "address")].keys()  # type: ignore[attr-defined]
        readings["hour"] = asyncio.run(app.services.limiter._counters.look(hour, next(iter(key)), 1))
        assert readings["hour"].remaining == 98


def test_the_refusal_comes_before_the_body(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="1/minute") as app:
        classify(app)
        with Connection(app.port) as connection:
            connection.start("POST", "/classify", {"content-type": "image/jpeg", "content-length": "1000000"})
            check(connection.response(), "rate_limited")


def test_images_are_counted_one_by_one(tiny_stack: Stack, tmp_path: Path) -> None:
    alice, bob = (tokens.create(name, tmp_path / "tokens") for name in ("alice", "bob"))
    with running_app(tiny_stack, quota="10/day", tokens_file=tmp_path / "tokens") as app:
        assert state(batch(app, 6, alice))["images-per-day"][0] == 4
        refused = batch(app, 5, alice)
        problem = check(refused, "quota_exceeded")
        assert problem["detail"].startswith("At most 10 images per day. 4 are left.")
        assert 86000 < problem["retry_after"] <= 86400
        assert state(refused)["images-per-day"][0] == 4
        assert state(classify(app, alice))["images-per-day"][0] == 3
        assert batch(app, 3, alice).status_code == 200
        check(classify(app, alice), "quota_exceeded")
        # Evidence is no image, and the other token's images are its own.
        assert app.client.get("/attestation", headers={"authorization": f"Bearer {alice}"}).status_code == 200
        assert classify(app, bob).status_code == 200


def test_what_no_enclave_has_processed_counts_in_no_quota(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, quota="10/day", max_image_bytes=5000, max_in_flight=1) as app:
        large, empty = images.plain(5) + bytes(6000), b""
        for content in (large, empty):
            assert (
                app.client.post("/classify", content=content, headers={"content-type": "image/png"}).status_code >= 400
            )
        assert classify(app, **{"content-encoding": "br"}).status_code == 415
        assert app.client.post("/classify?top_k=0", content=PHOTO).status_code == 422
        assert app.client.post("/ohttp", content=b"x", headers={"content-type": "message/ohttp-req"}).status_code == 400
        app.services.admission.draining = True
        check(classify(app), "draining")
        app.services.admission.draining = False
        with app.services.admission.place():
            check(classify(app), "overloaded")
        answer = app.client.post("/classify/batch", files=[("files", PHOTO), ("files", large), ("files", PHOTO)])
        assert answer.status_code == 200
        assert state(answer)["images-per-day"][0] == 8
        # The enclave has read this one.
        spoilt = app.client.post("/classify", content=b"no image", headers={"content-type": "image/png"})
        check(spoilt, "not_an_image")
        assert state(spoilt)["images-per-day"][0] == 7


def test_an_enclave_that_is_gone_costs_nothing(tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from blindsight.problems import Problem

    async def lost(*_: object, **__: object) -> None:
        raise Problem("enclave_unavailable", "The enclave was lost.")

    with running_app(tiny_stack, quota="10/day") as app:
        monkeypatch.setattr(type(app.services.fleet), "classify", lost)
        refused = classify(app)
        check(refused, "enclave_unavailable")
        assert state(refused)["images-per-day"][0] == 10
        assert state(batch(app, 4))["images-per-day"][0] == 10


def test_a_caller_without_a_valid_token_uses_up_no_limit(tiny_stack: Stack, tmp_path: Path) -> None:
    alice = tokens.create("alice", tmp_path / "tokens")
    with running_app(tiny_stack, rate_limit="3/minute", quota="9/day", tokens_file=tmp_path / "tokens") as app:
        for wrong in ("", alice[:-1], f"{alice}x", "alice", tokens.hash_of(alice), f"{CANARY} {alice}"):
            for _ in range(2):
                check(classify(app, wrong), "unauthenticated")
        answer = classify(app, alice)
        assert state(answer) == {"requests-per-minute": (2, 60), "images-per-day": (8, 86400)}


def test_a_token_at_its_limit_delays_no_other_on_the_same_connection(tiny_stack: Stack, tmp_path: Path) -> None:
    """As behind a proxy that the gateway does not know."""
    alice, bob = (tokens.create(name, tmp_path / "tokens") for name in ("alice", "bob"))
    with running_app(tiny_stack, rate_limit="3/hour", tokens_file=tmp_path / "tokens") as app:
        assert [classify(app, alice).status_code for _ in range(8)] == [200] * 3 + [429] * 5
        started = time.perf_counter()
        assert classify(app, bob).status_code == 200
        assert time.perf_counter() - started < 0.25 + pacing.FIRST_WAIT


def test_an_address_at_its_limit_is_held_up(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="1/hour") as app:
        started = time.perf_counter()
        assert [classify(app).status_code for _ in range(4)] == [200] + [429] * 3
        assert time.perf_counter() - started > pacing.FIRST_WAIT


def test_an_address_with_batches_beyond_its_quota_is_held_up(tiny_stack: Stack) -> None:
    """One image is left, so that only the batch, which was read, is too much."""
    with running_app(tiny_stack, quota="1/day") as app:
        started = time.perf_counter()
        for _ in range(3):
            check(batch(app, 2), "quota_exceeded")
        assert time.perf_counter() - started > 2 * pacing.FIRST_WAIT


def test_a_batch_that_never_fits_is_told_so_and_leaves_every_quota_as_it_was(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, quota="8/day, 2/hour") as app:
        refused = batch(app, 3)
        problem = check(refused, "quota_exceeded")
        assert "send at most 2 at once" in problem["detail"]
        assert {name: left for name, (left, _) in state(refused).items()} == {"images-per-day": 8, "images-per-hour": 2}
        assert batch(app, 2).status_code == 200
        assert "Try again in" in check(batch(app, 2), "quota_exceeded")["detail"]


def test_spoofed_addresses_are_the_same_caller(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="5/minute") as app:
        found = [
            classify(app, **{"x-forwarded-for": f"192.0.2.{number}", "forwarded": f"for=192.0.2.{number}"}).status_code
            for number in range(8)
        ]
        assert found == [200] * 5 + [429] * 3


def test_behind_a_proxy_the_callers_address_counts(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="2/minute", proxies="127.0.0.1") as app:

        def of(*addresses: str) -> int:
            return classify(app, **{"x-forwarded-for": ", ".join(addresses)}).status_code

        # What stands before the last address was written by the caller.
        assert [of(f"203.0.113.{number}", "192.0.2.1") for number in range(4)] == [200, 200, 429, 429]
        assert of("192.0.2.2") == 200
        # An IPv6 site has one /64 at least.
        assert [of(f"2001:db8::{number:x}") for number in range(1, 5)] == [200, 200, 429, 429]
        assert of("2001:db8:0:1::1") == 200
        assert of("::ffff:192.0.2.1") == 429


def test_of_100_at_once_exactly_the_limit_is_answered(tiny_stack: Stack) -> None:
    async def all_at_once(port: int) -> list[int]:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            sent = (client.post("/classify", content=PHOTO, headers={"content-type": "image/png"}) for _ in range(100))
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    with running_app(tiny_stack, rate_limit="10/hour", max_in_flight=200) as app:
        found = asyncio.run(all_at_once(app.port))
        assert (found.count(200), found.count(429)) == (10, 90)
    with running_app(tiny_stack, quota="10/day", max_in_flight=200) as app:
        found = asyncio.run(all_at_once(app.port))
        assert (found.count(200), found.count(429)) == (10, 90)


def test_pages_of_other_origins_can_read_the_fields(tiny_stack: Stack) -> None:
    with running_app(tiny_stack, rate_limit="1/minute", origins="https://app.example") as app:
        for _ in range(2):
            answer = classify(app, origin="https://app.example")
            exposed = answer.headers["access-control-expose-headers"]
            assert {"ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed.split(", "))
        check(answer, "rate_limited")
        asked = app.client.options(
            "/classify", headers={"origin": "https://app.example", "access-control-request-method": "POST"}
        )
        assert asked.status_code == 204


def test_without_limits_nothing_is_imported_or_added(tiny_stack: Stack) -> None:
    program = (
        "import sys, gateway.app, gateway.serve, gateway.settings; gateway.settings.Settings(policy='p');"
        "assert not {'limits', 'redis', 'gateway.ratelimits'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with running_app(tiny_stack) as app:
        assert app.services.limiter is None
        assert "ratelimit" not in classify(app).headers
