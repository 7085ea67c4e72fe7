"""A receipt verifies offline, and altering any single thing that it vouches for has a refusal of its own."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import socket
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import cbor2
import jwt
import pytest
import rfc8785

from blindsight import receipts
from blindsight.attestation import verify_archived
from blindsight.errors import EvidenceError, ReceiptError
from blindsight.receipts import ReceiptKey
from tests.blindsight.attestation.attestation_forge import P384_ORDER
from tests.blindsight.receipt_enclave import (
    ANSWER,
    IMAGE,
    MANIFEST,
    MEMBERS,
    NOW,
    OTHER_DIGEST,
    P256_ORDER,
    PCRS,
    Enclave,
    b64url,
    from_b64url,
    refused,
)
from tests.support.policies import changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> Enclave:
    return Enclave.start(tmp_path_factory.mktemp("state"))


@pytest.fixture
def another(enclave: Enclave, tmp_path: Path) -> Enclave:
    """Another start of the same release, whose evidence is under another root."""
    return Enclave.start(tmp_path)


# What holds.


def test_a_receipt_verifies_offline(enclave: Enclave, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads(json.dumps(enclave.kept()))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", never)
    verified = receipts.verify(kept, policy=enclave.policy, image=IMAGE)
    assert verified.receipt == enclave.receipt
    assert verified.receipt.issued == NOW + timedelta(seconds=5)
    assert verified.image_checked
    assert verified.report.archived
    assert verified.report.kind == "simulated"
    assert not receipts.verify(kept, policy=enclave.policy).image_checked


def test_an_archive_is_the_answer_and_its_evidence(enclave: Enclave) -> None:
    answer = {**ANSWER, "receipt": "x"}
    before = copy.deepcopy(answer)
    kept = receipts.archive(answer, document=b"document", manifest=MANIFEST)
    assert kept == {**before, "evidence": {"document": base64.b64encode(b"document").decode(), "model": MANIFEST}}
    assert answer == before


def test_an_unrelated_implementation_verifies_the_signature(enclave: Enclave) -> None:
    """PyJWT, with the key as the header has it; and the thumbprint by RFC 7638's own recipe."""
    text = enclave.key.sign(enclave.receipt)
    jwk = jwt.get_unverified_header(text)["jwk"]
    options = {"verify_iat": False}
    claims = jwt.decode(text, jwt.PyJWK(jwk, algorithm="ES256").key, algorithms=["ES256"], options=options)
    assert claims == asdict(enclave.receipt)
    recipe = f'{{"crv":"{jwk["crv"]}","kty":"{jwk["kty"]}","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert hashlib.sha256(recipe.encode()).digest() == enclave.key.thumbprint
    assert from_b64url(text.split(".")[1]) == rfc8785.dumps(asdict(enclave.receipt))


@pytest.mark.parametrize("change", [{"timings_ms": {}}, {"request_id": "1"}, {"notice": "x"}], ids=repr)
def test_what_is_not_signed_may_change(enclave: Enclave, change: dict[str, Any]) -> None:
    assert receipts.verify(enclave.kept(**change), policy=enclave.policy, image=IMAGE).receipt == enclave.receipt


def test_the_other_form_of_the_signature_is_the_same_statement(enclave: Enclave) -> None:
    """ECDSA holds for (r, s) and (r, n - s). So no receipt is named by its text: `VerifiedReceipt` has none."""
    signed, _, signature = enclave.key.sign(enclave.receipt).rpartition(".")
    raw = from_b64url(signature)
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert other != raw
    kept = enclave.kept(f"{signed}.{b64url(other)}")
    assert receipts.verify(kept, policy=enclave.policy, image=IMAGE).receipt == enclave.receipt
    assert {field.name for field in dataclasses.fields(receipts.VerifiedReceipt)} == {
        "receipt", "report", "image_checked",
    }  # fmt: skip


# The payload.

ALTERED: dict[str, tuple[Any, str | None]] = {
    "schema": ("blindsight-receipt/2", "malformed_receipt"),
    "iat": (int(NOW.timestamp()) + 6, None),
    "input_sha256": (OTHER_DIGEST, "receipt_input_mismatch"),
    "output_sha256": (OTHER_DIGEST, "receipt_output_mismatch"),
    "func_checksum": (OTHER_DIGEST, "receipt_function_mismatch"),
    "model_sha256": (OTHER_DIGEST, "receipt_model_mismatch"),
    "weights_sha256": (OTHER_DIGEST, "receipt_model_mismatch"),
    "evidence_sha256": (OTHER_DIGEST, "receipt_evidence_mismatch"),
}
"""For each member another value, and why it is refused where the attested key itself has signed it."""


