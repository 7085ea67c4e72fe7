"""Signed release files: DSSE with Ed25519, which OpenSSL verifies as well."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from blindsight.errors import ReleaseError
from blindsight.release_file import dsse, load, open_envelope, sign

if TYPE_CHECKING:
    from pathlib import Path

from tests.support import releases

PAYLOAD = b'{"_type":"a statement"}'


def code_of(call: object, *arguments: object) -> str:
    with pytest.raises(ReleaseError) as refusal:
        call(*arguments)
    return refusal.value.code


def test_what_is_signed_is_that_of_the_specification() -> None:
    """The example of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, with our type."""
    kind = "application/vnd.in-toto+json"
    assert dsse.pre_authentication(b"hello world") == f"DSSEv1 {len(kind)} {kind} 11 hello world".encode()


def test_signed_and_checked() -> None:
    key = Ed25519PrivateKey.generate()
    envelope = open_envelope(sign(PAYLOAD, key))
    assert envelope.payload == PAYLOAD
    envelope.check(key.public_key())
    assert code_of(envelope.check, Ed25519PrivateKey.generate().public_key()) == "signature_invalid"


def test_the_signature_is_over_payload_and_type() -> None:
    key = Ed25519PrivateKey.generate()
    members = json.loads(sign(PAYLOAD, key))
    other = {**members, "payload": base64.b64encode(PAYLOAD + b" ").decode()}
    assert code_of(open_envelope(json.dumps(other).encode()).check, key.public_key()) == "signature_invalid"
    bare = {**members, "signatures": [{"sig": base64.b64encode(key.sign(PAYLOAD)).decode()}]}
    assert code_of(open_envelope(json.dumps(bare).encode()).check, key.public_key()) == "signature_invalid"


def test_one_signature_of_several_is_enough() -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(2)]
    envelopes = [json.loads(sign(PAYLOAD, key)) for key in keys]
    both = {**envelopes[0], "signatures": [each["signatures"][0] for each in envelopes]}
    for key in keys:
        open_envelope(json.dumps(both).encode()).check(key.public_key())


def test_a_bare_statement_has_no_signature() -> None:
    envelope = open_envelope(PAYLOAD)
    assert envelope.payload == PAYLOAD
    assert code_of(envelope.check, Ed25519PrivateKey.generate().public_key()) == "signature_missing"


@pytest.mark.parametrize(
    "change",
    [
        {"payloadType": "text/plain"},
        {"payload": "?"},
        {"payload": None},
        {"signatures": []},
        {"signatures": [{}]},
        {"signatures": [{"sig": "?"}]},
        {"signatures": None},
        {"signatures": [{"sig": ""}] * 17},
    ],
)
def test_an_envelope_of_another_form_is_refused(change: dict[str, object]) -> None:
    members = json.loads(sign(PAYLOAD, Ed25519PrivateKey.generate()))
    assert code_of(open_envelope, json.dumps({**members, **change}).encode()) == "not_a_release"


def test_a_release_file_is_read_from_its_envelope(tmp_path: Path) -> None:
    release = releases.release(tmp_path)
    (tmp_path / "release.dsse.json").write_bytes(sign(release.encode(), Ed25519PrivateKey.generate()))
    assert load(tmp_path / "release.dsse.json") == release


def test_keys_come_from_pem_files(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    open_envelope(sign(PAYLOAD, dsse.load_private_key(private))).check(dsse.load_public_key(public))
    curve = generate_private_key(SECP256R1())
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert code_of(dsse.load_private_key, wrong) == "unusable_key"
    wrong.write_bytes(curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for unusable in (wrong, private):
        assert code_of(dsse.load_public_key, unusable) == "unusable_key"
    for read in (dsse.load_public_key, dsse.load_private_key):
        assert code_of(read, tmp_path / "nothing") == "unreadable_key"


def test_openssl_agrees(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    members = json.loads(sign(PAYLOAD, key))
    (tmp_path / "signed").write_bytes(dsse.pre_authentication(PAYLOAD))
    (tmp_path / "sig").write_bytes(base64.b64decode(members["signatures"][0]["sig"]))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key.pub",
        "-rawin",
        "-in",
        "signed",
        "-sigfile",
        "sig",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout, done.stderr
