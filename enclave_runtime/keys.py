"""The sealed lane's key: made at start, never stored, never leaving this process."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.sealing import keyconfig, ohttp
from blindsight.sealing.keyconfig import KeyConfig


class LaneKeys:
    """The key pair that requests are sealed to, and its published configuration."""

    def __init__(self) -> None:
        private_key = X25519PrivateKey.generate()
        # A random id lets the gateway tell most stale keys from damaged messages.
        config = KeyConfig(secrets.randbelow(256), private_key.public_key().public_bytes_raw())
        self._key = ohttp.RecipientKey(config, private_key)
        self.encoded_configs = keyconfig.encode_list([config])

    @property
    def public_key(self) -> bytes:
        """The X25519 public key, 32 bytes raw: the evidence's `public_key`."""
        return self._key.config.public_key

    def open(self, request: bytes) -> tuple[bytes, ohttp.ResponseSealer]:
        """Open a `message/ohttp-req`: the binary HTTP request, and what seals its answer. Raises `SealingError`."""
        _, opened, sealer = ohttp.decapsulate(self._key, request)
        return opened, sealer
