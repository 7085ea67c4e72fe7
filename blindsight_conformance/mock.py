"""A public key infrastructure with the names, extensions and lifetimes of AWS Nitro's. Its keys are not secret.

Lifetimes as in genuine documents: root 30 years, regional authority 20 days, zonal 6 days, instance 24 hours, signer
3 hours and 3 seconds. A signer's certificate can be older than the document: here by 26 minutes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from blindsight.attestation import expected_pcr16
from blindsight_conformance.forge import CLAIMS, Forge
from blindsight_conformance.pki import NOW, Extra, Party, derived_key, party, usage

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = ("root", "regional", "zonal", "instance", "leaf")
INSTANCE = "i-0123456789abcdef0"
MODULE_ID = f"{INSTANCE}-enc0123456789abcdef"

_SECOND, _HOUR, _DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class _Role:
    name: x509.Name
    start: datetime
    end: datetime
    path_length: int | None
    bits: tuple[str, ...]


def _name(common: str) -> x509.Name:
    pairs = ((NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "Conformance"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


_AUTHORITY = ("digital_signature", "key_cert_sign", "crl_sign")
_LEAF_START = NOW - timedelta(minutes=26)
_ROLES = {
    "root": _Role(
        _name("conformance.nitro-enclaves"),
        datetime(2019, 10, 28, 13, 28, 5, tzinfo=UTC),
        datetime(2049, 10, 28, 14, 28, 5, tzinfo=UTC),
        None,
        _AUTHORITY,
    ),
    "regional": _Role(
        _name("d3c9df74fdeb2ba5.us-east-1.conformance.nitro-enclaves"),
        NOW - 8 * _DAY,
        NOW + 12 * _DAY + _HOUR - _SECOND,
        2,
        _AUTHORITY,
    ),
    "zonal": _Role(
        _name("db5d852a812a3d1e.zonal.us-east-1.conformance.nitro-enclaves"),
        NOW - 2 * _DAY,
        NOW + 4 * _DAY - 3 * _HOUR - _SECOND,
        1,
        _AUTHORITY,
    ),
    "instance": _Role(
        _name(f"{INSTANCE}.us-east-1.conformance.nitro-enclaves"),
        NOW - 10 * _HOUR,
        NOW + 14 * _HOUR,
        0,
        ("key_cert_sign",),
    ),
    "leaf": _Role(
        _name(f"{MODULE_ID}.us-east-1.conformance"),
        _LEAF_START,
        _LEAF_START + 3 * _HOUR + 3 * _SECOND,
        None,
        ("digital_signature", "content_commitment"),
    ),
}


def issue(issuer: Party | None, role: str, *, label: str = "", **changes: Any) -> Party:  # noqa: ANN401 -- party()'s own
    """Issue the certificate of `role` under `issuer` (None: self-signed). `label` changes key and serial number."""
    plain, ca = _ROLES[role], role != "leaf"
    curve = changes.pop("curve", None)
    key = changes.pop("key", None) or derived_key(f"{role} {label}", curve)
    bits = usage(*plain.bits)
    identifiers: list[Extra] = []
    if ca:
        identifiers.append((x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        if issuer is not None:
            of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
            identifiers.append((of_issuer, False))
    arguments = {
        "ca": ca,
        "path_length": plain.path_length,
        "start": plain.start,
        "end": plain.end,
        "serial": serial_of(f"{role} {label} {sorted(changes)}"),
        "key_usage": (bits, ca),
    }
    extra = [*identifiers, *changes.pop("extra", [])]
    return party(issuer, changes.pop("name", plain.name), key=key, extra=extra, **arguments | changes)


def serial_of(text: str) -> int:
    """A positive serial number of 16 bytes, derived from `text`."""
    return int.from_bytes(b"\x40" + hashlib.sha256(text.encode()).digest()[:15], "big")


def forge(changes: Mapping[str, Mapping[str, Any]] | None = None, *, indefinite: bool = True) -> Forge:
    """An attester of this infrastructure. `changes` maps a role to changed arguments of `pki.party`."""
    parties: list[Party] = []
    for role in ROLES:
        issuer = parties[-1] if parties else None
        parties.append(issue(issuer, role, **(changes or {}).get(role, {})))
    root, *authorities, leaf = parties
    return Forge(root, authorities, leaf, indefinite=indefinite, deterministic=True)


def pcrs(**changes: bytes | None) -> dict[int, bytes]:
    """The registers, PCR index to SHA-384 (48 bytes), with changes such as `pcr0=bytes(48)`; None removes a register.

    PCR 0 to 2 measure the image, 3 and 4 role and instance, 16 the claims; 5 to 15 are zero.
    """
    measured = {index: bytes(48) for index in range(16)}
    for index in (0, 1, 2, 3, 4):
        measured[index] = hashlib.sha384(f"PCR {index}".encode()).digest()
    measured[16] = expected_pcr16(CLAIMS.func_checksum, CLAIMS.model_sha256)
    values = measured | {int(name.removeprefix("pcr")): value for name, value in changes.items()}
    return {index: value for index, value in values.items() if value is not None}
