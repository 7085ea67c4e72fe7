"""Forged receipts: headers, keys, signatures and spellings that another verifier has fallen for, and garbage."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight import receipts
from blindsight.errors import EvidenceError, ReceiptError
from blindsight.receipts import ReceiptKey
from tests.blindsight.receipt_enclave import (
    ANSWER,
    MANIFEST,
    MEMBERS,
    P256_ORDER,
    P256_PRIME,
    Enclave,
    b64url,
    from_b64url,
    raw_signature,
    refused,
    refused_by_check,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> Enclave:
    return Enclave.start(tmp_path_factory.mktemp("state"))


# Header and signature.


def der(enclave: Enclave) -> bytes:
    return enclave.key._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "ES384"}, {"alg": "HS256"}, {"alg": "es256"}, {"alg": None},
        {"alg": ["ES256"]}, {"typ": "JWT"}, {"typ": "BLINDSIGHT-RECEIPT+JWS"}, {"typ": None}, {"jwk": None},
        {"jwk": []}, {"jwk": "x"}, {"jwk": {}}, {"kid": "1"}, {"crit": []}, {"b64": False}, {"jku": "https://x.example"},
        {"x5c": []}, {"": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_an_altered_header(enclave: Enclave, change: dict[str, Any]) -> None:
    """Whether an attacker changed it or the attested key itself has signed it."""
    header = enclave.header | change
    _, payload, signature = enclave.key.sign(enclave.receipt).split(".")
    for text in (enclave.sign(header, asdict(enclave.receipt)), f"{b64url(json.dumps(header).encode())}.{payload}."):
        refused(enclave, enclave.kept(text), "malformed_receipt")
    refused(enclave, enclave.kept(f"{b64url(json.dumps(header).encode())}.{payload}.{signature}"), "malformed_receipt")


@pytest.mark.parametrize("name", ["alg", "typ", "jwk"])
def test_a_header_with_a_member_missing_or_twice(enclave: Enclave, name: str) -> None:
    less = {key: value for key, value in enclave.header.items() if key != name}
    refused(enclave, enclave.kept(enclave.sign(less, asdict(enclave.receipt))), "malformed_receipt")
    member = json.dumps({name: enclave.header[name]})[1:-1]
    twice = f"{{{member}, {json.dumps(enclave.header)[1:]}".encode()
    refused(enclave, enclave.kept(enclave.sign(twice, asdict(enclave.receipt))), "malformed_receipt")


def test_a_header_of_the_same_content_in_other_words(enclave: Enclave) -> None:
    """Unsigned changes of the spelling do not pass either."""
    header, payload, signature = enclave.key.sign(enclave.receipt).split(".")
    spaced = b64url(json.dumps(enclave.header).encode())
    assert spaced != header
    refused(enclave, enclave.kept(f"{spaced}.{payload}.{signature}"), "malformed_receipt")


def mirrored(jwk: dict[str, str]) -> dict[str, str]:
    """The other point with this `x`, whose signatures are as good as the key's own for half of what ECDSA does."""
    y = P256_PRIME - int.from_bytes(from_b64url(jwk["y"]), "big")
    return jwk | {"y": b64url(y.to_bytes(32, "big"))}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _: json.loads(json.dumps(ReceiptKey()._jwk)), "receipt_key_mismatch"),
        (mirrored, "receipt_key_mismatch"),
        (lambda jwk: jwk | {"crv": "P-384"}, "malformed_receipt"),
        (lambda jwk: jwk | {"crv": "secp256k1"}, "malformed_receipt"),
        (lambda jwk: jwk | {"kty": "OKP"}, "malformed_receipt"),
        (lambda jwk: jwk | {"kid": "1"}, "malformed_receipt"),
        (lambda jwk: jwk | {"d": jwk["x"]}, "malformed_receipt"),
        (lambda jwk: {name: jwk[name] for name in ("crv", "kty", "x")}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": jwk["y"], "y": jwk["x"]}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": b64url(bytes(32)), "y": b64url(bytes(32))}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": b64url(b"\x00" + from_b64url(jwk["x"]))}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": b64url(from_b64url(jwk["x"])[1:])}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": jwk["x"] + "="}, "malformed_receipt"),
        (lambda jwk: jwk | {"x": 5}, "malformed_receipt"),
        (lambda jwk: jwk | {"y": None}, "malformed_receipt"),
    ],
)
def test_another_key_in_the_header(
    enclave: Enclave, change: Callable[[dict[str, str]], dict[str, Any]], code: str
) -> None:
    header = enclave.header | {"jwk": change(enclave.header["jwk"])}
    refused(enclave, enclave.kept(enclave.sign(header, asdict(enclave.receipt))), code)


