"""Every problem of the catalogue through HTTP. Each request carries a canary wherever the caller has a say."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from blindsight.problems import CATALOGUE
from tests.gateway.conftest import STRICT
from tests.support import images
from tests.support.misspelt import misspelt
from tests.support.models import BROKEN_CLASS
from tests.support.problems import CANARY, check, check_no_echo
from tests.support.rawhttp import Connection
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

_TEXT = CANARY.encode()
_NOISE = np.random.default_rng(1).bytes(400_000)
_BOUNDARY = f"boundary-{CANARY}"


def _raw(content: bytes, media_type: str = "image/jpeg", path: str = "/classify") -> dict[str, Any]:
    return {"method": "POST", "url": path, "content": content, "headers": {"content-type": media_type}}


def _form(*contents: bytes, field: str = "file", path: str = "/classify") -> dict[str, Any]:
    named = [(field, (f"{CANARY}.jpg", content, f"image/{CANARY}")) for content in contents]
    return {"method": "POST", "url": path, "files": named}


def _json(fields: object) -> dict[str, Any]:
    return _raw(json.dumps(fields).encode(), "application/json")


def _base64(content: bytes) -> dict[str, Any]:
    return _json({"image": base64.b64encode(content).decode()})


def _gif() -> bytes:
    return images.encode(Image.new("RGB", (4, 4)), "GIF", comment=_TEXT)


def _broken_form(body: bytes, media_type: str = f"multipart/form-data; boundary={_BOUNDARY}") -> dict[str, Any]:
    return _raw(body, media_type)


_HEAD = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{CANARY}"\r\n\r\n'.encode()
_NAN = np.full((1, 3, 224, 224), np.nan, "<f4").tobytes()

PLAIN_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("empty_body", "raw", _raw(b"")),
    ("empty_body", "form with an empty file", _form(b"")),
    ("empty_body", "form with nothing", _form(field="file") | {"files": {"file": (None, b"")}}),
    ("empty_body", "json", _json({"image": ""})),
    ("empty_body", "batch", {"method": "POST", "url": "/classify/batch", "files": {"files": (None, b"")}}),
    ("not_an_image", "raw", _raw(_TEXT)),
    ("not_an_image", "form", _form(_TEXT)),
    ("not_an_image", "json", _base64(_TEXT)),
    ("truncated_image", "raw", _raw(images.truncated(_TEXT))),
    ("truncated_image", "form", _form(images.truncated(_TEXT))),
    ("truncated_image", "json", _base64(images.truncated(_TEXT))),
    ("truncated_image", "signature only", _raw(b"\xff\xd8\xff" + _TEXT)),
    ("unsupported_media_type", "header", _raw(_TEXT, f"text/{CANARY}")),
    ("not_an_image", "no header", {"method": "POST", "url": "/classify", "content": _TEXT}),
    ("not_an_image", "form without a file name", _form() | {"files": {"file": (None, _TEXT)}}),
    ("unsupported_media_type", "content", _raw(_gif())),
    ("unsupported_media_type", "batch", _raw(_TEXT, path="/classify/batch")),
    ("cannot_decrypt", "text that is no ciphertext", _raw(_TEXT, "text/plain")),
    ("cannot_decrypt", "json that is no ciphertext", _json({"ciphertext": CANARY})),
    ("cannot_decrypt", "half a surrogate pair", _raw(b'{"ciphertext": "cape:\\ud800"}', "application/json")),
    ("cannot_decrypt", "text for no account", _raw(b"cape:" + base64.b64encode(bytes(600)), "text/plain")),
    ("cannot_decrypt", "json for no account", _json({"ciphertext": f"cape:{CANARY}"})),
    ("empty_body", "no ciphertext", _raw(b"", "text/plain")),
    ("empty_body", "json without ciphertext", _json({"ciphertext": ""})),
    ("bad_json", "image and ciphertext", _json({"image": CANARY, "ciphertext": CANARY})),
    ("bad_json", "ciphertext of another type", _json({"ciphertext": 5})),
    ("too_many_pixels", "raw", _raw(images.huge(), "image/png")),
    ("too_many_images", "two files", _form(_TEXT, _TEXT)),
    ("bad_multipart", "no boundary", _broken_form(_HEAD, "multipart/form-data")),
    ("bad_multipart", "no part", _broken_form(_TEXT)),
    ("bad_multipart", "no name", _broken_form(_HEAD.replace(b'name="file"; ', b"") + _TEXT)),
    ("bad_multipart", "cut", _broken_form(_HEAD + _TEXT)),
    ("bad_multipart", "too many fields", _form(_TEXT) | {"data": {"top_k": [CANARY] * 17}}),
    ("bad_multipart", "both fields", _form(_TEXT) | {"files": {"file": _TEXT, "image": _TEXT}}),
    ("bad_request", "no gzip", _raw(_TEXT) | {"headers": {"content-type": "image/png", "content-encoding": "gzip"}}),
    ("unsupported_media_type", "coding", _raw(_TEXT) | {"headers": {"content-encoding": CANARY}}),
    ("invalid_parameter", "query", _raw(_TEXT, path=f"/classify?note={CANARY}")),
    ("invalid_parameter", "long name in the query", _raw(_TEXT, path=f"/classify?{CANARY * 4}=1")),
    ("invalid_parameter", "form", _form(_TEXT) | {"data": {"note": CANARY}}),
    ("invalid_parameter", "long name in json", _json({CANARY * 4: CANARY})),
    ("bad_json", "no json", _raw(_TEXT, "application/json")),
    ("bad_json", "not utf-8", _raw(b"\xff" + _TEXT, "application/json")),
    ("bad_json", "deep", _raw(b"[" * 100_000, "application/json")),
    *[
        ("bad_json", spelling, _raw(content, "application/json"))
        for spelling, content in misspelt(json.dumps({"image": base64.b64encode(_TEXT).decode()})).items()
    ],
    ("bad_json", "array", _json([CANARY])),
    ("bad_json", "no image", _json({"top_k": 5})),
    ("bad_json", "number", _json({"image": 5})),
    ("bad_json", "no base64", _json({"image": f"{CANARY}!"})),
    ("bad_json", "no ascii", _json({"image": f"{CANARY}\u00e4"})),
    ("invalid_tensor", "not finite", _raw(_NAN, "application/octet-stream")),
    ("invalid_tensor", "two", _raw(images.tensor(1) * 2, "application/octet-stream")),
    ("invalid_parameter", "nonce too short", {"method": "GET", "url": f"/attestation?nonce={CANARY}"}),
    ("invalid_parameter", "nonce no base64url", {"method": "GET", "url": f"/attestation?nonce={CANARY * 4}!"}),
    ("invalid_parameter", "nonce too long", {"method": "GET", "url": f"/attestation?nonce={CANARY * 100}"}),
    ("cross_origin", "form", _form(_TEXT) | {"headers": {"origin": f"https://{CANARY}.test"}}),
    ("cross_origin", "no script's leave", _raw(_TEXT) | {"headers": {"sec-fetch-site": CANARY}}),
    ("unknown_host", "name", {"method": "GET", "url": "/", "headers": {"host": f"{CANARY}.test"}}),
    ("bad_request", "no host", {"method": "GET", "url": "/", "headers": {"host": f"{CANARY}/{CANARY}"}}),
    ("not_found", "path", {"method": "GET", "url": f"/{CANARY}?{CANARY}"}),
    ("not_found", "static file", {"method": "GET", "url": f"/static/{CANARY}"}),
    ("not_found", "trailing slash", {"method": "POST", "url": f"/classify/?{CANARY}", "content": _TEXT}),
    ("method_not_allowed", "get", {"method": "GET", "url": f"/classify?{CANARY}"}),
    ("method_not_allowed", "put", _form(_TEXT) | {"method": "PUT"}),
    ("bad_request", "own method", {"method": CANARY.upper(), "url": "/classify"}),
    ("internal", "faulty model", _raw(images.plain(BROKEN_CLASS))),
    *[
        ("invalid_top_k", repr(value), _raw(images.plain(0), path=f"{path}?top_k={value}"))
        for value in ("0", "1001", "-1", "5.0", "+5", "", "%D9%A5", "9" * 5000, CANARY, f"5&top_k={CANARY}")
        for path in ("/classify", "/classify/batch")
    ],
]  # fmt: skip

STRICT_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("image_too_large", "raw", _raw(_TEXT + _NOISE)),
    ("image_too_large", "form", _form(_TEXT + _NOISE)),
    ("image_too_large", "form, a little", _form((_TEXT + _NOISE)[: STRICT["max_image_bytes"] + 1])),
    ("image_too_large", "json", _base64(_TEXT + _NOISE * 2)),
    ("image_too_large", "json, a little", _base64((_TEXT + _NOISE)[: STRICT["max_image_bytes"] + 1])),
    ("image_too_large", "ciphertext", _raw(b"cape:" + _TEXT + _NOISE, "text/plain")),
    ("image_too_large", "batch", _form(_NOISE, _NOISE, _TEXT, field="files", path="/classify/batch")),
    ("too_many_images", "batch", _form(*[_TEXT] * 5, field="files", path="/classify/batch")),
]

ELSEWHERE = {
    "request_timeout": "test_slow_body",
    "ohttp_key": "test_sealed.py",
    "replayed": "test_sealed.py",
    "date": "test_sealed.py",
    "unsupported_version": "test_sealed.py",
    "unauthenticated": "test_tokens.py",
    "rate_limited": "ratelimits/test_requests.py",
    "quota_exceeded": "ratelimits/test_requests.py",
    "overloaded": "test_overload",
    "draining": "test_inprocess.py",
    "worker_lost": "test_worker_lost",
    "enclave_unavailable": "test_no_enclave",
    "evidence_refused": "test_refused_evidence",
    "deadline_exceeded": "test_deadline",
}


def test_every_problem_is_tested() -> None:
    assert {code for code, _, _ in PLAIN_CASES + STRICT_CASES} | set(ELSEWHERE) == set(CATALOGUE)


@pytest.fixture(scope="module", autouse=True)
def _no_canary_in_logs(tiny_stack: Stack) -> Iterator[None]:
    yield
    logs = tiny_stack.logs().lower()
    assert "answered" in logs
    assert CANARY.lower() not in logs
    assert base64.b64encode(_TEXT).decode().lower() not in logs


@pytest.mark.parametrize(
    ("code", "case", "request_"), PLAIN_CASES, ids=[f"{code}: {case}"[:60] for code, case, _ in PLAIN_CASES]
)
def test_problem(tiny_stack: Stack, code: str, case: str, request_: dict[str, Any]) -> None:
    headers = {**request_.get("headers", {}), "x-request-id": CANARY, "user-agent": CANARY, "x-forwarded-for": CANARY}
    response = tiny_stack.client.request(**{**request_, "headers": headers})
    check(response, code)
    if code == "method_not_allowed":
        assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("code", "case", "request_"), STRICT_CASES, ids=[f"{code}: {case}" for code, case, _ in STRICT_CASES]
)
def test_strict_problem(strict_gateway: Gateway, code: str, case: str, request_: dict[str, Any]) -> None:
    problem = check(strict_gateway.client.request(**request_), code)
    if code == "image_too_large":
        assert problem["limit_bytes"] == STRICT["max_batch_bytes" if case == "batch" else "max_image_bytes"]
    else:
        assert problem["limit_images"] == STRICT["max_batch_images"]


def test_one_large_image_of_a_batch_is_a_problem_in_its_place(strict_gateway: Gateway) -> None:
    files = [("files", images.plain(5)), ("files", _TEXT + _NOISE[:150_000]), ("files", images.plain(6))]
    response = strict_gateway.client.post("/classify/batch", files=files)
    check_no_echo(response)
    first, second, third = response.json()["results"]
    assert (first["predictions"][0]["class_id"], third["predictions"][0]["class_id"]) == (5, 6)
    assert second["problem"]["code"] == "image_too_large"
    assert second["problem"]["limit_bytes"] == STRICT["max_image_bytes"]


def test_chunked_body_is_limited_by_count(strict_gateway: Gateway) -> None:
    """Without Content-Length; the limit is told before the endless body has come."""
    with Connection(strict_gateway.port) as connection:
        connection.start("POST", "/classify", {"content-type": "image/jpeg", "transfer-encoding": "chunked"})
        for _ in range(11):
            connection.send_chunk(_TEXT + bytes(10_000))
        check(connection.response(), "image_too_large")


def test_announced_length_is_refused_before_the_body(strict_gateway: Gateway) -> None:
    with Connection(strict_gateway.port) as connection:
        connection.start("POST", "/classify", {"content-type": "image/jpeg", "content-length": "100001"})
        check(connection.response(), "image_too_large")


@pytest.mark.parametrize("media_type", ["image/jpeg", "application/json", f"multipart/form-data; boundary={_BOUNDARY}"])
def test_slow_body(strict_gateway: Gateway, media_type: str) -> None:
    with Connection(strict_gateway.port) as connection:
        started = time.monotonic()
        connection.start("POST", "/classify", {"content-type": media_type, "content-length": "5000"})
        connection.send(_HEAD + _TEXT)
        check(connection.response(), "request_timeout")
        assert STRICT["body_timeout"] <= time.monotonic() - started < STRICT["body_timeout"] + 5
    assert _places_taken(strict_gateway) == 0


def test_overload(strict_gateway: Gateway) -> None:
    """With one place, and that held by a body on its way, the next request is refused at once and unread."""
    photo = images.plain(321)
    refused = strict_gateway.metric('requests_rejected_total{reason="overloaded"}')
    with Connection(strict_gateway.port) as holder:
        holder.start("POST", "/classify", {"content-type": "image/png", "content-length": str(len(photo))})
        holder.send(photo[:10])
        wait_until("the place is taken", lambda: _places_taken(strict_gateway) == 1)
        started = time.monotonic()
        for request in (_raw(_TEXT + bytes(90_000)), _form(_TEXT, field="files", path="/classify/batch")):
            response = strict_gateway.client.request(**request)
            check(response, "overloaded")
            assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() - started < 0.8
        holder.send(photo[10:])
        answer = holder.response()
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["class_id"] == 321
    assert strict_gateway.metric('requests_rejected_total{reason="overloaded"}') == refused + 2
    assert strict_gateway.client.post("/classify", files={"file": photo}).status_code == 200


def _places_taken(gateway: Gateway) -> float:
    return gateway.metric("requests_in_progress")


def test_deadline(tiny_stack: Stack, strict_gateway: Gateway) -> None:
    """All workers are stopped, as if stuck; the gateway gives up at its own deadline."""
    workers = tiny_stack.enclave.workers()
    try:
        for worker in workers:
            worker.suspend()
        started = time.monotonic()
        check(strict_gateway.client.request(**_raw(_TEXT)), "deadline_exceeded")
        assert STRICT["deadline"] <= time.monotonic() - started < STRICT["deadline"] + 5
    finally:
        for worker in workers:
            worker.resume()
    wait_until("the call ends without its caller", lambda: tiny_stack.enclave.status()["busy"] == 0)
    assert strict_gateway.client.request(**_raw(images.plain(9))).status_code == 200
    assert [worker.pid for worker in tiny_stack.enclave.workers()] == [worker.pid for worker in workers]


def test_worker_lost(tiny_stack: Stack) -> None:
    """The worker dies with the image in its hands; the caller hears so and the next request finds a worker."""
    workers = tiny_stack.enclave.workers()
    for worker in workers:
        worker.suspend()
    with Connection(tiny_stack.gateway.port) as connection:
        connection.start("POST", "/classify", {"content-type": "image/jpeg", "content-length": str(len(_TEXT))})
        connection.send(_TEXT)
        wait_until("the image is with a worker", lambda: tiny_stack.enclave.status()["busy"] == 1)
        for worker in workers:
            worker.kill()
        check(connection.response(), "worker_lost")
    tiny_stack.enclave.wait_warm()
    assert {worker.pid for worker in tiny_stack.enclave.workers()}.isdisjoint({worker.pid for worker in workers})
    assert tiny_stack.client.request(**_raw(images.plain(9))).status_code == 200


def test_no_enclave(tiny_stack: Stack) -> None:
    with tiny_stack.another_gateway(ready=False, enclave=loopback(free_port())) as gateway:
        for request in (_raw(_TEXT), _form(_TEXT, field="files", path="/classify/batch")):
            check(gateway.client.request(**request), "enclave_unavailable")
        for path in ("/readyz", "/v2/health/ready", "/attestation"):
            check(gateway.client.get(path), "enclave_unavailable")
        assert gateway.client.get("/livez").status_code == gateway.client.get("/v2/health/live").status_code == 200
        info = gateway.client.get("/info").json()
        assert (info["model"], info["confinement"]) == (None, None)
        assert gateway.metric("enclave_up") == 0


def test_an_expired_policy(tiny_stack: Stack) -> None:
    policy = json.loads(tiny_stack.policy_file.read_text()) | {"expires": "2026-01-01T00:00:00Z"}
    path = tiny_stack.folder / "expired-policy.json"
    path.write_text(json.dumps(policy))
    with tiny_stack.another_gateway(ready=False, policy=path) as gateway:
        wait_until("the policy is refused", lambda: gateway.metric("evidence_refused_total") > 0)
        for request in (_raw(_TEXT), _form(_TEXT, field="files", path="/classify/batch")):
            assert check(gateway.client.request(**request), "evidence_refused")["evidence_code"] == "policy_expired"
        for url in ("/readyz", "/v2/health/ready", "/attestation"):
            assert check(gateway.client.get(url), "evidence_refused")["evidence_code"] == "policy_expired"
        assert gateway.client.get("/livez").status_code == 200


def test_refused_evidence(tiny_stack: Stack) -> None:
    policy = json.loads(tiny_stack.policy_file.read_text())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    path = tiny_stack.folder / "other-policy.json"
    path.write_text(json.dumps(policy))
    with tiny_stack.another_gateway(ready=False, policy=path) as gateway:
        wait_until("the evidence is refused", lambda: gateway.metric("evidence_refused_total") > 0)
        for request in (_raw(_TEXT), _form(_TEXT, field="files", path="/classify/batch")):
            problem = check(gateway.client.request(**request), "evidence_refused")
            assert problem["evidence_code"] == "pcr_mismatch"
            assert isinstance(problem["verification_step"], int)
        for url in ("/readyz", "/v2/health/ready", "/attestation"):
            check(gateway.client.get(url), "evidence_refused")
        assert gateway.client.get("/livez").status_code == 200
        assert gateway.metric("images_classified_total") == 0
