"""What a Cape host answers to an input, and the key with which its evidence says it signs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519

from blindsight.cape import messages
from blindsight.client import cape
from blindsight.errors import CapeError

SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
P256_KEY = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*SPKI)
P256 = bytes.fromhex("06082a8648ce3d030107")

KEYS = {
    "no key": b"no key",
    "a curve that is not known": P256_KEY.replace(P256, P256[:-1] + b"\x77"),
    "a kind of key that is not known": P256_KEY.replace(bytes.fromhex("06072a8648ce3d0201"), b"\x06\x07" + bytes(7)),
    "P-256": P256_KEY,
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*SPKI),
    "X25519": x25519.X25519PrivateKey.generate().public_key().public_bytes(*SPKI),
    "DSA": dsa.generate_private_key(1024).public_key().public_bytes(*SPKI),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_a_key_that_signs_nothing_refuses_the_result(key: bytes) -> None:
    document = SimpleNamespace(
        public_key=bytes(32), user_data=messages.user_data({"signature_verification_public_key": key})
    )
    checksums = messages.Checksums.of(b"input", b"", b"output").members()
    result = cape.RunResult(b"output", checksums, messages.b64(b"signature"))
    with pytest.raises(CapeError, match="does not verify"):
        cape._check_signed(result, cast("Any", document), b"input", bytes(32), b"")