@pytest.mark.parametrize("secret", ["DER", "PEM", "point", "JWK"])
def test_a_mac_with_the_public_key_for_a_secret(enclave: Enclave, secret: str) -> None:
    public = enclave.key._key.public_key()
    key = {
        "DER": der(enclave),
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "JWK": rfc8785.dumps(enclave.header["jwk"]),
    }[secret]
    payload = b64url(rfc8785.dumps(asdict(enclave.receipt)))
    for alg, code in (("HS256", "malformed_receipt"), ("ES256", "malformed_receipt")):
        signed = f"{b64url(rfc8785.dumps(enclave.header | {'alg': alg}))}.{payload}"
        mac = hmac.digest(key, signed.encode(), "sha256")
        refused(enclave, enclave.kept(f"{signed}.{b64url(mac)}"), code)
    # As long as a signature is.
    signed = f"{b64url(rfc8785.dumps(enclave.header))}.{payload}"
    mac = hmac.digest(key, signed.encode(), "sha512")
    refused(enclave, enclave.kept(f"{signed}.{b64url(mac)}"), "receipt_signature_invalid")


@pytest.mark.parametrize("alg", ["ES384", "ES256"])
def test_a_key_on_another_curve(enclave: Enclave, alg: str) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    numbers = key.public_key().public_numbers()
    x, y = (b64url(number.to_bytes(48, "big")) for number in (numbers.x, numbers.y))
    for crv in ("P-384", "P-256"):
        header = {**enclave.header, "alg": alg, "jwk": {"crv": crv, "kty": "EC", "x": x, "y": y}}
        signed = f"{b64url(rfc8785.dumps(header))}.{b64url(rfc8785.dumps(asdict(enclave.receipt)))}"
        for size in (32, 48):
            signature = raw_signature(key, signed.encode(), 48)[: 2 * size]
            refused(enclave, enclave.kept(f"{signed}.{b64url(signature)}"), "malformed_receipt")


def test_every_bit_of_the_signature_counts(enclave: Enclave) -> None:
    signed, _, signature = enclave.key.sign(enclave.receipt).rpartition(".")
    raw = int.from_bytes(from_b64url(signature), "big")
    codes = {
        refused_by_check(enclave, f"{signed}.{b64url((raw ^ 1 << bit).to_bytes(64, 'big'))}") for bit in range(512)
    }
    assert codes == {"receipt_signature_invalid"}


@pytest.mark.parametrize("r", [0, 1, P256_ORDER, (1 << 256) - 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER, (1 << 256) - 1])
def test_signatures_that_a_careless_verifier_takes_for_anything(enclave: Enclave, r: int, s: int) -> None:
    signed = enclave.key.sign(enclave.receipt).rpartition(".")[0]
    forged = b64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert refused_by_check(enclave, f"{signed}.{forged}") == "receipt_signature_invalid"


def test_a_signature_of_another_form(enclave: Enclave) -> None:
    signed, _, signature = enclave.key.sign(enclave.receipt).rpartition(".")
    raw = from_b64url(signature)
    in_der = enclave.key._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    for other in (b"", raw[:-1], raw + b"\x00", raw[:32], raw + raw, in_der, b"\x00" + raw[:32] + b"\x00" + raw[32:]):
        assert refused_by_check(enclave, f"{signed}.{b64url(other)}") == "malformed_receipt"


# The text.


def test_no_character_of_it_can_be_another(enclave: Enclave) -> None:
    """Whatever base64url makes of it: every other character at every place is refused, as one error or another."""
    text = enclave.key.sign(enclave.receipt)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    codes = set()
    for at, character in enumerate(text):
        if character != ".":
            # The lowest bit, which in a part's last character may be an unused one; and another.
            for bit in (1, 32):
                other = alphabet[alphabet.index(character) ^ bit]
                codes.add(refused_by_check(enclave, text[:at] + other + text[at + 1 :]))
        codes.add(refused_by_check(enclave, text[:at] + text[at + 1 :]))
        codes.add(refused_by_check(enclave, text[:at]))
    assert codes == {"malformed_receipt", "receipt_signature_invalid"}


