"""The CMS envelope: AWS's own, OpenSSL's and the stand-in's are read; everything else is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import KmsError
from enclave_runtime.kms import envelope
from enclave_runtime.kms.ber import MAX_DEPTH, to_der_lengths
from kms_standin import envelope as standin
from kms_standin.envelope import indefinite, value

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "kms_envelope.json").read_text("utf-8"))
SECRET = bytes(range(32))
KEY = rsa.generate_private_key(65537, 2048)
SEALED = standin.seal(SECRET, KEY.public_key())


def refused(data: bytes, key: rsa.RSAPrivateKey = KEY) -> bool:
    try:
        return envelope.unseal(data, key) != SECRET
    except KmsError as error:
        return error.code == "kms_envelope_invalid"


class RecordingKey:
    """A private key that is not there: it tells what it was asked to open."""

    def __init__(self) -> None:
        self.asked = b""

    def decrypt(self, ciphertext: bytes, scheme: padding.OAEP) -> bytes:
        self.asked = ciphertext
        raise ValueError("no key")


def test_an_answer_of_the_real_service_is_read():
    key = RecordingKey()
    with pytest.raises(KmsError):
        envelope.unseal(bytes.fromhex(VECTOR["envelope"]), key)
    assert key.asked.hex().startswith(VECTOR["encrypted_key_begins"])
    assert len(key.asked) == 256


def test_the_stand_in_writes_what_the_real_service_writes():
    """Byte by byte, but for what is random: key identifier, encrypted key, vector and content."""

    def shape(data: bytes) -> bytes:
        identifier = data.index(bytes.fromhex("020102 8020")) + 5
        encrypted = data.index(bytes.fromhex("04820100")) + 4
        vector = data.index(bytes.fromhex("012a0410")) + 4
        content = vector + 16 + 4
        masked = bytearray(data)
        for start, size in ((identifier, 32), (encrypted, 256), (vector, 16), (content, 48)):
            masked[start : start + size] = bytes(size)
        return bytes(masked)

    assert shape(SEALED) == shape(bytes.fromhex(VECTOR["envelope"]))


def test_what_it_says_is_what_was_sealed():
    assert envelope.unseal(SEALED, KEY) == SECRET


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key and a certificate for it."""
    folder = tmp_path_factory.mktemp("openssl")
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    (folder / "secret").write_bytes(SECRET)
    run(folder, "req -x509 -new -key key.pem -out certificate.pem -subj /CN=enclave -days 2")
    return folder


def run(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


OAEP = "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256"


def encrypted(folder: Path, *, options: str = "-aes-256-cbc", keyid: str = "-keyid", padding_: str = OAEP) -> bytes:
    common = f"cms -encrypt -binary -in secret -outform DER -out out.der {options}"
    run(folder, f"{common} -recip certificate.pem {keyid} {padding_}")
    return (folder / "out.der").read_bytes()


@pytest.mark.parametrize("stream", ["", " -stream"], ids=["definite", "indefinite"])
def test_openssls_envelopes_are_read(openssl: Path, stream: str):
    assert envelope.unseal(encrypted(openssl, options="-aes-256-cbc" + stream), KEY) == SECRET


def test_openssl_reads_the_stand_ins(openssl: Path):
    (openssl / "sealed.der").write_bytes(SEALED)
    run(openssl, "cms -decrypt -binary -inform DER -in sealed.der -inkey key.pem -out opened")
    assert (openssl / "opened").read_bytes() == SECRET


@pytest.mark.parametrize(
    "other",
    [
        {"options": "-aes-128-cbc"},
        {"options": "-des3"},
        {"options": "-aes-256-gcm"},
        {"keyid": ""},
        {"padding_": ""},
        {"padding_": "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha1"},
        {"padding_": "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha1"},
        {"padding_": OAEP + " -keyopt rsa_oaep_label:00"},
    ],
    ids=["AES-128", "3DES", "GCM", "issuer and serial", "PKCS 1", "OAEP SHA-1", "MGF1 SHA-1", "a label"],
)
def test_other_algorithms_are_refused(openssl: Path, other: dict[str, str]):
    assert refused(encrypted(openssl, **other))


def test_two_recipients_are_refused(openssl: Path):
    recipient = f"-recip certificate.pem -keyid {OAEP}"
    run(openssl, f"cms -encrypt -binary -in secret -outform DER -out two.der -aes-256-cbc {recipient} {recipient}")
    assert refused((openssl / "two.der").read_bytes())


def test_anothers_envelope_is_refused():
    assert refused(SEALED, rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize("length", range(0, len(SEALED), 7))
def test_a_cut_off_envelope_is_refused(length: int):
    assert refused(SEALED[:length])


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_gives_no_secret_as_it_was(at: int, bit: int):
    """CBC has no tag: a change of the content gives other bytes. That it is KMS that speaks is the business of TLS.

    The key identifier alone may be anything: the enclave has one key.
    """
    changed = bytearray(SEALED)
    changed[at] ^= 1 << bit
    identifier = SEALED.index(bytes.fromhex("8020")) + 2
    assert refused(bytes(changed)) or identifier <= at < identifier + 32


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes):
    assert refused(data)


@pytest.mark.parametrize("more", [b"\x00", b"\x05\x00", SEALED], ids=["a byte", "a value", "another"])
def test_bytes_after_it_are_refused(more: bytes):
    assert refused(SEALED + more)


def test_definite_lengths_are_read_as_well():
    assert envelope.unseal(to_der_lengths(SEALED), KEY) == SECRET


@pytest.mark.parametrize("where", ["originator", "attributes"])
def test_what_is_not_expected_is_refused(where: str):
    """OriginatorInfo [0] before the recipients, UnprotectedAttributes [1] after the content (RFC 5652, 6.1)."""
    oid, version = SEALED[2:13], bytes.fromhex("020102")
    body = SEALED[SEALED.index(version) + 3 : -6]
    added = {"originator": value(0xA0, b"") + body, "attributes": body + value(0xA1, b"")}[where]
    assert not refused(indefinite(0x30, oid + indefinite(0xA0, indefinite(0x30, version + body))))
    assert refused(indefinite(0x30, oid + indefinite(0xA0, indefinite(0x30, version + added))))


def test_depth_and_size_are_bounded():
    deep = b""
    for _ in range(MAX_DEPTH + 1):
        deep = indefinite(0x30, deep)
    with pytest.raises(ValueError, match="nested"):
        to_der_lengths(deep)
    assert refused(b"\x30\x80" * 4000)
    with pytest.raises(KmsError):
        envelope.unseal(standin.seal(bytes(envelope.MAX_BYTES), KEY.public_key()), KEY)
    assert envelope.unseal(standin.seal(bytes(6144), KEY.public_key()), KEY) == bytes(6144)


def test_other_hashes_are_not_taken_for_the_right_one():
    sha1 = KEY.public_key().encrypt(bytes(32), padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    start = SEALED.index(bytes.fromhex("04820100")) + 4
    assert refused(SEALED[:start] + sha1 + SEALED[start + 256 :])
