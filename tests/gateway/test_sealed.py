"""The relay of what callers seal: passed on unread, answered sealed, refused in the clear only before decapsulation."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from blindsight import receipts
from blindsight.errors import ReceiptError
from blindsight.sealing import bhttp, keyconfig, ohttp, padding
from blindsight.sealing.kem import HybridPrivateKey
from blindsight.wire.protocol import FrameKind
from gateway import tokens
from gateway.api.body import _ENVELOPE_ROOM
from tests.gateway.conftest import STRICT
from tests.support import images
from tests.support.dates import dated
from tests.support.inprocess import running_app
from tests.support.models import label_of
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from blindsight.sealing.keyconfig import KeyConfig
    from tests.support.models import TinyModel
    from tests.support.processes import Gateway
    from tests.support.stack import Stack

CLASS = 427
BOTH = pytest.mark.parametrize("path", ["/classify", "/ohttp"])
KEYS = "/.well-known/ohttp-gateway"
HEADERS = {"content-type": "message/ohttp-req"}


def key_config(client: httpx2.Client) -> KeyConfig:
    return keyconfig.decode_list(client.get(KEYS).content)[0]


def seal(config: KeyConfig, content: bytes, *, path: str = "/classify") -> tuple[bytes, ohttp.ResponseOpener]:
    """As our client seals, padding included."""
    request = bhttp.Request("POST", path, [("content-type", "application/octet-stream"), *dated()], content).encode()
    return ohttp.encapsulate(config, padding.padded(request, padding.request_length(len(request))))


def opened(response: httpx2.Response, opener: ohttp.ResponseOpener) -> tuple[int, dict[str, Any]]:
    """Status and content inside."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "message/ohttp-res"
    assert response.headers["cache-control"] == "no-store"
    answer = bhttp.decode_response(opener.open(response.content))
    return answer.status, json.loads(answer.content)


def test_the_keys_are_the_attested_ones(tiny_stack: Stack) -> None:
    response = tiny_stack.client.get(KEYS)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/ohttp-keys"
    assert response.headers["cache-control"] == "no-store"
    evidence = tiny_stack.client.get("/attestation").json()
    assert response.content == base64.b64decode(evidence["key_configs"])
    configs = keyconfig.decode_list(response.content)
    assert [config.kem.name for config in configs] == ["MLKEM768-X25519", "DHKEM(X25519, HKDF-SHA256)"]
    assert all(len(config.suites) == 3 for config in configs)


@BOTH
def test_the_answer_is_the_plain_one_sealed(tiny_stack: Stack, path: str) -> None:
    photo = images.plain(CLASS, size=(61, 47))
    message, opener = seal(key_config(tiny_stack.client), photo, path="/classify?top_k=3")
    status, answer = opened(tiny_stack.client.post(path, content=message, headers=HEADERS), opener)
    plain = tiny_stack.client.post("/classify?top_k=3", files={"file": photo}).json()
    assert status == 200
    assert answer["predictions"] == plain["predictions"]
    assert answer["predictions"][0]["class_id"] == CLASS
    assert (answer["model"], answer["image"]) == (plain["model"], {"width": 61, "height": 47})


@BOTH
def test_every_suite_and_a_media_type_with_parameters(tiny_stack: Stack, path: str) -> None:
    request = bhttp.Request("POST", "/classify", dated(), images.plain(CLASS)).encode()
    headers = {"content-type": "Message/OHTTP-Req; charset=x"}
    for config in keyconfig.decode_list(tiny_stack.client.get(KEYS).content):
        for suite in config.suites:
            message, opener = ohttp.encapsulate(config, request, suite=suite)
            _, answer = opened(tiny_stack.client.post(path, content=message, headers=headers), opener)
            assert answer["predictions"][0]["class_id"] == CLASS


@BOTH
@pytest.mark.parametrize(
    ("inner", "content", "code"),
    [
        ("/classify", b"no image", "not_an_image"),
        ("/classify?top_k=1001", images.plain(1), "invalid_top_k"),
        ("/elsewhere", b"", "not_found"),
    ],
)
def test_the_enclaves_problems_are_sealed(tiny_stack: Stack, path: str, inner: str, content: bytes, code: str) -> None:
    message, opener = seal(key_config(tiny_stack.client), content, path=inner)
    response = tiny_stack.client.post(path, content=message, headers=HEADERS)
    status, problem = opened(response, opener)
    assert (status, problem["code"]) == (problem["status"], code)
    assert code.encode() not in response.content


@BOTH
def test_what_is_sealed_but_no_request_is_answered_sealed(tiny_stack: Stack, path: str) -> None:
    message, opener = ohttp.encapsulate(key_config(tiny_stack.client), b"\xff" * 40)
    status, problem = opened(tiny_stack.client.post(path, content=message, headers=HEADERS), opener)
    assert (status, problem["code"]) == (400, "bad_request")


