"""The client before hostile gateways: every trick is refused, by its own name, and nothing more is sent."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blindsight.client import _http
from blindsight.errors import BlindsightError, EvidenceError, SealingError, TransportError
from blindsight.problems import CATALOGUE
from enclave_runtime.keys import LaneKeys
from tests.blindsight.client.fake_gateway import ANSWER, Caller, FakeGateway, encoded, inner, problem, sealed
from tests.support.malformed_answers import GOOD, MALFORMED_OF_THE_ENCLAVE
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = b"\xff\xd8\xff a photo that no gateway may see"
JSON = {"content-type": "application/json"}


def refused(caller: Caller, client: Any, kind: type[BlindsightError], code: str) -> None:
    """`classify` fails as told, and the image was in no request that any other party can open."""
    with pytest.raises(kind) as caught:
        client.classify(IMAGE)
    assert caught.value.code == code
    assert caught.value.next_step
    assert all(IMAGE not in request.content for request in caller.gateway.requests)


def refused_evidence(caller: Caller, code: str) -> None:
    """As `refused`, with nothing but the question for evidence sent, and no better the second time."""
    client = caller.client(api_token="bs_secret")
    for _ in range(2):
        refused(caller, client, EvidenceError, code)
    assert caller.gateway.paths == ["/attestation", "/attestation"]
    assert client.recipient is None


def test_other_keys_than_the_attested(caller: Caller) -> None:
    others = encoded(LaneKeys().encoded_configs)
    caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, key_configs=others)
    refused_evidence(caller, "key_configs_mismatch")


@pytest.mark.parametrize(
    "format_", ["blindsight-attestation/2", "blindsight-attestation", "other/1", 1, None, []], ids=repr
)
def test_an_envelope_of_another_version(caller: Caller, format_: object) -> None:
    caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, format=format_)
    refused_evidence(caller, "unsupported_envelope")


@pytest.mark.parametrize("members", [{}, {"format": "blindsight-attestation/1"}, {"later": {}}], ids=repr)
def test_an_envelope_of_this_version_or_before_it_was_stated(caller: Caller, members: dict[str, object]) -> None:
    caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, **members)
    assert caller.client().verify().kind == "simulated"


def test_a_key_added_to_the_attested(caller: Caller) -> None:
    both = encoded(LaneKeys().encoded_configs + caller.gateway.keys.encoded_configs)
    caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, key_configs=both)
    refused_evidence(caller, "key_configs_mismatch")


@pytest.mark.parametrize("manifest", [{"name": "other", "trained": True}, [], None, 1 << 60, "\ud800"], ids=repr)
def test_another_model_than_the_attested(caller: Caller, manifest: Any) -> None:
    caller.gateway.manifest = manifest
    refused_evidence(caller, "model_mismatch")


@pytest.mark.parametrize("spelling", misspelt("{}"))
def test_evidence_in_another_spelling_of_json(caller: Caller, spelling: str) -> None:
    def reply(request: httpx2.Request) -> httpx2.Response:
        text = caller.gateway.attestation(request).text
        return httpx2.Response(200, content=misspelt(text)[spelling], headers=JSON)

    caller.gateway.tricks["/attestation"] = reply
    refused(caller, caller.client(), TransportError, "unexpected_answer")
    assert set(caller.gateway.paths) == {"/attestation"}


def test_replayed_evidence(caller: Caller) -> None:
    kept: list[httpx2.Response] = []

    def replay(request: httpx2.Request) -> httpx2.Response:
        kept.append(caller.gateway.attestation(request))
        return httpx2.Response(200, content=kept[0].content, headers=JSON)

    client = caller.client()
    caller.gateway.tricks["/attestation"] = replay
    client.verify()
    client.classify(IMAGE)
    with pytest.raises(EvidenceError) as caught:
        client.verify()
    assert caught.value.code == "nonce_mismatch"
    # What was accepted before counts no more.
    refused(caller, client, EvidenceError, "nonce_mismatch")
    assert caller.gateway.paths.count("/classify") == 1


def test_evidence_without_a_nonce(caller: Caller) -> None:
    caller.gateway.tricks["/attestation"] = lambda _: caller.gateway.evidence(None)
    refused_evidence(caller, "nonce_missing")


@pytest.mark.parametrize(("offset", "code"), [(-1000, "evidence_too_old"), (1000, "evidence_from_future")])
def test_evidence_of_another_time(caller: Caller, offset: float, code: str) -> None:
    caller.gateway.offset = offset
    refused_evidence(caller, code)


def test_an_enclave_of_other_code(caller: Caller, tmp_path: Path) -> None:
    other = FakeGateway(tmp_path / "state", pcrs={0: b"\x01" * 48, 1: b"\x02" * 48, 2: b"\xee" * 48})
    caller.gateway.tricks["/attestation"] = other.attestation
    refused_evidence(caller, "pcr_mismatch")


def test_an_enclave_in_debug_mode(caller: Caller, tmp_path: Path) -> None:
    caller.gateway.tricks["/attestation"] = FakeGateway(tmp_path / "state", pcrs={}).attestation
    refused_evidence(caller, "debug_document")


def test_an_enclave_under_another_root(caller: Caller, tmp_path: Path) -> None:
    caller.gateway.tricks["/attestation"] = FakeGateway(tmp_path / "elsewhere").attestation
    refused_evidence(caller, "root_not_pinned")


def test_worse_evidence_after_a_key_change(caller: Caller, tmp_path: Path) -> None:
    """The gateway says that the keys have changed, to have the image sealed to another enclave."""
    client = caller.client()
    client.verify()
    caller.gateway.tricks = {
        "/classify": lambda _: problem("ohttp_key"),
        "/attestation": FakeGateway(tmp_path / "elsewhere").attestation,
    }
    refused(caller, client, EvidenceError, "root_not_pinned")
    assert caller.gateway.paths == ["/attestation", "/classify", "/attestation"]
    assert client.recipient is None


def test_key_changes_without_end(caller: Caller) -> None:
    caller.gateway.tricks["/classify"] = lambda _: problem("ohttp_key")
    client = caller.client()
    refused(caller, client, SealingError, "unknown_key")
    assert caller.gateway.paths == ["/attestation", "/classify", "/attestation", "/classify"]


def test_evidence_for_a_nonce_of_the_gateways(caller: Caller) -> None:
    caller.gateway.tricks["/attestation"] = lambda _: caller.gateway.evidence(bytes(32))
    refused_evidence(caller, "nonce_mismatch")


@pytest.mark.parametrize("fields", [{}, {"document": 5}, {"document": "%"}, {"key_configs": None}], ids=repr)
def test_evidence_with_a_part_missing(caller: Caller, fields: dict[str, Any]) -> None:
    if fields:
        caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, **fields)
    else:
        caller.gateway.tricks["/attestation"] = lambda _: httpx2.Response(200, content=b"{}", headers=JSON)
    refused(caller, caller.client(), TransportError, "unexpected_answer")
    assert caller.gateway.paths == ["/attestation"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 100_000, b'{"document": "' + bytes(9) + b'"}'])
def test_evidence_that_is_none(caller: Caller, content: bytes) -> None:
    caller.gateway.tricks["/attestation"] = lambda _: httpx2.Response(200, content=content, headers=JSON)
    refused(caller, caller.client(), TransportError, "unexpected_answer")
    assert caller.gateway.paths == ["/attestation"]


def test_garbage_for_a_document(caller: Caller) -> None:
    changes = {"document": encoded(b"garbage")}
    caller.gateway.tricks["/attestation"] = lambda request: caller.gateway.attestation(request, **changes)
    refused_evidence(caller, "malformed_cbor")


def changed(change: Callable[[bytes], bytes]) -> Callable[[FakeGateway, httpx2.Request], httpx2.Response]:
    return lambda gateway, request: sealed(change(gateway.classify(request).content))


ANSWERS: dict[str, tuple[str, Callable[[FakeGateway, httpx2.Request], httpx2.Response]]] = {
    "cut by a byte": ("answer_not_genuine", changed(lambda content: content[:-1])),
    "cut to a half": ("answer_not_genuine", changed(lambda content: content[: len(content) // 2])),
    "cut to its nonce": ("answer_not_genuine", changed(lambda content: content[:16])),
    "empty": ("answer_not_genuine", changed(lambda _: b"")),
    "a bit flipped": ("answer_not_genuine", changed(lambda content: content[:-1] + bytes([content[-1] ^ 1]))),
    "longer": ("answer_not_genuine", changed(lambda content: content + b"\x00")),
    "plain JSON under the sealed type": ("answer_not_genuine", changed(lambda _: json.dumps(ANSWER).encode())),
    "downgraded to plain JSON": (
        "not_sealed", lambda _, __: httpx2.Response(200, content=json.dumps(ANSWER), headers=JSON)
    ),
    "under another type": (
        "not_sealed",
        lambda gateway, request: httpx2.Response(
            200, content=gateway.classify(request).content, headers={"content-type": "application/octet-stream"}
        ),
    ),
    "without a type": ("not_sealed", lambda _, __: httpx2.Response(200, content=b"x")),
    "a success of another status": ("unexpected_answer", lambda _, __: httpx2.Response(204)),
    "elsewhere": (
        "unexpected_answer", lambda _, __: httpx2.Response(307, headers={"location": "https://evil.example/classify"})
    ),
    "a page": ("unexpected_answer", lambda _, __: httpx2.Response(404, content=b"<html>")),
    "a page of a proxy": ("unavailable", lambda _, __: httpx2.Response(502, content=b"<html>")),
    "packed": (
        "unexpected_answer",
        lambda gateway, request: httpx2.Response(
            200,
            content=zlib.compress(gateway.classify(request).content),
            headers={"content-type": "message/ohttp-res", "content-encoding": "deflate"},
        ),
    ),
    "without end": ("unexpected_answer", changed(lambda content: content + bytes(_http.MAX_REPLY_BYTES))),
    "a problem of an unknown code": (
        "unexpected_answer", lambda _, __: problem("bad_request", code="because", type="/problems#because")
    ),
    "a problem that is none": (
        "unexpected_answer",
        lambda _, __: httpx2.Response(422, content=b"[]", headers={"content-type": "application/problem+json"}),
    ),
    **{
        f"{code} unsealed": ("not_sealed", lambda _, __, code=code: problem(code))
        for code in ("not_an_image", "invalid_top_k", "worker_lost", "too_many_pixels")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_the_enclaves(caller: Caller, name: str) -> None:
    code, answer = ANSWERS[name]
    caller.gateway.tricks["/classify"] = lambda request: answer(caller.gateway, request)
    with pytest.raises((SealingError, TransportError)) as caught:
        caller.client().classify(IMAGE)
    assert caught.value.code == code
    assert caught.value.next_step
    assert caller.gateway.paths == ["/attestation", "/classify"]  # Nothing is tried again.


def test_the_answer_to_another_request(caller: Caller) -> None:
    answers: list[bytes] = []

    def replay(request: httpx2.Request) -> httpx2.Response:
        answers.append(caller.gateway.classify(request).content)
        return sealed(answers[0])

    caller.gateway.tricks["/classify"] = replay
    client = caller.client()
    assert client.classify(IMAGE).predictions
    refused(caller, client, SealingError, "answer_not_genuine")


@pytest.mark.parametrize(
    "content",
    [{}, [], "x", ANSWER | {"predictions": [{}]}, ANSWER | {"predictions": 5}, ANSWER | {"image": 5}],
    ids=repr,
)
def test_an_enclave_of_another_release(caller: Caller, content: Any) -> None:
    caller.gateway.respond = lambda _: inner(200, content)
    refused(caller, caller.client(), TransportError, "unexpected_answer")


@pytest.mark.parametrize("case", MALFORMED_OF_THE_ENCLAVE)
def test_an_answer_with_a_member_of_another_type(caller: Caller, case: str) -> None:
    caller.gateway.respond = lambda _: inner(200, MALFORMED_OF_THE_ENCLAVE[case])
    refused(caller, caller.client(), TransportError, "unexpected_answer")


def test_the_answer_that_those_are_changed_from_is_one(caller: Caller) -> None:
    caller.gateway.respond = lambda _: inner(200, GOOD | {"later": {"member": [1]}})
    assert caller.client().classify(IMAGE).predictions[0].class_id == 207


@pytest.mark.parametrize("code", [[], {}, ["overloaded"], None, 1, True, "because"], ids=repr)
@pytest.mark.parametrize("inside", [True, False], ids=["sealed", "unsealed"])
def test_a_problem_with_a_code_of_another_type(caller: Caller, code: object, *, inside: bool) -> None:
    content = {"code": code, "detail": "Too blue."}
    if inside:
        caller.gateway.respond = lambda _: inner(422, content)
    else:
        headers = {"content-type": "application/problem+json"}
        answer = httpx2.Response(422, content=json.dumps(content), headers=headers)
        caller.gateway.tricks["/classify"] = lambda _: answer
    refused(caller, caller.client(), TransportError, "unexpected_answer")


@pytest.mark.parametrize(
    "labels",
    [None, 5, [], {}, {"count": None}, {"count": "x"}, {"count": True}, {"count": 0}, {"count": -1}, {"count": 1.5}],
    ids=repr,
)
def test_an_attested_model_without_a_number_of_classes(caller: Caller, tmp_path: Path, labels: object) -> None:
    """A policy that accepts any model accepts what its maker wrote."""
    caller.gateway = FakeGateway(tmp_path / "other", manifest={"name": "tiny", "trained": True, "labels": labels})
    refused(caller, caller.client(), TransportError, "unexpected_answer")
    assert caller.gateway.paths == ["/attestation"]


def test_a_problem_that_this_release_does_not_know(caller: Caller) -> None:
    caller.gateway.respond = lambda _: inner(422, {"code": "too_blue", "detail": "Too blue."})
    refused(caller, caller.client(), TransportError, "unexpected_answer")


def test_the_problem_type_is_the_registered_one() -> None:
    assert CATALOGUE["ohttp_key"].type == "https://iana.org/assignments/http-problem-types#ohttp-key"
