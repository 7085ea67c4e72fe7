"""The enclave's claims in `user_data`: digests of its function, model, key configurations and receipt key.

Canonical JSON (RFC 8785) of four members, each the standard base64 of 32 bytes: `{"func_checksum": ...,
"key_configs_sha256": ..., "model_sha256": ..., "receipt_key_sha256": ...}`. PCR 16 measures function and model.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import rfc8785

from blindsight import strict_base64, strict_json
from blindsight.errors import EvidenceClaimsError

CLAIMS_PCR = 16
"""The first PCR that applications can extend."""

_CLAIM_BYTES = 32
_MEMBERS = ("func_checksum", "key_configs_sha256", "model_sha256", "receipt_key_sha256")
_OURS = _MEMBERS[1:]
"""The members that identify `user_data` of Blindsight. Cape's documents have `func_checksum`, too."""


@dataclass(frozen=True)
class Claims:
    """SHA-256 values, 32 bytes each: of the function bundle, the encoded key configurations, the canonical
    `model.json`, and the receipt key's canonical JWK (its thumbprint, RFC 7638)."""

    func_checksum: bytes
    key_configs_sha256: bytes
    model_sha256: bytes
    receipt_key_sha256: bytes

    def to_json(self) -> bytes:
        """Encode as `user_data`."""
        return rfc8785.dumps({name: b64encode(getattr(self, name)).decode() for name in _MEMBERS})

    @classmethod
    def parse(cls, user_data: bytes | None) -> Claims | None:
        """Parse `user_data`; returns None if it has another format. Other members are ignored.

        Raises `EvidenceClaimsError` `malformed_claims`.
        """
        members = _json_object(user_data or b"")
        if not any(name in members for name in _OURS):
            return None
        return cls(**{name: _claim(name, members.get(name)) for name in _MEMBERS})


def pcr16_extension(func_checksum: bytes, model_sha256: bytes) -> bytes:
    """The 48 bytes with which an enclave extends PCR 16: SHA-384 of two of its claims, as canonical JSON."""
    claims = {"func_checksum": b64encode(func_checksum).decode(), "model_sha256": b64encode(model_sha256).decode()}
    return hashlib.sha384(rfc8785.dumps(claims)).digest()


def expected_pcr16(func_checksum: bytes, model_sha256: bytes) -> bytes:
    """The value of PCR 16 for these claims, 48 bytes: zeros, extended once."""
    return hashlib.sha384(bytes(48) + pcr16_extension(func_checksum, model_sha256)).digest()


def _json_object(user_data: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(user_data)
    except strict_json.DuplicateMemberError as error:
        raise EvidenceClaimsError("malformed_claims", "user_data has the same member twice.") from error
    except ValueError:
        return {}  # Not JSON is another party's user data, not a fault.
    return value if isinstance(value, dict) else {}


def _claim(name: str, text: object) -> bytes:
    try:
        value = strict_base64.decode(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    # All zeros is a value that was published before it was computed (nitriding-daemon, pull request 16).
    if len(value) != _CLAIM_BYTES or not any(value):
        raise EvidenceClaimsError(
            "malformed_claims", f"{name} in user_data is not the base64 of {_CLAIM_BYTES} bytes, or zero."
        )
    return value