@BOTH
def test_other_keys(tiny_stack: Stack, path: str) -> None:
    """Another id, another key under the id, and a damaged message are one and the same to the caller."""
    config = key_config(tiny_stack.client)
    photo = images.plain(CLASS)
    for other in (
        replace(config, key_id=config.key_id ^ 1),
        replace(config, public_key=HybridPrivateKey.generate().public_bytes()),
    ):
        response = tiny_stack.client.post(path, content=seal(other, photo)[0], headers=HEADERS)
        problem = check(response, "ohttp_key")
        assert response.status_code == 422
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#ohttp-key"
    message = bytearray(seal(config, photo)[0])
    message[-1] ^= 1
    check(tiny_stack.client.post(path, content=bytes(message), headers=HEADERS), "ohttp_key")


@BOTH
@pytest.mark.parametrize("content", [b"", b"x", bytes(54)], ids=len)
def test_what_is_no_encapsulated_request(tiny_stack: Stack, path: str, content: bytes) -> None:
    check(tiny_stack.client.post(path, content=content, headers=HEADERS), "bad_request")


@BOTH
def test_a_message_is_answered_once(tiny_stack: Stack, path: str) -> None:
    """The second time the answer is a problem, sealed and of the same length: who replays it learns nothing."""
    message, opener = seal(key_config(tiny_stack.client), images.plain(CLASS))
    first, second = (tiny_stack.client.post(path, content=message, headers=HEADERS) for _ in range(2))
    assert opened(first, opener)[0] == 200
    status, problem = opened(second, opener)
    assert (status, problem["code"]) == (409, "replayed")
    assert len(first.content) == len(second.content)


@BOTH
@pytest.mark.parametrize("seconds", [None, -400, 400])
def test_a_request_of_another_time(tiny_stack: Stack, path: str, seconds: float | None) -> None:
    fields = [] if seconds is None else dated(seconds)
    request = bhttp.Request("POST", "/classify", fields, images.plain(CLASS)).encode()
    message, opener = ohttp.encapsulate(key_config(tiny_stack.client), request)
    status, problem = opened(tiny_stack.client.post(path, content=message, headers=HEADERS), opener)
    assert (status, problem["code"]) == (400, "date")


@BOTH
def test_a_request_of_another_version(tiny_stack: Stack, path: str) -> None:
    fields = [*dated(0), ("blindsight-version", "2")]
    request = bhttp.Request("POST", "/classify", fields, images.plain(CLASS)).encode()
    message, opener = ohttp.encapsulate(key_config(tiny_stack.client), request)
    status, problem = opened(tiny_stack.client.post(path, content=message, headers=HEADERS), opener)
    assert (status, problem["code"]) == (400, "unsupported_version")


def test_a_receipt_in_the_plain_lane(tiny_stack: Stack) -> None:
    photo = images.plain(CLASS)
    answer = tiny_stack.client.post("/classify?receipt=true", files={"file": photo}).json()
    policy = tiny_stack.policy
    verified = receipts.verify(answer, policy=policy, image=photo)
    assert verified.receipt.weights_sha256 == answer["evidence"]["model"]["onnx"]["sha256"]
    with pytest.raises(ReceiptError):
        receipts.verify(answer | {"image": None}, policy=policy)
    without = tiny_stack.client.post("/classify?receipt=false", files={"file": photo}).json()
    assert not without.keys() & {"receipt", "evidence"}
    for wrong in ("receipt=1", "receipt=", "receipt=true&receipt=true"):
        check(tiny_stack.client.post(f"/classify?{wrong}", files={"file": photo}), "invalid_parameter")


@pytest.mark.parametrize(
    "media_type", ["image/png", "application/json", "message/ohttp-res", "message/ohttp-chunked-req"]
)
def test_the_relay_takes_nothing_else(tiny_stack: Stack, media_type: str) -> None:
    response = tiny_stack.client.post("/ohttp", content=CANARY, headers={"content-type": media_type})
    check(response, "unsupported_media_type")


@BOTH
def test_limits(strict_gateway: Gateway, path: str) -> None:
    """The largest image fits with its envelope; one that is larger than that is refused, counted or announced."""
    limit = int(STRICT["max_image_bytes"])
    config = key_config(strict_gateway.client)
    message, opener = seal(config, images.padded(CLASS, limit))
    _, answer = opened(strict_gateway.client.post(path, content=message, headers=HEADERS), opener)
    assert answer["predictions"][0]["class_id"] == CLASS
    longest = padding.request_length(limit + _ENVELOPE_ROOM)
    message, _ = seal(config, np.random.default_rng(1).bytes(longest + 1))
    problem = check(strict_gateway.client.post(path, content=message, headers=HEADERS), "image_too_large")
    assert problem["limit_bytes"] == limit
    check(strict_gateway.client.post(path, content=iter([message]), headers=HEADERS), "image_too_large")


