"""Harness for lists of key configurations (RFC 9458, section 3), and encryption to the keys in them."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.errors import SealingError
from blindsight.sealing import keyconfig, ohttp
from blindsight.sealing.kem import KEMS, MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from fuzz.target import Target


def run(data: bytes) -> None:
    """Check that accepted lists encode and decode to the same, that the hybrid is preferred, and that keys encrypt."""
    configs = keyconfig.decode_list(data)
    again = keyconfig.encode_list(configs)
    assert keyconfig.decode_list(again) == configs
    assert len(again) <= len(data)
    for config in configs:
        assert config.suites
        assert len(config.public_key) == KEMS[config.kem.identifier].public_bytes
        assert config.encode() in again
    if configs:
        preferred = keyconfig.preferred(configs)
        assert preferred.kem.identifier == MLKEM768_X25519 or all(
            config.kem.identifier == X25519_HKDF_SHA256 for config in configs
        )
        sealed, _ = ohttp.encapsulate(preferred, b"request")
        assert ohttp.key_id_of(sealed) == preferred.key_id


def seeds() -> dict[str, bytes]:
    """The list of an enclave, its parts, and unknown configurations."""
    hybrid = HybridPrivateKey(hashlib.sha256(b"hybrid").digest())
    x25519 = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"x25519").digest())
    first = keyconfig.offered(1, hybrid.public_bytes(), MLKEM768_X25519)
    second = keyconfig.offered(2, x25519.public_key().public_bytes_raw(), X25519_HKDF_SHA256)
    unknown = bytes([3, 0x00, 0x10]) + bytes(65) + b"\x00\x04\x00\x01\x00\x01"
    other_cipher = bytes([4, 0x00, 0x20]) + bytes(range(32)) + b"\x00\x08\x00\x01\x00\x01\x00\x02\x00\x01"
    return {
        "both": keyconfig.encode_list([first, second]),
        "hybrid": keyconfig.encode_list([first]),
        "x25519": keyconfig.encode_list([second]),
        "low-order": keyconfig.encode_list([keyconfig.offered(5, bytes(32), X25519_HKDF_SHA256)]),
        "unknown": len(unknown).to_bytes(2, "big") + unknown,
        "other-cipher": len(other_cipher).to_bytes(2, "big") + other_cipher,
        "empty": b"",
    }


TARGET = Target(run, (SealingError,), seeds, max_bytes=3000)