def test_every_member_is_altered_below() -> None:
    assert sorted(MEMBERS) == sorted(ALTERED)


@pytest.mark.parametrize("name", MEMBERS)
def test_an_altered_member(enclave: Enclave, name: str) -> None:
    value, code = ALTERED[name]
    altered = {**asdict(enclave.receipt), name: value}
    header, _, signature = enclave.key.sign(enclave.receipt).split(".")
    unsigned = f"{header}.{b64url(rfc8785.dumps(altered))}.{signature}"
    refused(enclave, enclave.kept(unsigned), "receipt_signature_invalid")
    # Signed by an attacker's key, under that key's header or under the attested one's.
    forger = replace(enclave, key=ReceiptKey())
    refused(enclave, enclave.kept(forger.signed(altered)), "receipt_key_mismatch")
    refused(enclave, enclave.kept(forger.sign(enclave.header, altered)), "receipt_signature_invalid")
    # Signed by the enclave itself, which says something else then.
    if code:
        refused(enclave, enclave.kept(enclave.signed(altered)), code)
    else:
        verified = receipts.verify(enclave.kept(enclave.signed(altered)), policy=enclave.policy, image=IMAGE)
        assert asdict(verified.receipt) == altered


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member(enclave: Enclave, name: str) -> None:
    payload = asdict(enclave.receipt)
    del payload[name]
    refused(enclave, enclave.kept(enclave.signed(payload)), "malformed_receipt")


@pytest.mark.parametrize("name", ["nonce", "self", "", "exp", "input_sha256 "])
def test_a_member_more(enclave: Enclave, name: str) -> None:
    payload = {**asdict(enclave.receipt), name: OTHER_DIGEST}
    refused(enclave, enclave.kept(enclave.signed(payload)), "malformed_receipt")


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_twice(enclave: Enclave, name: str) -> None:
    """Whichever of the two another reader takes."""
    payload = json.dumps(asdict(enclave.receipt))
    for value in (getattr(enclave.receipt, name), ALTERED[name][0]):
        member = json.dumps({name: value})[1:-1]
        for text in (f"{{{member}, {payload[1:]}", f"{payload[:-1]}, {member}}}"):
            refused(enclave, enclave.kept(enclave.signed(text.encode())), "malformed_receipt")


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in {"schema", "iat"}])
@pytest.mark.parametrize(
    "form",
    [
        lambda digest: digest[:-1],
        lambda digest: digest + "0",
        lambda digest: digest + "\n",
        lambda digest: " " + digest,
        lambda digest: "AB" + digest[2:],
        lambda digest: digest[:-1] + "g",
        lambda digest: digest[:-1] + "\u0660",
        lambda digest: int(digest, 16),
        lambda digest: [digest],
        lambda _: None,
    ],
)
def test_a_digest_of_another_form(enclave: Enclave, name: str, form: Callable[[str], Any]) -> None:
    payload = {**asdict(enclave.receipt), name: form(getattr(enclave.receipt, name))}
    refused(enclave, enclave.kept(enclave.signed(payload)), "malformed_receipt")


@pytest.mark.parametrize(
    "literal",
    [
        f"{int(NOW.timestamp())}.0", "1.7e9", "true", "false", "null", '"1709251204"', "0", "-1", f"-{1 << 33}",
        str(1 << 33), str(1 << 64), "1" * 400, "1" * 5000, "1e400", "NaN", "Infinity", "[1709251204]", "{}",
    ],
)  # fmt: skip
def test_a_time_of_another_form(enclave: Enclave, literal: str) -> None:
    payload = json.dumps(asdict(enclave.receipt)).replace(str(enclave.receipt.iat), literal)
    assert literal in payload
    refused(enclave, enclave.kept(enclave.signed(payload.encode())), "malformed_receipt")


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [
        (-86_400, False), (-61, False), (-60, True), (0, True), (86_400, True), (86_401, False), (25 * 3600, False),
        (1 << 32, False),
    ],
)  # fmt: skip
def test_the_time_fits_the_evidence(enclave: Enclave, seconds: int, holds: bool) -> None:
    kept = enclave.kept(enclave.key.sign(replace(enclave.receipt, iat=int(NOW.timestamp()) + seconds)))
    if holds:
        assert receipts.verify(kept, policy=enclave.policy).receipt.issued == NOW + timedelta(seconds=seconds)
    else:
        refused(enclave, kept, "receipt_time_implausible")


# The answer and the image.

FIRST, SECOND = ANSWER["predictions"]


