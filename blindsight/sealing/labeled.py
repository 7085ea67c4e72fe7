"""HKDF with SHA-256 (RFC 5869), and the labeled forms of RFC 9180, section 4."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

_VERSION = b"HPKE-v1"


def hkdf_extract(salt: bytes, key_material: bytes) -> bytes:
    """HKDF-Extract (RFC 5869, 2.2)."""
    return HKDF.extract(hashes.SHA256(), salt, key_material)


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869, 2.3)."""
    return HKDFExpand(hashes.SHA256(), length, info).derive(key)


def extract(suite_id: bytes, salt: bytes, label: bytes, key_material: bytes) -> bytes:
    """LabeledExtract."""
    return hkdf_extract(salt, _VERSION + suite_id + label + key_material)


def expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand."""
    return hkdf_expand(key, length.to_bytes(2, "big") + _VERSION + suite_id + label + info, length)
