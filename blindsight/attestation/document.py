"""Strict parser for the payload of a Nitro attestation document, which is not trusted yet.

Source: AWS Nitro Enclaves NSM API, docs/attestation_process.md, sections 3.1 (format) and 3.2.2 (field checks). Genuine
documents deviate from it: CBOR null for optional fields, more than 512 bytes of user data, and since July 2025 an outer
map of indefinite length. The parser accepts both forms of the outer map; everything inside has definite lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import cbor2

from blindsight import cbor
from blindsight.errors import EvidenceFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DOCUMENT_BYTES = 16 * 1024
"""AWS's limit for the payload, applied here to the whole message. Genuine documents have 4.4 to 7.5 kB."""

PCR_BYTES = 48
"""SHA-384. AWS's documentation also allows 32 and 64 bytes, for digests that no Nitro system uses."""

MAX_PCRS = 32
MAX_CERTIFICATE_BYTES = 1024
MAX_OPTIONAL_BYTES = 1024
"""Of public_key, user_data and nonce each. AWS's documentation allows 512 for two of them, but genuine documents have
746."""

_KNOWN = frozenset(
    ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce")
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIMESTAMP_MS = 253_402_300_799_999
"""The end of the year 9999, the last time that `datetime` can represent."""


@dataclass(frozen=True)
class AttestationDocument:
    """The fields of an attestation document. DO NOT TRUST THEM BEFORE `verify` HAS RETURNED THE DOCUMENT.

    `timestamp_ms` is milliseconds since 1970; `pcrs` maps index to 48 bytes; `certificate` and `cabundle` are DER, the
    bundle from the root to the issuer of `certificate`.
    """

    module_id: str
    digest: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    unknown_fields: tuple[int | str, ...] = ()
    """Keys of the payload that the parser skipped. The signature covers them, and no check depends on their values."""

    @property
    def timestamp(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)

    @classmethod
    def parse(cls, payload: bytes) -> AttestationDocument:
        """Parse the payload of a COSE_Sign1 message. Raises `EvidenceFormatError`."""
        try:
            fields = cbor.decode(payload, indefinite_map=True)
        except cbor.CBORDecodeError as error:
            raise EvidenceFormatError(error.code, str(error)) from error
        if not isinstance(fields, dict):
            raise EvidenceFormatError("invalid_field", "The payload is not a map.")
        return _Fields(fields).document()


def encode(fields: Mapping[str, object]) -> bytes:
    """Encode a payload as the NSM does since July 2025: the outer map with indefinite length, everything else
    definite.
    """
    entries = (cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())
    return b"\xbf" + b"".join(entries) + b"\xff"


class _Fields:
    """The checks of the field table, one method for each type."""

    def __init__(self, fields: Mapping[int | str, cbor.CBORValue]) -> None:
        self.fields = fields

    def document(self) -> AttestationDocument:
        digest = self._text("digest")
        if digest != "SHA384":
            raise self._error("unsupported_digest", "The digest is not SHA384.")
        return AttestationDocument(
            module_id=self._text("module_id"),
            digest=digest,
            timestamp_ms=self._timestamp(),
            pcrs=self._pcrs(),
            certificate=self._certificate("certificate", self._mandatory("certificate")),
            cabundle=self._cabundle(),
            public_key=self._optional("public_key", least=1),
            user_data=self._optional("user_data"),
            nonce=self._optional("nonce"),
            unknown_fields=tuple(name for name in self.fields if name not in _KNOWN),
        )

    def _mandatory(self, name: str) -> cbor.CBORValue:
        value = self.fields.get(name)
        if value is None:
            raise self._error("missing_field", f"The field {name} is missing or null.")
        return value

    def _text(self, name: str) -> str:
        value = self._mandatory(name)
        if not isinstance(value, str) or not value:
            raise self._error("invalid_field", f"The field {name} is not a text, or empty.")
        return value

    def _timestamp(self) -> int:
        value = self._mandatory("timestamp")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_TIMESTAMP_MS:
            raise self._error("invalid_field", "The timestamp is not a number of milliseconds since 1970.")
        return value

    def _pcrs(self) -> Mapping[int, bytes]:
        value = self._mandatory("pcrs")
        if not isinstance(value, dict) or not 1 <= len(value) <= MAX_PCRS:
            raise self._error("invalid_field", f"The field pcrs is not a map of 1 to {MAX_PCRS} entries.")
        pcrs: dict[int, bytes] = {}
        for index, measurement in value.items():
            if not isinstance(index, int) or not 0 <= index < MAX_PCRS:
                raise self._error("invalid_pcr_index", f"A PCR index is not an integer from 0 to {MAX_PCRS - 1}.")
            if not isinstance(measurement, bytes) or len(measurement) != PCR_BYTES:
                raise self._error("invalid_pcr_length", f"PCR {index} is not a string of {PCR_BYTES} bytes.")
            pcrs[index] = measurement
        return MappingProxyType(pcrs)

    def _certificate(self, name: str, value: cbor.CBORValue) -> bytes:
        if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_CERTIFICATE_BYTES:
            raise self._error("invalid_field", f"{name} is not a string of 1 to {MAX_CERTIFICATE_BYTES} bytes.")
        return value

    def _cabundle(self) -> tuple[bytes, ...]:
        value = self._mandatory("cabundle")
        if not isinstance(value, list) or not value:
            raise self._error("invalid_field", "The field cabundle is not an array, or empty.")
        return tuple(self._certificate(f"cabundle[{position}]", item) for position, item in enumerate(value))

    def _optional(self, name: str, *, least: int = 0) -> bytes | None:
        value = self.fields.get(name)
        if value is None or (isinstance(value, bytes) and least <= len(value) <= MAX_OPTIONAL_BYTES):
            return value
        raise self._error("invalid_field", f"{name} is not a string of {least} to {MAX_OPTIONAL_BYTES} bytes.")

    def _error(self, code: str, message: str) -> EvidenceFormatError:
        return EvidenceFormatError(code, message)