@pytest.mark.parametrize(
    "change",
    [
        *({"predictions": [FIRST | {name: value}, SECOND]} for name, value in
          {"rank": 2, "class_id": 206, "label": "golden retriever ", "score": 0.9000000000000001}.items()),
        {"predictions": [{name: FIRST[name] for name in ("rank", "class_id", "label")}, SECOND]},
        {"predictions": [FIRST | {"sure": True}, SECOND]},
        {"predictions": [FIRST, SECOND | {"label": "cafe\u0301 \u2028"}]},
        {"predictions": [SECOND, FIRST]},
        {"predictions": [FIRST]},
        {"predictions": [FIRST, SECOND, SECOND]},
        {"predictions": []},
        {"predictions": None},
        {"image": {"width": 3, "height": 4}},
        {"image": {"width": 4}},
        {"image": None},
        *({"model": ANSWER["model"] | {name: value}} for name, value in
          {"name": "big", "version": "2", "digest": "ac", "trained": False, "notice": ""}.items()),
        {"model": None},
    ],
    ids=lambda change: json.dumps(change)[:60],
)  # fmt: skip
def test_another_answer(enclave: Enclave, change: dict[str, Any]) -> None:
    refused(enclave, enclave.kept(**change), "receipt_output_mismatch")


@pytest.mark.parametrize("name", receipts.SIGNED_MEMBERS)
def test_an_answer_with_a_part_missing(enclave: Enclave, name: str) -> None:
    kept = enclave.kept()
    del kept[name]
    refused(enclave, kept, "malformed_receipt")


@pytest.mark.parametrize("value", [1 << 60, float("nan"), float("inf"), "\ud800", {"\ud800": 1}], ids=ascii)
@pytest.mark.parametrize("name", receipts.SIGNED_MEMBERS)
def test_an_answer_without_a_canonical_form(enclave: Enclave, name: str, value: object) -> None:
    """Python's `json` reads all of these."""
    answer = json.loads(json.dumps(enclave.kept(**{name: value})))
    refused(enclave, answer, "malformed_receipt")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_an_answer_without_end(enclave: Enclave) -> None:
    refused(enclave, enclave.kept(predictions=nested(100_000)), "malformed_receipt")
    refused(enclave, enclave.kept(evidence={"document": "", "model": {"x": nested(100_000)}}), "malformed_receipt")


@pytest.mark.parametrize("image", [b"", IMAGE[:-1], IMAGE + b"\x00", bytes([IMAGE[0] ^ 1]) + IMAGE[1:]])
def test_another_image(enclave: Enclave, image: bytes) -> None:
    refused(enclave, enclave.kept(), "receipt_input_mismatch", image=image)


# The evidence.


def test_every_byte_of_the_document_counts(enclave: Enclave) -> None:
    """One bit in every fifth byte, a different one each time; the receipt is not even looked at."""
    for at in range(0, len(enclave.document), 5):
        document = bytearray(enclave.document)
        document[at] ^= 1 << at % 8
        with pytest.raises(EvidenceError):
            receipts.verify(enclave.kept(None, **enclave.evidence(bytes(document))), policy=enclave.policy)


@pytest.mark.parametrize(
    "cut", [lambda document: b"", lambda document: document[:-1], lambda document: document + b"\x00"]
)
def test_a_document_of_another_length(enclave: Enclave, cut: Callable[[bytes], bytes]) -> None:
    kept = enclave.kept(**enclave.evidence(cut(enclave.document)))
    with pytest.raises(EvidenceError):
        receipts.verify(kept, policy=enclave.policy)


def test_other_encodings_of_the_same_document(enclave: Enclave) -> None:
    """They verify, being the same statement; but the receipt names the bytes that the caller relied on."""
    protected, unprotected, payload, signature = cbor2.loads(enclave.document)
    s = P384_ORDER - int.from_bytes(signature[48:], "big")
    mirrored_signature = cbor2.dumps([protected, unprotected, payload, signature[:48] + s.to_bytes(48, "big")])
    for document in (mirrored_signature, b"\xd2" + enclave.document):
        assert verify_archived(document, policy=enclave.policy).claims == enclave.claims
        refused(enclave, enclave.kept(**enclave.evidence(document)), "receipt_evidence_mismatch")


def test_another_document_of_the_same_enclave(enclave: Enclave) -> None:
    user_data = enclave.claims.to_json()
    other = enclave.producer.attest(nonce=bytes(32), user_data=user_data, public_key=None)
    refused(enclave, enclave.kept(**enclave.evidence(other)), "receipt_evidence_mismatch")


def test_another_enclaves_receipt(enclave: Enclave, another: Enclave) -> None:
    """It holds with its own evidence, and with no other; nor does naming our document help it."""
    assert receipts.verify(another.kept(), policy=another.policy, image=IMAGE)
    refused(enclave, enclave.kept(another.key.sign(another.receipt)), "receipt_key_mismatch")
    refused(enclave, enclave.kept(another.key.sign(enclave.receipt)), "receipt_key_mismatch")
    refused(another, another.kept(enclave.key.sign(enclave.receipt)), "receipt_key_mismatch")


