"""Signatures of images: AWS's form, and all that is not it."""

from __future__ import annotations

import datetime as dt
import io
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from blindsight.attestation import cose
from blindsight.eif import Image, measure, signature
from blindsight.errors import EifError
from tests.support.eif_golden import CERTIFICATE, FOLDER, KEY, KEY_PEM, NAME, VALID

PCR0 = bytes(range(48))
PEM = CERTIFICATE.public_bytes(Encoding.PEM)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECTION = signature.sign(PCR0, key_pem=KEY_PEM, certificate_pem=PEM)


def certificate(key: Any, *, valid: tuple[datetime, datetime] = VALID, extensions: int = 0) -> bytes:
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 7, *valid)
    if extensions:
        name = x509.SubjectAlternativeName([x509.DNSName("a" * 60)] * extensions)
        builder = builder.add_extension(name, critical=False)
    return builder.sign(KEY, SHA384()).public_bytes(Encoding.PEM)


def pem(key: Any, encryption: Any = NoEncryption()) -> bytes:  # noqa: B008 -- it has no state
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def section(*, register: Any = None, payload: bytes | None = None, certificate: bytes = PEM, **entry: Any) -> bytes:
    """A section in which one thing is another."""
    register = {"register_index": 0, "register_value": list(PCR0)} if register is None else register
    message = cose.sign(cbor2.dumps(register) if payload is None else payload, KEY)
    return cbor2.dumps([{"signing_certificate": list(certificate), "signature": list(message)} | entry])


def refused(content: bytes, *, pcr0: bytes = PCR0, at: datetime = NOW) -> str:
    with pytest.raises(EifError) as caught:
        signature.verify(content, pcr0=pcr0, at=at)
    return caught.value.code


def test_a_signature_holds_for_its_register_and_names_its_certificate() -> None:
    assert signature.verify(SECTION, pcr0=PCR0, at=NOW).certificate == CERTIFICATE
    assert signature.certificate_der(SECTION) == CERTIFICATE.public_bytes(Encoding.DER)
    assert refused(SECTION, pcr0=bytes(48)) == "signed_register_mismatch"


def test_the_golden_signature_holds_for_the_golden_image() -> None:
    opened = Image.read(io.BytesIO((FOLDER / "signed.eif").read_bytes()))
    assert opened.signature is not None
    signature.verify(opened.signature, pcr0=measure(opened).registers[0], at=NOW)


def test_the_section_has_the_form_that_others_read() -> None:
    """QEMU and nitro-cli take arrays of integers, in this order, each integer in its shortest form."""
    assert SECTION.startswith(b"\x81\xa2\x73signing_certificate\x99")
    entry = cbor2.loads(SECTION)[0]
    assert list(entry) == ["signing_certificate", "signature"]
    assert bytes(entry["signing_certificate"]) == PEM
    message = cbor2.loads(bytes(entry["signature"]))
    assert message[:2] == [bytes.fromhex("a1013822"), {}]
    assert list(cbor2.loads(message[2]).items()) == [("register_index", 0), ("register_value", list(PCR0))]


def test_only_the_certificate_goes_into_the_section() -> None:
    around = b"Bag Attributes\n" + PEM + b"trailing words\n"
    assert signature.certificate_der(signature.sign(PCR0, key_pem=KEY_PEM, certificate_pem=around))
    assert (
        bytes(cbor2.loads(signature.sign(PCR0, key_pem=KEY_PEM, certificate_pem=around))[0]["signing_certificate"])
        == PEM
    )


P256, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "certified"),
    [
        (pem(P256), certificate(P256)),
        (pem(RSA), certificate(RSA)),
        (KEY_PEM, certificate(ec.generate_private_key(ec.SECP384R1()))),
        (KEY_PEM, certificate(P256)),
        (pem(KEY, BestAvailableEncryption(b"secret")), PEM),
        (b"no key", PEM),
        (KEY_PEM, b"no certificate"),
        (PEM, PEM),
        (KEY_PEM, certificate(KEY, extensions=600)),
    ],
)
def test_keys_and_certificates_that_cannot_sign(key: bytes, certified: bytes) -> None:
    with pytest.raises(EifError) as caught:
        signature.sign(PCR0, key_pem=key, certificate_pem=certified)
    assert caught.value.code == "signing_key_unusable"


