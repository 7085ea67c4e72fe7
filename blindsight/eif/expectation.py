"""The policy that accepts exactly the enclaves started from an image.

PCR 16, which the runtime extends with function and model, follows from the bundle: the one inside the image, or one
given by checksum and model digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import rfc8785

from blindsight import strict_json
from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16
from blindsight.attestation.policy import Policy
from blindsight.attestation.roots import EMULATED
from blindsight.eif import listing, signature
from blindsight.eif.layout import Image, Section, SectionType
from blindsight.eif.measure import IMAGE_PCR, measure
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from blindsight.attestation.roots import EvidenceKind

BUNDLE = "app/function.zip"
"""Path of the function bundle in an image."""

MAX_BUNDLE_BYTES = 1 << 30
"""Read into memory, and not unpacked."""

_MANIFEST = "model.json"
_MAX_MANIFEST_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (KeyError, ValueError, RuntimeError, EOFError, OSError, struct.error, zlib.error, zipfile.BadZipFile)
"""What zipfile raises for damaged archives, encrypted ones and versions that it does not know; and no JSON."""

_SCHEMA = "blindsight-policy/2"

Machine = Literal["nitro", "qemu"]
"""The machine that starts the image. The evidence of QEMU's emulation is unsigned, and proves nothing."""

_KINDS: Final[Mapping[Machine, EvidenceKind]] = MappingProxyType({"nitro": "nitro", "qemu": EMULATED})


@dataclass(frozen=True)
class Function:
    """SHA-256 of a bundle and of its canonical `model.json`, 32 bytes each. `in_image`: the image contains it."""

    checksum: bytes
    model_sha256: bytes
    in_image: bool = False


def policy_for(
    file: BinaryIO,
    *,
    machine: Machine = "nitro",
    function: Function | None = None,
    name: str | None = None,
    version: str | None = None,
    at: datetime | None = None,
) -> Policy:
    """The policy that accepts exactly the image in `file` with its function.

    `function` is required if the image contains none. Raises `EifError`, also for an invalid signature; `PolicyError`
    if a policy cannot express it.
    """
    image = Image.read(file)
    found: dict[str, bytes] = {}

    def look(section: Section, blocks: Iterator[bytes]) -> None:
        if section.type is SectionType.RAMDISK and function is None:
            found.update(listing.read(blocks, keep={BUNDLE: MAX_BUNDLE_BYTES}).kept)

    registers = dict(measure(image, look).registers)
    if image.signature is not None:
        signature.verify(image.signature, pcr0=registers[IMAGE_PCR], at=at)
    inside = function or _function(found)
    registers[CLAIMS_PCR] = expected_pcr16(inside.checksum, inside.model_sha256)
    release = _release(registers, inside, _KINDS[machine]) | _given(name=name, version=version)
    return Policy.from_json(json.dumps({"schema": _SCHEMA, "releases": [release]}))


def _release(registers: Mapping[int, bytes], function: Function, kind: EvidenceKind) -> dict[str, Any]:
    return {
        "kind": kind,
        "pcrs": {str(index): [value.hex()] for index, value in registers.items()},
        "function_checksums": [function.checksum.hex()],
        "model_digests": [function.model_sha256.hex()],
        **({"function_in_image": True} if function.in_image else {}),
    }


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _function(found: Mapping[str, bytes]) -> Function:
    if BUNDLE not in found:
        raise EifError("function_missing", f"The image has no function bundle at /{BUNDLE}.")
    bundle = found[BUNDLE]
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            manifest = archive.getinfo(_MANIFEST)
            if manifest.file_size > _MAX_MANIFEST_BYTES or manifest.compress_type not in _METHODS:
                raise EifError("function_missing", f"The bundle's {_MANIFEST} is too large, or packed otherwise.")
            canonical = rfc8785.dumps(strict_json.loads(archive.read(_MANIFEST)))
    except _UNREADABLE as error:
        raise EifError("function_missing", f"The bundle at /{BUNDLE} has no readable {_MANIFEST}.") from error
    return Function(hashlib.sha256(bundle).digest(), hashlib.sha256(canonical).digest(), in_image=True)