def test_the_same_key_in_an_enclave_of_another_function(enclave: Enclave, tmp_path: Path) -> None:
    """Evidence that names this very receipt key, for another function: the receipt is for the first."""
    other = Enclave.start(tmp_path, func_checksum=b"\x09" * 32, receipt_key_sha256=enclave.key.thumbprint)
    receipt = replace(enclave.receipt, evidence_sha256=hashlib.sha256(other.document).hexdigest())
    refused(other, other.kept(enclave.key.sign(receipt)), "receipt_function_mismatch")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"roots": frozenset({OTHER_DIGEST})}, "root_not_pinned"),
        ({"pcrs": {0: frozenset({"12" * 48})}}, "pcr_mismatch"),
        ({"pcrs": {0: frozenset({PCRS[0].hex()}), 17: frozenset({"12" * 48})}}, "pcr_missing"),
        ({"function_checksums": frozenset({OTHER_DIGEST})}, "function_not_accepted"),
        ({"model_digests": frozenset({OTHER_DIGEST})}, "model_not_accepted"),
    ],
)
def test_a_policy_that_does_not_accept_it(enclave: Enclave, change: dict[str, Any], code: str) -> None:
    refused(enclave, enclave.kept(), code, policy=changed(enclave.policy, **change))


def test_an_enclave_that_claims_nothing(enclave: Enclave) -> None:
    document = enclave.producer.attest(nonce=None, user_data=None, public_key=None)
    kept = enclave.kept(**enclave.evidence(document))
    refused(enclave, kept, "claims_missing")
    accepting = changed(enclave.policy, function_checksums=None, model_digests=None, any_function=True)
    refused(enclave, kept, "claims_missing", policy=accepting)


def test_an_enclave_that_claims_no_receipt_key(enclave: Enclave) -> None:
    claims = json.loads(enclave.claims.to_json())
    del claims["receipt_key_sha256"]
    document = enclave.producer.attest(nonce=None, user_data=rfc8785.dumps(claims), public_key=None)
    refused(enclave, enclave.kept(**enclave.evidence(document)), "malformed_claims")


@pytest.mark.parametrize(
    "model",
    [MANIFEST | {"name": "big"}, MANIFEST | {"onnx": MANIFEST["onnx"] | {"sha256": OTHER_DIGEST}},
     MANIFEST | {"extra": 1}, {"name": "tiny"}, {}],
    ids=lambda model: json.dumps(model)[:60],
)  # fmt: skip
def test_another_manifest(enclave: Enclave, model: dict[str, Any]) -> None:
    evidence = enclave.evidence()["evidence"] | {"model": model}
    refused(enclave, enclave.kept(evidence=evidence), "model_mismatch")


@pytest.mark.parametrize("onnx", [None, 5, [], {}, {"sha256": None}, {"sha256": 5}], ids=repr)
def test_an_attested_manifest_without_weights(enclave: Enclave, onnx: object) -> None:
    """No receipt can name them, not even with the word that is in their place."""
    manifest = {"name": "tiny", "onnx": onnx}
    with pytest.raises(ReceiptError) as caught:
        receipts.check(
            enclave.key.sign(enclave.receipt),
            ANSWER,
            document=enclave.document,
            claims=enclave.claims,
            manifest=manifest,
        )
    assert caught.value.code == "receipt_model_mismatch"


@pytest.mark.parametrize(
    "evidence",
    [None, 5, [], "x", {}, {"document": ""}, {"model": {}}, {"document": 5, "model": {}},
     {"document": None, "model": {}},
     {"document": "%", "model": {}}, {"document": "é", "model": {}}, {"document": "AAA", "model": {}},
     {"document": "", "model": None}, {"document": "", "model": []}, {"document": "", "model": {"x": 1 << 60}},
     {"document": "", "model": {"\ud800": 1}}, {"document": "", "model": {"x": float("nan")}}],
    ids=ascii,
)  # fmt: skip
def test_evidence_that_cannot_be_read(enclave: Enclave, evidence: object) -> None:
    refused(enclave, enclave.kept(evidence=evidence), "malformed_receipt")


def test_an_answer_kept_without_evidence(enclave: Enclave) -> None:
    kept = enclave.kept()
    del kept["evidence"]
    refused(enclave, kept, "malformed_receipt")


def test_bad_evidence_is_told_before_a_bad_receipt(enclave: Enclave) -> None:
    """Nothing of the receipt counts while nothing vouches for its key."""
    strict = changed(enclave.policy, roots=frozenset({OTHER_DIGEST}))
    refused(enclave, enclave.kept("no receipt"), "root_not_pinned", policy=strict)