@pytest.mark.parametrize("size", [0, 47, 49])
def test_only_a_register_is_signed(size: int) -> None:
    with pytest.raises(ValueError, match="48 bytes"):
        signature.sign(bytes(size), key_pem=KEY_PEM, certificate_pem=PEM)


@pytest.mark.parametrize(
    ("at", "valid"),
    [
        (VALID[0] - dt.timedelta(seconds=1), False),
        (VALID[0], True),
        (VALID[1], True),
        (VALID[1] + dt.timedelta(seconds=1), False),
    ],
)
def test_the_certificate_must_be_valid_at_the_time(at: datetime, valid: bool) -> None:
    if valid:
        assert signature.verify(SECTION, pcr0=PCR0, at=at).pcr0 == PCR0
    else:
        assert refused(SECTION, at=at) == "signing_certificate_expired"


def test_the_time_is_now_unless_one_is_given() -> None:
    past = certificate(KEY, valid=(datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)))
    content = section(certificate=past)
    with pytest.raises(EifError) as caught:
        signature.verify(content, pcr0=PCR0)
    assert caught.value.code == "signing_certificate_expired"
    assert signature.verify(content, pcr0=PCR0, at=datetime(2020, 6, 1, tzinfo=UTC)).pcr0 == PCR0


VALUE = list(PCR0)
MESSAGE = list(cose.sign(cbor2.dumps({"register_index": 0, "register_value": VALUE}), KEY))
OTHER_LINE_ENDS, BLANK_INSIDE = PEM.replace(b"\n", b"\x0b"), PEM.replace(b"MII", b"M II")
ZERO = {"register_index": 0, "register_value": VALUE}
UNSIGNED = list(cbor2.dumps([b"\xa1\x01\x20", {}, b"x", bytes(64)]))
REFUSED = {
    "no CBOR": (b"\xff", "malformed_signature"),
    "a byte behind": (SECTION + b"\0", "malformed_signature"),
    "a map": (cbor2.dumps(cbor2.loads(SECTION)[0]), "malformed_signature"),
    "a map with the key 0": (cbor2.dumps({0: cbor2.loads(SECTION)[0]}), "malformed_signature"),
    "a number as its entry": (cbor2.dumps([7]), "malformed_signature"),
    "an array as its entry": (cbor2.dumps([["signing_certificate", "signature"]]), "malformed_signature"),
    "no entry": (cbor2.dumps([]), "malformed_signature"),
    "two entries": (cbor2.dumps(cbor2.loads(SECTION) * 2), "malformed_signature"),
    "another member": (section(more=1), "malformed_signature"),
    "members in another order": (
        cbor2.dumps([{"signature": MESSAGE, "signing_certificate": list(PEM)}]),
        "malformed_signature",
    ),
    "certificate as a byte string": (section(signing_certificate=PEM), "malformed_signature"),
    "signature as a byte string": (section(signature=bytes(MESSAGE)), "malformed_signature"),
    "an integer of 256": (section(signature=[256, *MESSAGE]), "malformed_signature"),
    "an integer below zero": (section(signature=[-1, *MESSAGE]), "malformed_signature"),
    "a truth value": (section(signature=[True, *MESSAGE]), "malformed_signature"),
    "over 32 KiB": (section(signature=[0] * 32_768), "section_too_large"),
    "a map of integers": (section(signature=dict.fromkeys(range(24), 0)), "malformed_signature"),
    "a second beginning": (section(certificate=PEM + b"-----BEGIN CERTIFICATE-----\n"), "signing_certificate_invalid"),
    "a second end": (section(certificate=PEM + b"-----END CERTIFICATE-----\n"), "signing_certificate_invalid"),
    "no certificate": (section(signing_certificate=[]), "signing_certificate_invalid"),
    "certificate in DER": (section(certificate=CERTIFICATE.public_bytes(Encoding.DER)), "signing_certificate_invalid"),
    "two certificates": (section(certificate=PEM + PEM), "signing_certificate_invalid"),
    "a certificate with other line ends": (section(certificate=OTHER_LINE_ENDS), "signing_certificate_invalid"),
    "a certificate with a blank inside": (section(certificate=BLANK_INSIDE), "signing_certificate_invalid"),
    "a certificate that ends first": (section(certificate=PEM[28:] + PEM[:28]), "signing_certificate_invalid"),
    "a damaged certificate": (section(certificate=PEM.replace(b"MII", b"MIJ")), "signing_certificate_invalid"),
    "a certificate of P-256": (section(certificate=certificate(P256)), "signing_certificate_invalid"),
    "a certificate of RSA": (section(certificate=certificate(RSA)), "signing_certificate_invalid"),
    "a certificate of another key": (
        section(certificate=certificate(ec.generate_private_key(ec.SECP384R1()))),
        "signature_mismatch",
    ),
    "ES256 in the header": (
        section(signature=list(bytes(MESSAGE).replace(b"\xa1\x01\x38\x22", b"\xa1\x01\x26\x00"))),
        "malformed_signature",
    ),
    "QEMU's unsigned form": (section(signature=UNSIGNED), "malformed_signature"),
    "the last byte of the signature": (section(signature=[*MESSAGE[:-1], MESSAGE[-1] ^ 1]), "signature_mismatch"),
    "register 1": (section(register=ZERO | {"register_index": 1}), "signed_register_mismatch"),
    "register False": (section(register=ZERO | {"register_index": False}), "signed_register_mismatch"),
    "no register": (section(register={"register_value": VALUE}), "malformed_signature"),
    "one member more": (
        section(register=ZERO | {"x": 0}),
        "malformed_signature",
    ),
    "register as a byte string": (section(register=ZERO | {"register_value": PCR0}), "malformed_signature"),
    "a truth value in the register": (
        section(register=ZERO | {"register_value": [0, True, *VALUE[2:]]}),
        "malformed_signature",
    ),
    "47 bytes": (section(register=ZERO | {"register_value": VALUE[:47]}), "malformed_signature"),
    "49 bytes": (section(register=ZERO | {"register_value": [*VALUE, 0]}), "malformed_signature"),
    "another value": (section(register=ZERO | {"register_value": [0] * 48}), "signed_register_mismatch"),
    "a payload that is a list": (section(payload=cbor2.dumps([0, VALUE])), "malformed_signature"),
    "a payload that is no CBOR": (section(payload=b"\xff"), "malformed_signature"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    content, code = REFUSED[name]
    assert refused(content) == code


def test_every_changed_byte_is_refused_or_makes_another_certificate() -> None:
    """Which PCR 8 tells. A certificate's own signature is not checked: it may be self-signed."""
    whole = section(certificate=PEM.strip())  # a line feed behind it is text around it
    der = signature.certificate_der(whole)
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 1
        try:
            signature.verify(bytes(changed), pcr0=PCR0, at=NOW)
        except EifError:
            continue
        assert signature.certificate_der(bytes(changed)) != der, position


def test_a_section_may_have_32_kib_and_no_byte_more() -> None:
    """Filled up with line feeds behind the certificate, of one byte each."""

    def filled(count: int) -> bytes:
        return section(certificate=PEM + b"\n" * count, signature=MESSAGE)

    room = 30_000 + 32_768 - len(filled(30_000))
    assert len(filled(room)) == 32_768
    assert signature.verify(filled(room), pcr0=PCR0, at=NOW).pcr0 == PCR0
    assert refused(filled(room + 1)) == "section_too_large"


def test_text_around_the_certificate_is_allowed_as_awss_tools_embed_it() -> None:
    for around in (b"subject=me\n" + PEM + b"more\n", PEM.replace(b"\n", b"\r\n")):
        assert signature.verify(section(certificate=around), pcr0=PCR0, at=NOW).certificate == CERTIFICATE
