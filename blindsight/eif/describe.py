"""Descriptions of images as JSON values: measurements and contents.

    with open("enclave.eif", "rb") as file:
        print(describe(file)["measurements"]["PCR0"])

One pass over the file; nothing is executed, and nothing unpacked to disk. The description lists faults of a ramdisk's
contents or of a signature under `problem` and in `warnings`; the measurements are valid nevertheless. A file that is
not an image raises `EifError`.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from cryptography.hazmat.primitives.hashes import SHA256

from blindsight import strict_json
from blindsight.eif import kernel, listing, signature
from blindsight.eif.layout import VERSION, Image, Section, SectionType
from blindsight.eif.measure import IMAGE_PCR, measure
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography import x509

    from blindsight.eif.listing import Listed, Listing
    from blindsight.eif.measure import SectionDigest

SCHEMA = "blindsight-eif-description/1"
UNMEASURED = "No register covers the metadata, the default memory or the default CPUs: they can be changed unseen."
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket",
}  # fmt: skip


def registers(values: Mapping[int, bytes]) -> dict[str, str]:
    """Registers by the names that nitro-cli prints, in lower-case hexadecimal."""
    return {f"PCR{index}": value.hex() for index, value in sorted(values.items())}


def describe(file: BinaryIO, *, at: datetime | None = None) -> dict[str, Any]:
    """Describe the image in `file`; a signature is verified for the time `at` (now). Raises `EifError`."""
    image = Image.read(file)
    looked = _Look()
    measured = measure(image, looked)
    signed, problem = _signature(image.signature, measured.registers[IMAGE_PCR], at)
    pairs = list(zip(image.sections, measured.sections, strict=True))
    digests = [digest for _, digest in pairs if digest.type is SectionType.RAMDISK]
    ramdisks = [_ramdisk(digest, *each) for digest, each in zip(digests, looked.ramdisks, strict=True)]
    warnings = [UNMEASURED, *([problem] if problem else [])]
    warnings += [f"Ramdisk {number}: {each['problem']}" for number, each in enumerate(ramdisks) if each["problem"]]
    return {
        "schema": SCHEMA,
        "measurements": registers(measured.registers),
        "version": VERSION,
        "architecture": image.architecture,
        "size_bytes": image.size,
        "crc32": f"{image.stated_crc:08x}",
        "kernel": {"version": kernel.version(looked.kernel), **_digests(pairs, SectionType.KERNEL)},
        "command_line": image.cmdline.decode("utf-8", "backslashreplace"),
        "signature": signed,
        "unmeasured": {
            "metadata": strict_json.loads(image.metadata_bytes),
            "default_memory_bytes": image.default_memory,
            "default_cpus": image.default_cpus,
        },
        "sections": [_section(section, digest) for section, digest in pairs],
        "ramdisks": ramdisks,
        "totals": _totals(ramdisks),
        "warnings": warnings,
    }


class _Look:
    """Receives the sections while they are measured."""

    def __init__(self) -> None:
        self.kernel = b""
        self.ramdisks: list[tuple[Listing | None, str | None]] = []

    def __call__(self, section: Section, blocks: Iterator[bytes]) -> None:
        if section.type is SectionType.KERNEL:
            while len(self.kernel) < kernel.PREFIX_BYTES and (block := next(blocks, b"")):
                self.kernel += block
        elif section.type is SectionType.RAMDISK:
            try:
                self.ramdisks.append((listing.read(blocks), None))
            except EifError as error:
                if error.code == "changed_while_read":
                    raise
                self.ramdisks.append((None, str(error)))


def _section(section: Section, digest: SectionDigest) -> dict[str, Any]:
    return {
        "type": section.type.name.lower(),
        "offset": section.offset,
        "size": section.size,
        "sha256": digest.sha256.hex(),
        "sha384": digest.sha384.hex(),
        "registers": list(digest.registers),
    }


def _digests(pairs: list[tuple[Section, SectionDigest]], kind: SectionType) -> dict[str, Any]:
    digest = next(digest for section, digest in pairs if section.type is kind)
    return {"size": digest.size, "sha256": digest.sha256.hex(), "sha384": digest.sha384.hex()}


def _ramdisk(digest: SectionDigest, found: Listing | None, problem: str | None) -> dict[str, Any]:
    entries = None if found is None else [_entry(entry) for entry in found.entries]
    return {
        "registers": list(digest.registers),
        "unpacked_bytes": None if found is None else found.unpacked,
        "entries": entries,
        "problem": problem,
    }


def _entry(entry: Listed) -> dict[str, Any]:
    kind = _KINDS.get(stat.S_IFMT(entry.mode), "unknown")
    described: dict[str, Any] = {"path": entry.path, "type": kind, "mode": f"{stat.S_IMODE(entry.mode):04o}"}
    if kind == "file":
        described |= {"size": entry.size, "sha256": (entry.sha256 or b"").hex()}
    optional = {
        "target": entry.target,
        "hard_link": entry.hard_link,
        "owner": list(entry.owner) if any(entry.owner) else None,
        "mtime": entry.mtime or None,
        "device": list(entry.device) if "device" in kind else None,
    }
    return described | {name: value for name, value in optional.items() if value is not None}


def _totals(ramdisks: list[dict[str, Any]]) -> dict[str, int]:
    entries = [entry for ramdisk in ramdisks for entry in ramdisk["entries"] or ()]
    files = [entry for entry in entries if entry["type"] == "file"]
    return {
        "entries": len(entries),
        "files": len(files),
        "file_bytes": sum(entry["size"] for entry in files),
        "unpacked_bytes": sum(ramdisk["unpacked_bytes"] or 0 for ramdisk in ramdisks),
    }


def _signature(section: bytes | None, pcr0: bytes, at: datetime | None) -> tuple[dict[str, Any] | None, str | None]:
    """The signature's contents and faults."""
    if section is None:
        return None, None
    problem = None
    try:
        signature.verify(section, pcr0=pcr0, at=at)
    except EifError as error:
        problem = str(error)
    return {"holds": problem is None, "problem": problem, **_certificate(signature.certificate(section))}, problem


def _certificate(certificate: x509.Certificate) -> dict[str, Any]:
    try:
        names = {"subject": certificate.subject.rfc4514_string(), "issuer": certificate.issuer.rfc4514_string()}
    except signature.UNREADABLE:
        names = {"subject": "(unreadable)", "issuer": "(unreadable)"}
    return names | {
        "not_before": _time(certificate.not_valid_before_utc),
        "not_after": _time(certificate.not_valid_after_utc),
        "certificate_sha256": certificate.fingerprint(SHA256()).hex(),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
