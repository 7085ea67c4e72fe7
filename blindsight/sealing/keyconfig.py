"""Key configurations of Oblivious HTTP (RFC 9458, section 3)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindsight.errors import SealingError
from blindsight.sealing import hpke
from blindsight.sealing.kem import KEMS, MLKEM768_X25519, X25519_HKDF_SHA256

if TYPE_CHECKING:
    from blindsight.sealing.kem import Kem

MEDIA_TYPE = "application/ohttp-keys"

_AEADS = {
    # A hybrid is for those who fear tomorrow's computers, so its AEAD has the longer key.
    MLKEM768_X25519: (hpke.AEAD_AES_256_GCM, hpke.AEAD_CHACHA20_POLY1305, hpke.AEAD_AES_128_GCM),
    X25519_HKDF_SHA256: (hpke.AEAD_AES_128_GCM, hpke.AEAD_AES_256_GCM, hpke.AEAD_CHACHA20_POLY1305),
}

_HEADER = struct.Struct(">BH")
_LENGTH = struct.Struct(">H")
_SUITE = struct.Struct(">HH")


@dataclass(frozen=True)
class KeyConfig:
    """One key configuration: `key_id`, the raw `public_key`, and the cipher suites of one KEM."""

    key_id: int
    public_key: bytes
    suites: tuple[hpke.Suite, ...]

    @property
    def kem(self) -> Kem:
        return self.suites[0].kem

    def encode(self) -> bytes:
        """Encode without the length prefix of a list (section 3.1)."""
        suites = b"".join(_SUITE.pack(suite.kdf_id, suite.aead_id) for suite in self.suites)
        header = _HEADER.pack(self.key_id, self.kem.identifier)
        return header + self.public_key + _LENGTH.pack(len(suites)) + suites

    @classmethod
    def decode(cls, data: bytes) -> KeyConfig | None:
        """Decode one configuration; None if its KEM or all its cipher suites are unsupported, which is no error.

        Raises `SealingError` (`malformed_message`).
        """
        try:
            key_id, kem_id = _HEADER.unpack_from(data)
        except struct.error as error:
            raise malformed("A key configuration is cut short.") from error
        kem = KEMS.get(kem_id)
        if kem is None:
            return None
        start = _HEADER.size + kem.public_bytes
        if len(data) < start + _LENGTH.size:
            raise malformed("A key configuration is cut short.")
        (length,) = _LENGTH.unpack_from(data, start)
        suites = data[start + _LENGTH.size :]
        if len(suites) != length or length < _SUITE.size or length % _SUITE.size:
            raise malformed("A key configuration's cipher list has the wrong length.")
        known = tuple(
            hpke.Suite(kdf_id, aead_id, kem_id)
            for kdf_id, aead_id in _SUITE.iter_unpack(suites)
            if kdf_id == hpke.KDF_HKDF_SHA256 and aead_id in hpke.AEAD_KEY_BYTES
        )
        return cls(key_id, data[_HEADER.size : start], known) if known else None


def offered(key_id: int, public_key: bytes, kem_id: int) -> KeyConfig:
    """The configuration that an enclave publishes for a key: every cipher suite, in its order of preference."""
    return KeyConfig(
        key_id, public_key, tuple(hpke.Suite(aead_id=aead_id, kem_id=kem_id) for aead_id in _AEADS[kem_id])
    )


def preferred(configs: list[KeyConfig]) -> KeyConfig:
    """The configuration with the best supported KEM, independent of the list's order."""
    order = list(KEMS)
    return min(configs, key=lambda config: order.index(config.kem.identifier))


def encode_list(configs: list[KeyConfig]) -> bytes:
    """Encode as `application/ohttp-keys`: each configuration prefixed with its length (section 3.2)."""
    return b"".join(_LENGTH.pack(len(encoded)) + encoded for encoded in (config.encode() for config in configs))


def decode_list(data: bytes) -> list[KeyConfig]:
    """Decode `application/ohttp-keys`, in the server's order of preference, without unsupported configurations.

    A malformed list is refused as a whole (section 3.2). Raises `SealingError`.
    """
    configs, at = [], 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise malformed("The list of key configurations is cut short.")
        config = KeyConfig.decode(data[start:at])
        if config is not None:
            configs.append(config)
    return configs


def digest(encoded_list: bytes) -> bytes:
    """SHA-256 of the encoded list, as in the evidence's `key_configs_sha256`."""
    return hashlib.sha256(encoded_list).digest()


def malformed(detail: str) -> SealingError:
    """The error for a message with a wrong format."""
    return SealingError("malformed_message", detail)
