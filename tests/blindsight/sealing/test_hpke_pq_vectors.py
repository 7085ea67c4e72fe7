"""The hybrid suite against the HPKE working group's own vectors (github.com/hpkewg/hpke-pq, draft-ietf-hpke-pq).

Two of their 13 entries are of our hybrid. One is a suite that is offered; the KDF of the other is SHAKE256, which is
not here, so its KEM alone is checked. The one entry with X25519 has TurboSHAKE128, which is not here either; RFC 9180's
own vectors are checked for that. All others are of KEMs that are not here: ML-KEM alone, the hybrids with NIST curves,
the NIST curves and X448.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.errors import SealingError
from blindsight.sealing import hpke, kem
from blindsight.sealing.kem import KEMS, MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey

ASSETS = os.environ.get("BLINDSIGHT_ASSETS", "")
FILE = Path(ASSETS, "vectors", "hpke-pq", "test-vectors.json")

pytestmark = pytest.mark.skipif(
    not ASSETS or not FILE.exists(), reason="BLINDSIGHT_ASSETS names no folder with vectors/hpke-pq"
)

SHAKE256, TURBOSHAKE128 = 0x0011, 0x0012
MLKEM_CIPHERTEXT = 1088


class Vector:
    """One entry; bytes by name. `info` and the plaintexts are ASCII that happens to be hexadecimal."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members
        self.kem_id, self.kdf_id, self.aead_id = (members[name] for name in ("kem_id", "kdf_id", "aead_id"))

    def __getitem__(self, name: str) -> bytes:
        return bytes.fromhex(self.members[name])

    @property
    def suite(self) -> hpke.Suite:
        return hpke.Suite(self.kdf_id, self.aead_id, self.kem_id)

    @property
    def key(self) -> HybridPrivateKey:
        return HybridPrivateKey(self["skRm"])


def entries(kem_id: int) -> list[Vector]:
    return [vector for vector in map(Vector, json.loads(FILE.read_text("utf-8"))) if vector.kem_id == kem_id]


def offered() -> Vector:
    (vector,) = (each for each in entries(MLKEM768_X25519) if each.kdf_id == hpke.KDF_HKDF_SHA256)
    return vector


def derive_key_pair(ikm: bytes) -> bytes:
    """DeriveKeyPair of draft-ietf-hpke-pq, which makes a private key of any `ikm`; ours are random from the start."""
    label, suite = b"DeriveKeyPair", b"KEM" + MLKEM768_X25519.to_bytes(2, "big")
    labeled = ikm + b"HPKE-v1" + suite + len(label).to_bytes(2, "big") + label + (32).to_bytes(2, "big")
    return hashlib.shake_256(labeled).digest(32)


def test_what_is_not_checked_here() -> None:
    """If the working group adds a suite that is offered, this says so."""
    suites = [(each["kem_id"], each["kdf_id"], each["aead_id"]) for each in json.loads(FILE.read_text("utf-8"))]
    supported = [suite for suite in suites if suite[0] in KEMS and suite[1] == hpke.KDF_HKDF_SHA256]
    assert supported == [(MLKEM768_X25519, hpke.KDF_HKDF_SHA256, hpke.AEAD_CHACHA20_POLY1305)]
    ours = {(kem_id, kdf_id) for kem_id, kdf_id, _ in suites if kem_id in KEMS}
    assert ours - {suite[:2] for suite in supported} == {
        (MLKEM768_X25519, SHAKE256),
        (X25519_HKDF_SHA256, TURBOSHAKE128),
    }
    for suite in set(suites) - set(supported):
        with pytest.raises(SealingError):
            hpke.Suite(kdf_id=suite[1], aead_id=suite[2], kem_id=suite[0])


@pytest.mark.parametrize("number", [0, 1])
def test_key_derivation(number: int) -> None:
    vector = entries(MLKEM768_X25519)[number]
    assert derive_key_pair(vector["ikmR"]) == vector["skRm"]
    assert vector.key.public_bytes() == vector["pkRm"]


@pytest.mark.parametrize("number", [0, 1])
def test_decapsulation(number: int) -> None:
    vector = entries(MLKEM768_X25519)[number]
    assert KEMS[MLKEM768_X25519].decapsulate(vector.key, vector["enc"]) == vector["shared_secret"]


@pytest.mark.parametrize("number", [0, 1])
def test_encapsulation_from_their_randomness(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cryptography` draws ML-KEM's randomness itself, so that half is what their `enc` decapsulates to; the other half
    comes from their ephemeral key."""
    vector = entries(MLKEM768_X25519)[number]
    ciphertext = vector["enc"][:MLKEM_CIPHERTEXT]
    secret = vector.key.mlkem.decapsulate(ciphertext)

    class Determined:
        """In the place of ML-KEM's public key."""

        @staticmethod
        def from_public_bytes(raw: bytes) -> type[Determined]:
            assert raw == vector["pkRm"][:-32]
            return Determined

        @staticmethod
        def encapsulate() -> tuple[bytes, bytes]:
            return secret, ciphertext

    monkeypatch.setattr(kem, "MLKEM768PublicKey", Determined)
    ephemeral = X25519PrivateKey.from_private_bytes(vector["ikmE"][32:])
    assert KEMS[MLKEM768_X25519].encapsulate(vector["pkRm"], ephemeral) == (vector["shared_secret"], vector["enc"])


def test_opening() -> None:
    vector = offered()
    context = hpke.setup_recipient(vector["enc"], vector.key, vector["info"], vector.suite)
    assert vector["suite_id"] == vector.suite.identifier
    for message in vector.members["encryptions"]:
        opened = context.open(bytes.fromhex(message["ct"]), bytes.fromhex(message["aad"]))
        assert opened == bytes.fromhex(message["pt"])


def test_sealing() -> None:
    vector = offered()
    context = hpke.SenderContext(vector.suite, vector["shared_secret"], vector["info"])
    for message in vector.members["encryptions"]:
        sealed = context.seal(bytes.fromhex(message["pt"]), bytes.fromhex(message["aad"]))
        assert sealed.hex() == message["ct"]


def test_exporter() -> None:
    vector = offered()
    context = hpke.setup_recipient(vector["enc"], vector.key, vector["info"], vector.suite)
    for export in vector.members["exports"]:
        assert context.export(bytes.fromhex(export["exporter_context"]), export["L"]).hex() == export["exported_value"]


@pytest.mark.parametrize("byte", [0, MLKEM_CIPHERTEXT - 1, MLKEM_CIPHERTEXT, 1119])
def test_another_enc_is_another_secret(byte: int) -> None:
    """Both halves of it, their first and their last bytes: the vectors mean nothing if any `enc` gave that secret."""
    vector = offered()
    enc = bytearray(vector["enc"])
    enc[byte] ^= 1
    assert KEMS[MLKEM768_X25519].decapsulate(vector.key, bytes(enc)) != vector["shared_secret"]