@BOTH
def test_slow_body(strict_gateway: Gateway, path: str) -> None:
    with Connection(strict_gateway.port) as connection:
        connection.start("POST", path, {**HEADERS, "content-length": "5000"})
        connection.send(b"x")
        check(connection.response(), "request_timeout")
    assert strict_gateway.metric("requests_in_progress") == 0


@BOTH
def test_the_deadline(tiny_stack: Stack, strict_gateway: Gateway, path: str) -> None:
    message, _ = seal(key_config(strict_gateway.client), images.plain(CLASS))
    workers = tiny_stack.enclave.workers()
    try:
        for worker in workers:
            worker.suspend()
        check(strict_gateway.client.post(path, content=message, headers=HEADERS), "deadline_exceeded")
    finally:
        for worker in workers:
            worker.resume()


def test_a_token_is_needed_for_requests_but_not_for_keys(tiny_stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token = tokens.create("alice", file)
    with tiny_stack.another_gateway(tokens_file=file) as gateway:
        for path in ("/classify", "/ohttp"):
            message, opener = seal(key_config(gateway.client), images.plain(CLASS))
            check(gateway.client.post(path, content=message, headers=HEADERS), "unauthenticated")
            headers = HEADERS | {"authorization": f"Bearer {token}"}
            assert opened(gateway.client.post(path, content=message, headers=headers), opener)[0] == 200
        described = gateway.client.get("/openapi.json").json()["paths"]
    assert described["/ohttp"]["post"]["security"] == described["/classify"]["post"]["security"] == [{"token": []}]


def test_both_media_types_and_the_problem_are_documented(tiny_stack: Stack) -> None:
    described = tiny_stack.client.get("/openapi.json").json()["paths"]
    for path in ("/classify", "/ohttp"):
        operation = described[path]["post"]
        assert "message/ohttp-req" in operation["requestBody"]["content"]
        assert "message/ohttp-res" in operation["responses"]["200"]["content"]
        assert "ohttp_key" in operation["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert set(described["/ohttp"]["post"]["responses"]["200"]["content"]) == {"message/ohttp-res"}
    assert set(described[KEYS]["get"]["responses"]["200"]["content"]) == {"application/ohttp-keys"}


def test_without_an_enclave(tiny_stack: Stack) -> None:
    message, _ = seal(key_config(tiny_stack.client), images.plain(CLASS))
    with tiny_stack.another_gateway(ready=False, enclave=loopback(free_port())) as gateway:
        check(gateway.client.get(KEYS), "enclave_unavailable")
        for path in ("/classify", "/ohttp"):
            check(gateway.client.post(path, content=message, headers=HEADERS), "enclave_unavailable")


def test_nothing_is_sent_twice_and_every_place_is_given_back(
    tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_app(tiny_stack) as app:
        sent: list[bytes] = []
        exchange = app.services.fleet.members[0].connections.exchange

        async def watched(kind: FrameKind, payload: bytes = b"") -> tuple[FrameKind, bytes]:
            if kind is FrameKind.SEALED_REQUEST:
                sent.append(payload)
            return await exchange(kind, payload)

        monkeypatch.setattr(app.services.fleet.members[0].connections, "exchange", watched)
        config = key_config(app.client)
        stale, _ = seal(replace(config, key_id=config.key_id ^ 1), images.plain(CLASS))
        check(app.client.post("/ohttp", content=stale, headers=HEADERS), "ohttp_key")
        assert sent == [stale]
        monkeypatch.setattr(app.services.admission, "draining", True)
        check(app.client.post("/ohttp", content=stale, headers=HEADERS), "draining")
        monkeypatch.setattr(app.services.admission, "draining", False)
        monkeypatch.setattr(app.services.admission, "_places", 0)
        check(app.client.post("/ohttp", content=stale, headers=HEADERS), "overloaded")
        assert sent == [stale]
        assert app.services.admission._taken == 0


def test_what_the_gateway_records(tiny_stack: Stack, colour_model: TinyModel) -> None:
    """That there was a request; no class, no status of the inside."""
    gateway = tiny_stack.gateway
    names = ("sealed_requests_relayed_total", "images_classified_total")
    before = [gateway.metric(name) for name in names]
    config = key_config(tiny_stack.client)
    for content in (images.plain(CLASS), b"no image"):
        message, opener = seal(config, content)
        opened(tiny_stack.client.post("/ohttp", content=message, headers=HEADERS), opener)
    assert [gateway.metric(name) for name in names] == [before[0] + 2, before[1]]
    assert gateway.metric('http_requests_total{method="POST",route="/ohttp",status="200"}') >= 2
    written = tiny_stack.logs()
    assert '"route": "/ohttp"' in written
    assert not [label for label in colour_model.labels if label in written]
    assert label_of(CLASS) in colour_model.labels
