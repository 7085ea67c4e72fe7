"""Comparison of artifacts with a release file: recomputes digests, and measurements if the artifact has some."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import rfc8785

from blindsight import files, strict_json
from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16
from blindsight.eif import Image, SectionType, kernel, measure
from blindsight.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blindsight.release_file.statement import Function, Measurement, ReleaseFile, Subject

_MANIFEST: Final = "model.json"
_MAX_MANIFEST_BYTES: Final = 1_000_000
_UNREADABLE: Final = (
    OSError, KeyError, ValueError, RuntimeError, OverflowError, EOFError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What `zipfile` raises for damaged archives, encrypted ones and versions that it does not know; and no JSON."""


def artifact(release: ReleaseFile, path: Path, name: str | None = None) -> Subject:
    """The subject of the file at `path`: the one called `name`, or the one with its digest, independent of the file's
    name.

    Raises `ReleaseError`.
    """
    sha256, sha384 = digests(path)
    subject = release.subject(name) if name is not None else release.named(sha256) or release.subject(path.name)
    if subject is None:
        raise ReleaseError("unreleased_artifact", f"{path} is not an artifact of this release.")
    if (subject.sha256, subject.sha384) != (sha256, sha384):
        raise ReleaseError("digest_mismatch", f"{path} is not the released {subject.name}: its SHA-256 is {sha256}.")
    return subject


def bundle(release: ReleaseFile, path: Path) -> Function:
    """The release's function for the bundle at `path`; recomputes its model digest and PCR 16.

    Raises `ReleaseError`.
    """
    subject = artifact(release, path)
    function = next((each for each in release.functions if each.file == subject.name), None)
    if function is None:
        raise ReleaseError("unreleased_artifact", f"{path} is {subject.name} of this release, which is not a function.")
    model = _model_digest(path)
    if model.hex() != function.model_digest:
        raise ReleaseError("measurement_mismatch", f"The model in {path} has the digest {model.hex()}.")
    pcr16 = expected_pcr16(bytes.fromhex(subject.sha256), model).hex()
    for measurement in release.measurements:
        if measurement.function == subject.sha256 and measurement.pcrs.get(CLAIMS_PCR, pcr16) != pcr16:
            raise ReleaseError("measurement_mismatch", f"PCR {CLAIMS_PCR} of {path} is {pcr16}.")
    return function


@dataclass(frozen=True)
class MeasuredImage:
    """Of an enclave image file: SHA-384 by PCR index and SHA-256 of its kernel, hexadecimal.

    `kernel_release` is what the kernel's header states; None if it is not a bzImage, or states none.
    """

    pcrs: Mapping[int, str]
    kernel: str
    kernel_release: str | None


def image(release: ReleaseFile, path: Path) -> Measurement:
    """The release's measurement for the enclave image at `path`; recomputes its registers.

    Raises `ReleaseError`, or `EifError` for a file that is not an image.
    """
    subject = artifact(release, path)
    stated = next((each for each in release.measurements if each.file == subject.name), None)
    if stated is None:
        raise ReleaseError("unreleased_artifact", f"{path} is {subject.name} of this release, which is not an image.")
    found = measured(path)
    for index in sorted(found.pcrs.keys() | (stated.pcrs.keys() - {CLAIMS_PCR})):
        if found.pcrs.get(index) != stated.pcrs.get(index):
            value = found.pcrs.get(index, "not there")
            raise ReleaseError("measurement_mismatch", f"PCR {index} of {path} is {value}.")
    if stated.kernel is not None and stated.kernel.sha256 != found.kernel:
        raise ReleaseError("measurement_mismatch", f"The kernel of {path} has the SHA-256 {found.kernel}.")
    if stated.kernel is not None and not kernel.is_of(stated.kernel.version, found.kernel_release):
        version = found.kernel_release or "not stated in it"
        raise ReleaseError("measurement_mismatch", f"The version of the kernel of {path} is {version}.")
    return stated


def measured(path: Path) -> MeasuredImage:
    """The measurements of the enclave image at `path`. Raises `ReleaseError` (`unreadable_artifact`), `EifError`."""
    try:
        with files.opened(path) as file:
            opened = Image.read(file)
            found, release = measure(opened), kernel.release_in(opened)
    except OSError as error:
        raise ReleaseError("unreadable_artifact", f"{path} cannot be read: {error.strerror}.") from error
    section = next(section for section in found.sections if section.type is SectionType.KERNEL)
    registers = {index: value.hex() for index, value in found.registers.items()}
    return MeasuredImage(registers, section.sha256.hex(), release)


def page(release: ReleaseFile, path: Path) -> str:
    """The name of the page's file that `path` is. Raises `ReleaseError`."""
    sha256, _ = digests(path)
    for name, digest in release.page.items():
        if digest == sha256:
            return name
    if path.name in release.page:
        raise ReleaseError("digest_mismatch", f"{path} is not the released {path.name}: its SHA-256 is {sha256}.")
    raise ReleaseError("unreleased_artifact", f"{path} is not a file of this release's page.")


def digests(path: Path) -> tuple[str, str]:
    """SHA-256 and SHA-384 of a file, hexadecimal. Raises `ReleaseError` (`unreadable_artifact`)."""
    sha256, sha384 = hashlib.sha256(), hashlib.sha384()
    try:
        with files.opened(path) as file:
            while block := file.read(1 << 20):
                sha256.update(block)
                sha384.update(block)
    except OSError as error:
        raise ReleaseError("unreadable_artifact", f"{path} cannot be read: {error.strerror}.") from error
    return sha256.hexdigest(), sha384.hexdigest()


def _model_digest(path: Path) -> bytes:
    try:
        with files.opened(path) as opened, zipfile.ZipFile(opened) as archive, archive.open(_MANIFEST) as file:
            manifest = strict_json.loads(file.read(_MAX_MANIFEST_BYTES))
        return hashlib.sha256(rfc8785.dumps(manifest)).digest()
    except _UNREADABLE as error:
        raise ReleaseError("measurement_mismatch", f"{path} has no readable {_MANIFEST} at its root.") from error
