"""Fingerprints of owner keys, for people to compare."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(owner_public_key: bytes) -> str:
    """`SHA256:` and base64 without padding, as OpenSSH writes it, of the Ed25519 public key (32 bytes raw)."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(owner_public_key).digest()).decode().rstrip('=')}"
