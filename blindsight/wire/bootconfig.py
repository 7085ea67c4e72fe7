"""The boot configuration that the host gives to an enclave: ciphertexts that only the key management service can
decrypt.

Format: the length of the JSON (u32, big-endian), the JSON, the length of the encrypted bundle (u64; 0 if there is
none), the bundle. The server sends it without a request. No register measures it, so the enclave does not trust it: a
ciphertext must decrypt under the pinned key, and a bundle must have the pinned checksum.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import Final

from blindsight import strict_base64, strict_json
from blindsight.errors import KmsError

FORMAT: Final = "blindsight-boot-config/1"
MAX_JSON_BYTES: Final = 64 * 1024
MAX_BLOB_BYTES: Final = 6144
"""Of one ciphertext: KMS's limit (API reference, Decrypt, CiphertextBlob)."""
MAX_BUNDLE_BYTES: Final = 1_001_000_000
"""Of an encrypted bundle: a billion bytes, and 16 for each piece of a mebibyte."""

JSON_LENGTH: Final = struct.Struct(">I")
BUNDLE_LENGTH: Final = struct.Struct(">Q")

_BLOBS: Final = ("root_secret", "bundle_key")


@dataclass(frozen=True)
class BootConfig:
    """Ciphertexts made by KMS: of the root secret, and of the key of an encrypted bundle; None if absent."""

    root_secret: bytes | None = None
    bundle_key: bytes | None = None

    @classmethod
    def parse(cls, encoded: bytes) -> BootConfig:
        """Parse the JSON. Raises `KmsError` (`invalid_boot_config`)."""
        if len(encoded) > MAX_JSON_BYTES:
            raise KmsError("invalid_boot_config", f"The boot configuration has more than {MAX_JSON_BYTES} bytes.")
        try:
            members = strict_json.loads(encoded)
        except ValueError as error:
            raise KmsError("invalid_boot_config", "The boot configuration is not JSON.") from error
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise KmsError("invalid_boot_config", f"The boot configuration does not state the format {FORMAT}.")
        for name in members.keys() - {"format", *_BLOBS}:
            raise KmsError("invalid_boot_config", f"The boot configuration has an unknown member {name[:40]!a}.")
        return cls(**{name: _blob(name, members[name]) for name in _BLOBS if name in members})

    def members(self) -> dict[str, str]:
        """The JSON's members, as `parse` reads them."""
        given = {name: getattr(self, name) for name in _BLOBS}
        return {"format": FORMAT} | {
            name: base64.b64encode(value).decode() for name, value in given.items() if value is not None
        }


def _blob(name: str, value: object) -> bytes:
    try:
        blob = strict_base64.decode(value) if isinstance(value, str) else b""
    except binascii.Error as error:
        raise KmsError("invalid_boot_config", f"{name} is not standard base64.") from error
    if not 0 < len(blob) <= MAX_BLOB_BYTES:
        raise KmsError("invalid_boot_config", f"{name} is not text in base64 of 1 to {MAX_BLOB_BYTES} bytes.")
    return blob
