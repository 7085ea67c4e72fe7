"""Receipts, padding and key configurations as both clients use them: what is asked for, believed, kept and sent."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from blindsight import Problem, receipts
from blindsight.errors import ReceiptError, SealingError
from blindsight.receipts import Receipt, ReceiptKey
from blindsight.sealing import keyconfig
from blindsight.sealing.kem import MLKEM768_X25519, X25519_HKDF_SHA256
from tests.blindsight.client import fake_gateway
from tests.blindsight.client.fake_gateway import ANSWER, CHECKSUM, Caller, FakeGateway, inner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blindsight.sealing import bhttp
    from enclave_runtime.keys import LaneKeys, Opened

IMAGE = b"\xff\xd8\xff a photo that no gateway may see"
WEIGHTS = "ab" * 32
OTHER_DIGEST = "12" * 32
KIB, MIB = 1 << 10, 1 << 20
HEADER_BYTES, TAG_BYTES = 7, 16
ENC_BYTES = {MLKEM768_X25519: 1120, X25519_HKDF_SHA256: 32}

Change = dict[str, Any]


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """Its manifest names weights, and its enclave gives a right receipt to any caller that asks for one."""
    manifest = {**fake_gateway.MANIFEST, "onnx": {"file": "tiny.onnx", "sha256": WEIGHTS}}
    monkeypatch.setattr(fake_gateway, "MANIFEST", manifest)
    gateway = FakeGateway(tmp_path / "state")
    gateway.respond = lambda request: inner(200, ANSWER | receipt_for(gateway, request))
    return gateway


def seconds_from_now(seconds: int) -> int:
    return int(datetime.now(UTC).timestamp()) + seconds


def receipt_for(
    gateway: FakeGateway,
    request: bhttp.Request,
    *,
    key: ReceiptKey | None = None,
    answer: Change = ANSWER,
    **changes: Any,
) -> Change:
    """The member `receipt` of an answer to `request`, as the enclave makes it; `changes` are what it gets wrong."""
    evidence = request.header("receipt-evidence")
    if evidence is None:
        return {}
    right = Receipt(
        iat=seconds_from_now(0),
        input_sha256=hashlib.sha256(request.content).hexdigest(),
        output_sha256=receipts.output_digest(answer),
        func_checksum=CHECKSUM.hex(),
        model_sha256=keyconfig.digest(gateway.attested_manifest).hex(),
        weights_sha256=WEIGHTS,
        evidence_sha256=evidence,
    )
    return {"receipt": (key or gateway.receipt_key).sign(replace(right, **changes))}


# Receipts.


def test_the_archive_verifies(caller: Caller) -> None:
    client = caller.client()
    answer = client.classify(IMAGE, with_receipt=True)
    archive = json.loads(json.dumps(answer.archive))
    verified = receipts.verify(archive, policy=caller.gateway.policy, image=IMAGE)
    assert verified.image_checked
    assert verified.receipt.weights_sha256 == WEIGHTS
    assert {name: archive[name] for name in ANSWER} == ANSWER
    # It is for the evidence that the image was sealed on the strength of.
    (asked,) = caller.gateway.inner
    document = client.recipient.document
    assert asked.header("receipt-evidence") == hashlib.sha256(document).hexdigest()
    assert base64.b64decode(archive["evidence"]["document"]) == document
    with pytest.raises(ReceiptError) as caught:
        receipts.verify(archive, policy=caller.gateway.policy, image=IMAGE + b".")
    assert caught.value.code == "receipt_input_mismatch"


def test_no_receipt_unless_asked_for(caller: Caller) -> None:
    """One that the caller did not ask for is no part of the answer, right or wrong."""
    caller.gateway.respond = lambda _: inner(200, ANSWER | {"receipt": "unasked"})
    answer = caller.client().classify(IMAGE)
    assert answer.archive is None
    assert caller.gateway.inner[0].header("receipt-evidence") is None


def test_a_problem_needs_no_receipt(caller: Caller) -> None:
    caller.gateway.respond = lambda _: inner(422, Problem("not_an_image", "It is none.").body())
    with pytest.raises(Problem) as caught:
        caller.client().classify(IMAGE, with_receipt=True)
    assert caught.value.kind.code == "not_an_image"


def test_each_receipt_names_the_evidence_of_its_own_request(caller: Caller) -> None:
    """Also where the keys rotate under a request, which is then sealed on new evidence."""
    client = caller.client()
    first = client.classify(IMAGE, with_receipt=True)
    caller.gateway.rotate()
    second = client.classify(IMAGE, with_receipt=True)
    documents = [answer.archive["evidence"]["document"] for answer in (first, second)]
    assert documents[0] != documents[1]
    for answer in (first, second):
        assert receipts.verify(answer.archive, policy=caller.gateway.policy, image=IMAGE)


def damaged(receipt: str) -> str:
    """With another signature, of the right form."""
    signed, _, signature = receipt.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


WRONG: dict[str, tuple[str, Callable[[FakeGateway, bhttp.Request], Change]]] = {
    "missing": ("malformed_receipt", lambda _, __: {}),
    "null": ("malformed_receipt", lambda _, __: {"receipt": None}),
    "garbage": ("malformed_receipt", lambda _, __: {"receipt": "e30.e30.e30"}),
    "an object": ("malformed_receipt", lambda gateway, request: {"receipt": receipt_for(gateway, request)}),
    "cut": (
        "malformed_receipt", lambda gateway, request: {"receipt": receipt_for(gateway, request)["receipt"][:-4]}
    ),
    "by a key that is not attested": (
        "receipt_key_mismatch", lambda gateway, request: receipt_for(gateway, request, key=ReceiptKey())
    ),
    "forged": (
        "receipt_signature_invalid",
        lambda gateway, request: {"receipt": damaged(receipt_for(gateway, request)["receipt"])},
    ),
    "for another image": (
        "receipt_input_mismatch", lambda gateway, request: receipt_for(gateway, request, input_sha256=OTHER_DIGEST)
    ),
    "for other evidence": (
        "receipt_evidence_mismatch",
        lambda gateway, request: receipt_for(gateway, request, evidence_sha256=OTHER_DIGEST),
    ),
    "for another function": (
        "receipt_function_mismatch", lambda gateway, request: receipt_for(gateway, request, func_checksum=OTHER_DIGEST)
    ),
    "for another model": (
        "receipt_model_mismatch", lambda gateway, request: receipt_for(gateway, request, model_sha256=OTHER_DIGEST)
    ),
    "for other weights": (
        "receipt_model_mismatch", lambda gateway, request: receipt_for(gateway, request, weights_sha256=OTHER_DIGEST)
    ),
    "of a minute before the evidence": (
        "receipt_time_implausible", lambda gateway, request: receipt_for(gateway, request, iat=seconds_from_now(-61))
    ),
    "of a day after the evidence": (
        "receipt_time_implausible",
        lambda gateway, request: receipt_for(gateway, request, iat=seconds_from_now(25 * 3600)),
    ),
    "for another answer": (
        "receipt_output_mismatch",
        lambda gateway, request: receipt_for(gateway, request, answer=ANSWER | {"predictions": []}),
    ),
    "for the answer before it was changed": (
        "receipt_output_mismatch",
        lambda gateway, request: receipt_for(gateway, request) | {"model": ANSWER["model"] | {"trained": False}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_receipt_that_does_not_vouch_for_the_answer(caller: Caller, name: str) -> None:
    code, reply = WRONG[name]
    caller.gateway.respond = lambda request: inner(200, ANSWER | reply(caller.gateway, request))
    with pytest.raises(ReceiptError) as caught:
        caller.client().classify(IMAGE, with_receipt=True)
    assert caught.value.code == code
    assert caught.value.next_step
    assert caller.gateway.paths == ["/attestation", "/classify"]  # Nothing is tried again.


def test_swapped_receipts(caller: Caller) -> None:
    """Each would be right in the other's place."""
    client = caller.client()
    images = [IMAGE, IMAGE + b"."]
    signed = [client.classify(image, with_receipt=True).archive["receipt"] for image in images]
    for image, receipt in zip(images, reversed(signed), strict=True):
        caller.gateway.respond = lambda _, receipt=receipt: inner(200, ANSWER | {"receipt": receipt})
        with pytest.raises(ReceiptError) as caught:
            client.classify(image, with_receipt=True)
        assert caught.value.code == "receipt_input_mismatch"


