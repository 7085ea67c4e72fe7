"""The keys, in a file. The real service keeps its keys in hardware security modules."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kms_standin.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NONCE_BYTES = 12
_MAGIC = b"blindsight-kms-standin/1\n"


class Keys:
    """AES-256 keys by ARN, stored as JSON with mode 0600."""

    def __init__(self, path: Path) -> None:
        """Read `path`; a missing file counts as empty. Raises `OSError`, and `ValueError` for an invalid file."""
        self._path = path
        self._keys: dict[str, bytes] = {}
        if path.exists():
            self._keys = {arn: base64.b64decode(text) for arn, text in json.loads(path.read_text("utf-8")).items()}

    def make(self, arn: str) -> None:
        """Create and store a random key for `arn`, unless it has one. Raises `OSError`."""
        if arn in self._keys:
            return
        self._keys[arn] = secrets.token_bytes(32)
        self._path.touch(mode=0o600)
        texts = {name: base64.b64encode(key).decode() for name, key in self._keys.items()}
        self._path.write_text(json.dumps(texts), encoding="utf-8")

    def encrypt(self, arn: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """Encrypt with AES-256-GCM, bound to key and encryption context. Returns a `CiphertextBlob`.

        Raises `Refused` (`NotFoundException`).
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._key(arn)).encrypt(nonce, plaintext, _bound(arn, context))
        return _MAGIC + nonce + sealed

    def decrypt(self, arn: str, blob: bytes, context: Mapping[str, str]) -> bytes:
        """The plaintext of `blob`.

        Raises `Refused`: `NotFoundException`, or `InvalidCiphertextException` for another key or context and for a
        damaged blob alike, as the real service does.
        """
        key, nonce = self._key(arn), blob[len(_MAGIC) : len(_MAGIC) + _NONCE_BYTES]
        try:
            if not blob.startswith(_MAGIC):
                raise ValueError("no blob of this service")
            return AESGCM(key).decrypt(nonce, blob[len(_MAGIC) + _NONCE_BYTES :], _bound(arn, context))
        except (InvalidTag, ValueError) as error:
            raise Refused("InvalidCiphertextException", "") from error

    def _key(self, arn: str) -> bytes:
        if arn not in self._keys:
            raise Refused("NotFoundException", "There is no such key.")
        return self._keys[arn]


def _bound(arn: str, context: Mapping[str, str]) -> bytes:
    return json.dumps([arn, sorted(context.items())]).encode()
