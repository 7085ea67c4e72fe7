"""DSSE envelopes (https://github.com/secure-systems-lab/dsse, version 1) around release files, signed with Ed25519.

What is signed is `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal. The name `keyid` is a
hint that this reader ignores: the caller says whose signature counts.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from blindsight import files, strict_base64, strict_json
from blindsight.errors import ReleaseError
from blindsight.release_file.statement import PAYLOAD_TYPE

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SIGNATURES = 16
_MAX_KEY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Envelope:
    """A statement and the signatures over it. A statement without an envelope has none."""

    payload: bytes
    signatures: tuple[bytes, ...]

    def check(self, key: Ed25519PublicKey) -> None:
        """Raises `ReleaseError` (`signature_missing`, `signature_invalid`) unless one signature is by `key`."""
        if not self.signatures:
            raise ReleaseError("signature_missing", "The release file has no signature.")
        for signature in self.signatures:
            try:
                key.verify(signature, pre_authentication(self.payload))
            except InvalidSignature:
                continue
            return
        raise ReleaseError("signature_invalid", "No signature of the release file is by this key.")


def open_envelope(content: bytes) -> Envelope:
    """Parse `content`: an envelope, or a bare statement. Raises `ReleaseError` (`not_a_release`)."""
    try:
        members = strict_json.loads(content)
        if not isinstance(members, dict) or "payloadType" not in members:
            return Envelope(content, ())
        if members["payloadType"] != PAYLOAD_TYPE:
            raise ReleaseError("not_a_release", "The envelope holds something else than an in-toto statement.")
        payload = strict_base64.decode(members["payload"])
        signatures = tuple(strict_base64.decode(each["sig"]) for each in members["signatures"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError("not_a_release", "The file is neither a statement nor an envelope of one.") from error
    if not 1 <= len(signatures) <= _MAX_SIGNATURES:
        raise ReleaseError("not_a_release", f"The envelope has not 1 to {_MAX_SIGNATURES} signatures.")
    return Envelope(payload, signatures)


def sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The envelope of a statement, as JSON with one signature."""
    envelope: dict[str, Any] = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id(key.public_key()),
                "sig": base64.b64encode(key.sign(pre_authentication(payload))).decode(),
            }
        ],
    }
    return rfc8785.dumps(envelope)


def pre_authentication(payload: bytes) -> bytes:
    """The signed bytes: DSSE's PAE of the payload and its type."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo (DER), hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_public_key(path: Path) -> Ed25519PublicKey:
    """The key in a PEM file. Raises `ReleaseError` (`unreadable_key`, `unusable_key`)."""
    try:
        key = load_pem_public_key(_pem(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unusable(path)
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The key in a PEM file without a password. Raises `ReleaseError` (`unreadable_key`, `unusable_key`)."""
    try:
        key = load_pem_private_key(_pem(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path)
    return key


def _pem(path: Path) -> bytes:
    try:
        return files.read(path, _MAX_KEY_BYTES)
    except OSError as error:
        raise ReleaseError("unreadable_key", f"{path} cannot be read: {error.strerror}.") from error


def _unusable(path: Path) -> ReleaseError:
    return ReleaseError("unusable_key", f"{path} holds no Ed25519 key that can be used.")