def test_the_receipt_of_the_same_answer_on_older_evidence(caller: Caller) -> None:
    """The caller has verified anew since, so that the enclave would have to vouch for it anew."""
    client = caller.client()
    receipt = client.classify(IMAGE, with_receipt=True).archive["receipt"]
    caller.gateway.respond = lambda _: inner(200, ANSWER | {"receipt": receipt})
    assert client.classify(IMAGE, with_receipt=True).archive["receipt"] == receipt
    client.verify()
    with pytest.raises(ReceiptError) as caught:
        client.classify(IMAGE, with_receipt=True)
    assert caught.value.code == "receipt_evidence_mismatch"


def test_another_enclaves_receipt(caller: Caller, tmp_path: Path) -> None:
    """Of the same release, for the same image, answer and evidence: its key is not in this evidence."""
    other = FakeGateway(tmp_path / "elsewhere")
    caller.gateway.respond = lambda request: inner(200, ANSWER | receipt_for(other, request))
    with pytest.raises(ReceiptError) as caught:
        caller.client().classify(IMAGE, with_receipt=True)
    assert caught.value.code == "receipt_key_mismatch"


# Padding.


@pytest.fixture
def opened(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests as the enclave finds them when it has opened them."""
    found: list[bytes] = []
    real = gateway.keys.open

    def recorded(message: bytes) -> Opened:
        result = real(message)
        found.append(result.request)
        return result

    monkeypatch.setattr(gateway.keys, "open", recorded)
    return found


def sealed(gateway: FakeGateway) -> list[bytes]:
    return [request.content for request in gateway.requests if request.url.path == "/classify"]


def test_small_images_are_sealed_to_one_length(caller: Caller) -> None:
    client = caller.client()
    for size in (1, 1000, 30 * KIB):
        client.classify(bytes(size))
        client.classify(bytes(size), with_receipt=True, top_k=2)
    lengths = {len(message) for message in sealed(caller.gateway)}
    assert lengths == {HEADER_BYTES + ENC_BYTES[MLKEM768_X25519] + 32 * KIB + TAG_BYTES}


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (0, 32 * KIB), (1, 32 * KIB), (32 * KIB, 64 * KIB), (33 * KIB, 64 * KIB), (64 * KIB, 128 * KIB),
        (128 * KIB, 256 * KIB), (256 * KIB, 512 * KIB), (512 * KIB, MIB), (602_112, MIB), (MIB, 2 * MIB),
        (2 * MIB - KIB, 2 * MIB), (2 * MIB, 3 * MIB), (5 * MIB // 2, 3 * MIB), (4 * MIB + 1, 5 * MIB),
    ],
)  # fmt: skip
def test_the_size_classes(caller: Caller, opened: list[bytes], size: int, padded: int) -> None:
    """docs/protocol.md, section 2: the whole request counts, so an image of just 32 KiB is in the next class."""
    caller.client().classify(bytes(size))
    assert len(opened[0]) == padded
    assert len(sealed(caller.gateway)[0]) == HEADER_BYTES + ENC_BYTES[MLKEM768_X25519] + padded + TAG_BYTES


@pytest.mark.parametrize("padded", [32 * KIB, 64 * KIB, MIB, 2 * MIB])
def test_the_edge_of_a_class(caller: Caller, opened: list[bytes], padded: int) -> None:
    """A request that fills its class whole is in it; one byte more is in the next."""
    client = caller.client()
    client.classify(b"\xff" * (padded - KIB))
    (first,) = caller.gateway.inner
    around = len(first.encode()) - len(first.content)
    client.classify(b"\xff" * (padded - around))
    client.classify(b"\xff" * (padded - around + 1))
    following = padded * 2 if padded < MIB else padded + MIB
    assert [len(request) for request in opened] == [padded, padded, following]
    for request, message in zip(opened, caller.gateway.inner, strict=True):
        assert request == message.encode().ljust(len(request), b"\x00")


# Key configurations.


class Offering:
    """The enclave's keys, of which only those of some KEMs are published, in this order."""

    def __init__(self, keys: LaneKeys, *kems: int, before: bytes = b"") -> None:
        configs = {config.kem.identifier: config for config in keyconfig.decode_list(keys.encoded_configs)}
        self.encoded_configs = before + keyconfig.encode_list([configs[kem] for kem in kems])
        self.public_key = keys.public_key
        self.open = keys.open


UNKNOWN_KEM = struct.pack(">HBH", 9, 1, 0x7777) + bytes(6)
"""A configuration of a KEM of days to come."""


@pytest.mark.parametrize(
    ("offered", "kem", "aead"),
    [
        ((MLKEM768_X25519, X25519_HKDF_SHA256), MLKEM768_X25519, 2),
        ((X25519_HKDF_SHA256, MLKEM768_X25519), MLKEM768_X25519, 2),
        ((MLKEM768_X25519,), MLKEM768_X25519, 2),
        ((X25519_HKDF_SHA256,), X25519_HKDF_SHA256, 1),
    ],
)
@pytest.mark.parametrize("before", [b"", UNKNOWN_KEM], ids=["", "after an unknown"])
def test_the_hybrid_where_it_is_offered(
    caller: Caller, offered: tuple[int, ...], kem: int, aead: int, before: bytes
) -> None:
    caller.gateway.keys = Offering(caller.gateway.keys, *offered, before=before)
    client = caller.client()
    answer = client.classify(IMAGE, with_receipt=True)
    assert receipts.verify(answer.archive, policy=caller.gateway.policy, image=IMAGE)
    assert caller.gateway.inner[0].content == IMAGE
    (message,) = sealed(caller.gateway)
    assert struct.unpack_from(">HHH", message, 1) == (kem, 1, aead)
    assert len(message) == HEADER_BYTES + ENC_BYTES[kem] + 32 * KIB + TAG_BYTES


def test_nothing_is_sent_where_only_unknown_kems_are_offered(caller: Caller) -> None:
    caller.gateway.keys = Offering(caller.gateway.keys, before=UNKNOWN_KEM)
    with pytest.raises(SealingError) as caught:
        caller.client().classify(IMAGE)
    assert caught.value.code == "unsupported_suite"
    assert caller.gateway.paths == ["/attestation"]
