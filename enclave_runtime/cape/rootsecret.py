"""The enclave's root secret, made inside on its first boot: what everything that outlives a boot is sealed with.

In simulation it lies in a file of the state folder, readable by its owner only: a stand-in for sealing it under a key
management service that releases it to this measurement alone.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindsight.errors import ProducerError
from enclave_runtime.statefile import publish

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "root_secret"
_BYTES: Final = 32


class RootSecret:
    """32 secret bytes, never shown; only keys derived from them leave."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "RootSecret(…)"

    @classmethod
    def load_or_create(cls, folder: Path) -> RootSecret:
        """Read the secret in `folder`, made if there is none. Raises `ProducerError` (`state_unusable`)."""
        path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                publish(path, secrets.token_bytes(_BYTES))
            if path.stat().st_mode & 0o077:
                raise ProducerError("state_unusable", f"{path} can be read by others; its mode must be 0600.")
            content = path.read_bytes()
        except OSError as error:
            raise ProducerError("state_unusable", f"{path} cannot be used: {error.strerror}.") from error
        if len(content) != _BYTES:
            raise ProducerError("state_unusable", f"{path} is damaged.")
        return cls(content)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one `purpose` (HKDF-SHA256, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"blindsight/" + purpose.encode()).derive(self._secret)