@pytest.mark.parametrize("part", range(3))
def test_one_spelling_of_base64url_only(enclave: Enclave, part: int) -> None:
    parts = enclave.key.sign(enclave.receipt).split(".")
    right = parts[part]
    spellings = [right + "=", right + "==", right + "A", right + "\n", " " + right, right[:9] + "\n" + right[9:], "%"]
    spellings += [right[:9] + wrong + right[10:] for wrong in ("+", "/", "é", "\ud800", "\x00", ".")]
    standard = base64.b64encode(from_b64url(right)).decode()
    spellings += [standard] if standard != right else []
    if len(right) % 4:
        # The last character's unused bits, set.
        padded = (right + "AAA")[: len(right) + -len(right) % 4]
        meant = base64.urlsafe_b64decode(padded)[: len(right) * 6 // 8]
        others = [right[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
        same = [other for other in others if from_b64url(other) == meant and other != right]
        assert same
        spellings += same
    for spelling in spellings:
        text = ".".join([*parts[:part], spelling, *parts[part + 1 :]])
        assert refused_by_check(enclave, text) == "malformed_receipt", spelling


@pytest.mark.parametrize(
    "receipt",
    [None, 5, True, "", ".", "..", "...", [], {}, {"payload": "", "signatures": []}, b"e30.e30.e30", "e30.e30.e30",
     "W10.W10.", "bnVsbA.bnVsbA.", "5.5.5", "." * 100_000],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_receipt(enclave: Enclave, receipt: object) -> None:
    refused(enclave, enclave.kept() | {"receipt": receipt}, "malformed_receipt")


def test_forms_of_a_jws_other_than_the_compact_one(enclave: Enclave) -> None:
    header, payload, signature = enclave.key.sign(enclave.receipt).split(".")
    flat = {"protected": header, "payload": payload, "signature": signature}
    others: list[object] = [flat, json.dumps(flat), [header, payload, signature]]
    others += [f"{header}.{payload}", f"{header}.{payload}.{signature}.", f".{header}.{payload}.{signature}"]
    others += [f"{header}..{signature}", f" {header}.{payload}.{signature}", f"{header}.{payload}.{signature}\n"]
    for other in others:
        refused(enclave, enclave.kept() | {"receipt": other}, "malformed_receipt")


def test_a_receipt_that_was_not_kept(enclave: Enclave) -> None:
    kept = enclave.kept()
    del kept["receipt"]
    refused(enclave, kept, "malformed_receipt")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"{", b"5", b'{"iat": ' + b"9" * 5000]
)
def test_parts_that_are_no_json_object(enclave: Enclave, text: bytes) -> None:
    payload = asdict(enclave.receipt)
    assert refused_by_check(enclave, enclave.signed(text)) == "malformed_receipt"
    assert refused_by_check(enclave, enclave.sign(text, payload)) == "malformed_receipt"


# Anything at all.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
part_values = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())
often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@often
@given(text=st.text() | st.lists(part_values.map(b64url), max_size=4).map(".".join) | json_values)
def test_garbage_is_refused_as_malformed(enclave: Enclave, text: object) -> None:
    assert refused_by_check(enclave, text) == "malformed_receipt"


@often
@given(
    change=st.dictionaries(st.sampled_from(MEMBERS) | st.text(), json_values, min_size=1, max_size=3),
    header=st.dictionaries(st.sampled_from(["alg", "typ", "jwk", "kid"]) | st.text(), json_values, max_size=2),
    jwk=st.dictionaries(st.sampled_from(["crv", "kty", "x", "y"]) | st.text(), json_values, max_size=2),
)
def test_garbage_that_the_attested_key_signed(
    enclave: Enclave, change: dict[str, Any], header: dict[str, Any], jwk: dict[str, Any]
) -> None:
    whole = enclave.header | {"jwk": enclave.header["jwk"] | jwk} | header
    payload = asdict(enclave.receipt) | change
    text = enclave.sign(whole, payload)
    try:
        receipts.check(text, ANSWER, document=enclave.document, claims=enclave.claims, manifest=MANIFEST)
    except ReceiptError:
        return  # Nothing else is raised.
    # All that may differ is what the caller compares.
    assert payload.keys() == set(MEMBERS)
    assert whole == enclave.header


@often
@given(
    answer=st.dictionaries(
        st.sampled_from(["predictions", "image", "model", "receipt", "evidence"]) | st.text(), json_values, max_size=5
    ),
    evidence=st.dictionaries(st.sampled_from(["document", "model"]) | st.text(), json_values, max_size=3),
    keeping=st.sets(st.sampled_from(["receipt", "evidence", "predictions", "image", "model"])),
)
def test_garbage_for_a_kept_answer(
    enclave: Enclave, answer: dict[str, Any], evidence: dict[str, Any], keeping: set[str]
) -> None:
    kept = enclave.kept()
    garbage = answer | {"evidence": evidence} | {name: kept[name] for name in keeping}
    try:
        verified = receipts.verify(garbage, policy=enclave.policy)
    except (ReceiptError, EvidenceError):
        return  # Nothing else is raised.
    assert verified.receipt == enclave.receipt
    assert all(garbage[name] == ANSWER[name] for name in receipts.SIGNED_MEMBERS)
