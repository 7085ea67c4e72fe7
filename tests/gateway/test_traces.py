"""Traces at a real collector: what spans say, and that nothing of requests is in them."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from blindsight import Client, Problem
from gateway.tracing import allowed
from tests.support.canaries import Search
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.images import noisy, plain, tensor
from tests.support.otlp import Collector, Received, collector
from tests.support.stack import running_stack
from tests.support.waiting import wait_until
from tests.support.wire import Recorder, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.models import TinyModel
    from tests.support.processes import Gateway
    from tests.support.stack import Stack

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"

FUNCTION = zipped("def cape_handler(given):\n    return given[::-1]\n")


def trace() -> str:
    """A new trace id."""
    return secrets.token_hex(16)


def parent_of(trace_id: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-{flags}"}


def told(kept: Collector, trace_id: str, name: str) -> Received:
    """The span of this name in this trace, once it has come."""

    def found() -> Received | None:
        return next((span for span in kept.spans(trace_id) if span.name == name), None)

    return wait_until(f"span {name}", found, seconds=15)


def events_of(gateway: Gateway, trace_id: str, *, seconds: float = 15) -> list[str]:
    """What was logged of this trace, once there is something."""

    def lines() -> list[str]:
        return [line["event"] for line in gateway.events() if line.get("trace_id") == trace_id]

    return wait_until("log lines", lines, seconds=seconds)


@pytest.fixture(scope="module")
def kept() -> Iterator[Collector]:
    with collector() as started:
        yield started


@pytest.fixture(scope="module")
def traced(tiny_stack: Stack, kept: Collector) -> Iterator[Gateway]:
    with tiny_stack.another_gateway(traces=kept.url) as gateway:
        yield gateway


def test_a_request_and_its_stages(traced: Gateway, kept: Collector) -> None:
    trace_id = trace()
    answer = traced.client.post("/classify", content=plain(100), headers=parent_of(trace_id))
    assert answer.status_code == 200
    server = told(kept, trace_id, "POST /classify")
    assert server.parent == PARENT
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/classify",
        "http.response.status_code": 200,
    }
    assert server.resource.keys() == {"service.name", "service.version", "service.instance.id"}
    assert server.span.kind == 2  # Server.
    spans = {span.name: span for span in kept.spans(trace_id)}
    assert spans.keys() == {"POST /classify", "seal", "enclave", "open", "decode", "preprocess", "run"}
    assert {spans[name].parent for name in ("seal", "enclave", "open")} == {server.id}
    assert {spans[name].parent for name in ("decode", "preprocess", "run")} == {spans["enclave"].id}
    assert spans["enclave"].attributes.keys() == {"blindsight.enclave.id"}
    timings = answer.json()["timings_ms"]
    for name in ("decode", "preprocess", "run", "enclave"):
        assert spans[name].seconds == pytest.approx(timings[name] / 1000, abs=0.002)
    inner, outer = spans["run"].span, spans["enclave"].span
    assert inner.end_time_unix_nano <= outer.end_time_unix_nano + 2_000_000
    assert spans["decode"].span.start_time_unix_nano >= outer.start_time_unix_nano - 2_000_000


def test_a_sealed_request(tiny_stack: Stack, traced: Gateway, kept: Collector) -> None:
    before = len(kept.spans())
    with Client(traced.url, policy=tiny_stack.policy_file) as client:
        client.classify(plain(101))

    def relayed() -> set[str] | None:
        names = {span.trace_id: span.name for span in kept.spans()[before:] if span.name == "POST /classify"}
        return {span.name for trace_id in names for span in kept.spans(trace_id)} or None

    assert wait_until("its trace", relayed) == {"POST /classify", "enclave"}


def test_a_batch(traced: Gateway, kept: Collector) -> None:
    trace_id = trace()
    files = [("files", plain(1)), ("files", plain(2)), ("files", b"no picture")]
    assert traced.client.post("/classify/batch", files=files, headers=parent_of(trace_id)).status_code == 200
    server = told(kept, trace_id, "POST /classify/batch")
    enclaves = [span for span in kept.spans(trace_id) if span.name == "enclave"]
    assert len(enclaves) == 3
    assert {span.parent for span in enclaves} == {server.id}


def test_refusals_are_told_by_their_code(traced: Gateway, kept: Collector) -> None:
    trace_id = trace()
    assert traced.client.post("/classify", content=b"no picture", headers=parent_of(trace_id)).status_code == 422
    server = told(kept, trace_id, "POST /classify")
    assert server.attributes["error.type"] == "not_an_image"
    assert server.span.status.code == 0  # The caller's error, not the server's.
    assert not server.span.status.message
    other = trace()
    assert traced.client.get("/nowhere/at/all", headers=parent_of(other)).status_code == 404
    assert told(kept, other, "GET").attributes.keys() == {
        "http.request.method",
        "http.response.status_code",
        "error.type",
    }


def test_evidence_is_verified_in_a_trace_of_its_own(traced: Gateway, kept: Collector) -> None:
    span = wait_until("it", lambda: next((one for one in kept.spans() if one.name == "verify evidence"), None))
    assert not span.parent
    assert span.attributes.keys() == {"blindsight.enclave.id"}


def test_refused_evidence(tiny_stack: Stack, kept: Collector, tmp_path: Path) -> None:
    policy = json.loads(tiny_stack.policy_file.read_text())
    policy["releases"][0]["pcrs"]["0"] = ["11" * 48]
    other = tmp_path / "policy.json"
    other.write_text(json.dumps(policy))
    with tiny_stack.another_gateway(ready=False, traces=kept.url, policy=other):
        span = wait_until(
            "it",
            lambda: next(
                (one for one in kept.spans() if "error.type" in one.attributes and one.name == "verify evidence"), None
            ),
        )
    assert span.attributes["error.type"] == "pcr_mismatch"
    assert span.span.status.code == 2
    assert not span.span.events


def test_log_lines_carry_the_trace(tiny_stack: Stack, traced: Gateway) -> None:
    for flags in ("01", "00"):
        trace_id = trace()
        traced.client.get("/info", headers=parent_of(trace_id, flags))
        assert events_of(traced, trace_id) == ["answered"]
    tiny_stack.client.get("/info", headers={"traceparent": SAMPLED})
    assert not [line for line in tiny_stack.gateway.events() if "trace_id" in line]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}x-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 600}",
        f"00_{TRACE}_{PARENT}_01",
    ],
)  # fmt: skip
def test_an_invalid_traceparent_begins_another_trace(traced: Gateway, kept: Collector, value: str) -> None:
    request_id = str(uuid.uuid4())
    traced.client.get("/info", headers={"traceparent": value, "tracestate": "a=b", "x-request-id": request_id})
    line = wait_until(
        "its line", lambda: next((one for one in traced.events() if one.get("request_id") == request_id), None)
    )
    assert line["trace_id"] != TRACE
    assert not told(kept, line["trace_id"], "GET /info").parent


def test_several_traceparents_are_none(traced: Gateway) -> None:
    headers = [("traceparent", SAMPLED), ("traceparent", f"00-{TRACE}-{PARENT}-00")]
    assert traced.client.get("/info", headers=headers).status_code == 200
    with pytest.raises(AssertionError):
        events_of(traced, TRACE, seconds=1)


def test_a_later_version_is_read_as_far_as_it_is_known(traced: Gateway) -> None:
    trace_id = trace()
    traced.client.get("/info", headers={"traceparent": f"cc-{trace_id}-{PARENT}-01-what.the-future-holds"})
    assert events_of(traced, trace_id) == ["answered"]


def test_the_ratio_is_the_parents_or_ours(tiny_stack: Stack) -> None:
    with collector() as kept:
        with tiny_stack.another_gateway(traces=kept.url, traces_ratio=0) as gateway:
            gateway.client.get("/info")
            gateway.client.get("/info", headers=parent_of(trace(), "00"))
            wanted = trace()
            gateway.client.get("/info", headers=parent_of(wanted))
            told(kept, wanted, "GET /info")
        assert {span.trace_id for span in kept.spans()} == {wanted}


def test_callers_cannot_have_everything_recorded(tiny_stack: Stack) -> None:
    with collector() as kept:
        with tiny_stack.another_gateway(traces=kept.url, traces_ratio=0) as gateway:
            for _ in range(200):
                gateway.client.get("/livez", headers=parent_of(trace()))
        assert 0 < len(kept.spans()) < 200


SEARCHED = {
    "path": secrets.token_hex(12),
    "query": secrets.token_hex(12),
    "file name": secrets.token_hex(12),
    "header": secrets.token_hex(12),
    "token": secrets.token_hex(12),
    "method": secrets.token_hex(12),
    "tracestate": secrets.token_hex(12),
    "baggage": secrets.token_hex(12),
    "body": secrets.token_hex(12),
    "field": secrets.token_hex(12),
    "username": f"u{secrets.token_hex(10)}",
    "function": f"f{secrets.token_hex(10)}",
    "input": secrets.token_hex(12),
    "agent": secrets.token_hex(12),
}


def hostile_headers(trace_id: str) -> dict[str, str]:
    return {
        **parent_of(trace_id),
        "tracestate": f"a={SEARCHED['tracestate']},rojo=00f067aa0ba902b7",
        "baggage": f"user={SEARCHED['baggage']}",
        "x-anything": SEARCHED["header"],
        "user-agent": SEARCHED["agent"],
        "authorization": f"Bearer bs_{SEARCHED['token']}",
        "cookie": f"session={SEARCHED['header']}",
    }


def use_every_lane(gateway: Gateway, stack: Stack, image: bytes, tensor_bytes: bytes) -> set[str]:
    """Send the canaries wherever a caller can put text; the labels that were answered."""
    client, secret = gateway.client, SEARCHED
    trace_id = trace()

    def post(path: str, **options: Any) -> Any:
        return client.post(path, headers={**hostile_headers(trace_id), **options.pop("headers", {})}, **options)

    answers = [
        post("/classify", files={"file": (f"{secret['file name']}.png", image)}),
        post("/classify", content=image, headers={"content-type": "image/png"}),
        post("/classify", json={"image": base64.b64encode(image).decode()}),
        post("/classify", content=tensor_bytes, headers={"content-type": "application/octet-stream"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    batch = post("/classify/batch", files=[("files", (secret["file name"], image)), ("files", secret["body"].encode())])
    refused = [
        post(f"/classify?{secret['query']}=1", content=image),
        post(f"/classify?top_k={secret['query']}", content=image),
        post(f"/{secret['path']}", content=image),
        post("/classify", content=secret["body"].encode()),
        post("/classify", json={secret["field"]: secret["body"]}),
        post("/classify", files={secret["field"]: secret["body"].encode()}),
        post("/ohttp", content=secret["body"].encode(), headers={"content-type": "message/ohttp-req"}),
        post("/classify", content=image, headers={"content-type": secret["body"]}),
        post("/classify", content=image, headers={"content-encoding": secret["body"]}),
        post("/classify", content=image, headers={"host": f"{secret['header']}.example"}),
        post("/classify", content=image, headers={"origin": f"https://{secret['header']}.example"}),
        client.request(secret["method"].upper(), "/classify", headers=hostile_headers(trace_id)),
        client.request("PROPFIND", "/classify", headers=hostile_headers(trace_id)),
        client.get(f"/static/{secret['path']}", headers=hostile_headers(trace_id)),
        client.get(f"/attestation?nonce={secret['query']}&enclave={secret['query']}"),
        client.get(f"/v1/user/{secret['path']}/key"),
        client.get(f"/v1/functions/{secret['path']}", headers=hostile_headers(trace_id)),
        post("/v1/accounts", json={"username": secret["username"], "proof": secret["token"], "owner_public_key": "x"}),
    ]
    assert {answer.status_code // 100 for answer in refused} == {4}
    with Client(gateway.url, policy=stack.policy_file) as sealing:
        sealing.classify(image)
        with pytest.raises(Problem):
            sealing.classify(secret["body"].encode() * 2)
    ada = Guest.sign_up(secret["username"], gateway.url, trust_of(stack))
    deployed = ada.deploy(secret["function"], FUNCTION)
    for function in (deployed, f"{secret['username']}/{secret['function']}"):
        assert ada.run(function, secret["input"].encode()) == secret["input"].encode()[::-1]
    results = [answer.json() for answer in answers] + batch.json()["results"][:1]
    return {prediction["label"] for result in results for prediction in result["predictions"]}


def test_nothing_of_requests_is_in_traces(colour_model: TinyModel, tmp_path: Path) -> None:
    image, tensor_bytes = noisy(357), tensor(642)
    with collector() as kept:
        with running_stack(colour_model.folder, tmp_path, cape=True, workers=1, traces=kept.url) as stack:
            labels = use_every_lane(stack.gateway, stack, image, tensor_bytes)
        names = {span.name for span in kept.spans()}
        assert {"POST /classify", "cape session", "GET /v1/deploy", "POST /v1/accounts", "_OTHER /classify"} <= names
        everything = kept.everything()
        windows = {f"image {at}": image[at : at + 24] for at in range(0, len(image) - 24, 997)}
        windows |= {f"tensor {at}": tensor_bytes[at : at + 24] for at in range(0, len(tensor_bytes) - 24, 9973)}
        search = Search({**windows, **{name: text.encode() for name, text in SEARCHED.items()}})
        assert search.found(everything) == set()
        assert search.found(b"..." + SEARCHED["query"].encode()) != set()
        for text in (*labels, "127.0.0.1:", "image/png"):
            assert text.encode() not in everything.replace(f"Host: 127.0.0.1:{kept.port}".encode(), b""), text
        for span in kept.spans():
            assert span.attributes.keys() <= allowed.KEYS
            assert not span.span.events
            assert not span.span.links
            assert not span.span.trace_state
            assert not span.span.status.message
        sessions = [span.attributes for span in kept.spans() if span.name == "cape session"]
        assert {session["blindsight.cape.route"] for session in sessions} >= {"deploy", "run"}
        assert all("blindsight.cape.outcome" in session for session in sessions)


def test_the_enclave_is_told_nothing_of_traces(tiny_stack: Stack, kept: Collector) -> None:
    trace_id = trace()
    with Recorder(tiny_stack.enclave_port) as recorder:
        with tiny_stack.another_gateway(traces=kept.url, enclave=loopback(recorder.port)) as gateway:
            gateway.client.post("/classify", content=plain(5), headers=parent_of(trace_id))
            span = told(kept, trace_id, "enclave")
        recording = b"\n".join(recorder.streams())
    for text in (trace_id, span.id, "traceparent"):
        assert text.encode() not in recording
    for text in (trace_id, span.id):
        assert bytes.fromhex(text) not in recording
