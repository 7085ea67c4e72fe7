"""The enclave's root secret, from which the keys for persistent data derive.

With `--kms` the key management service releases it to this measurement only (`enclave_runtime.kms`), and no file
contains it. Otherwise, in the simulation, the first boot creates it in a file of the state folder that only its owner
can read.
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
    """32 secret bytes, which are never revealed; only derived keys leave the object."""

    def __init__(self, secret: bytes) -> None:
        """Raises `ValueError` for another length."""
        if len(secret) != _BYTES:
            raise ValueError(f"a root secret has {_BYTES} bytes")
        self._secret = secret

    def __repr__(self) -> str:
        return "RootSecret(…)"

    @classmethod
    def load_or_create(cls, folder: Path) -> RootSecret:
        """Read the secret in `folder`, or create it. Raises `ProducerError` (`root_secret_unusable`)."""
        path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                publish(path, secrets.token_bytes(_BYTES))
            if path.stat().st_mode & 0o077:
                raise ProducerError("root_secret_unusable", f"{path} can be read by others; its mode must be 0600.")
            content = path.read_bytes()
        except OSError as error:
            raise ProducerError("root_secret_unusable", f"{path} cannot be used: {error.strerror}.") from error
        try:
            return cls(content)
        except ValueError as error:
            raise ProducerError("root_secret_unusable", f"{path} is damaged.") from error

    @property
    def identity(self) -> str:
        """32 hexadecimal digits by which a gateway recognises enclaves with the same secret; they reveal nothing of
        it.
        """
        return self.derive("public identity")[:16].hex()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one `purpose` (HKDF-SHA256, RFC 5869)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=b"blindsight/" + purpose.encode()).derive(self._secret)
