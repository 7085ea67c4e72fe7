"""The enclave image format (EIF), version 4: header, sections, CRC-32.

    with open("enclave.eif", "rb") as file:
        image = Image.read(file)
        print([section.type.name for section in image.sections])

Source: AWS's specification (README of aws/aws-nitro-enclaves-image-format, 2024-06-21). This reader accepts less than
it allows: sections follow each other without gaps, kernel and command line come before the ramdisks, and reserved
fields are zero. AWS's tools write such images; in others two readers could find different contents, or hash them in a
different order.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, get_args

from blindsight import strict_json
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAGIC = b".eif"
VERSION = 4
MIN_SECTIONS = 2
MAX_SECTIONS = 32
HEADER = struct.Struct(f">4sHHQQHH{MAX_SECTIONS}Q{MAX_SECTIONS}QII")
"""magic, version, flags, default memory, default CPUs, reserved, sections, their offsets, their sizes, unused, CRC."""

SECTION_HEADER = struct.Struct(">HHQ")
"""Type, flags, size of the data that follows."""

CRC_BYTES = 4
"""The last field of the header, and the one that the CRC does not cover."""

MAX_SIGNATURE_BYTES = 32_768
"""SIGNATURE_MAX_SIZE of the specification."""

MAX_CMDLINE_BYTES = 2047
"""What the kernel keeps of it: COMMAND_LINE_SIZE is 2048 with its NUL, on x86 and on arm64."""

MAX_METADATA_BYTES = 1 << 20
"""AWS's builder puts the output of `docker inspect` there, some kilobytes, and at most 4 KiB of the builder's own."""

DEFAULT_MEMORY_BYTES = 1 << 30
DEFAULT_CPUS = 2
"""What AWS's builder writes. The virtualization stack uses neither."""

BLOCK_BYTES = 1 << 20

_ARM64 = 1

Architecture = Literal["x86_64", "aarch64"]
"""By bit 0 of the header's flags: 0 and 1."""


class SectionType(IntEnum):
    """The type of a section."""

    KERNEL = 1
    CMDLINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


_LIMITS = {
    SectionType.CMDLINE: MAX_CMDLINE_BYTES,
    SectionType.SIGNATURE: MAX_SIGNATURE_BYTES,
    SectionType.METADATA: MAX_METADATA_BYTES,
}
_ONCE = (SectionType.KERNEL, SectionType.CMDLINE, SectionType.METADATA)
_MAY_BE_EMPTY = (SectionType.CMDLINE,)
_TEXTS = ("ImageName", "ImageVersion")
_BUILD_TEXTS = ("BuildTime", "BuildTool", "BuildToolVersion", "OperatingSystem", "KernelVersion")
_ANY = ("DockerInfo", "CustomMetadata")
"""Members of the metadata and of its BuildMetadata: nitro-cli refuses to describe an image that lacks one."""


class Part(Protocol):
    """Bytes whose length is known and that can be read from the start, more than once."""

    @property
    def size(self) -> int: ...

    def blocks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class BytesPart:
    """A part that is in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def blocks(self) -> Iterator[bytes]:
        yield self.content


@dataclass(frozen=True)
class FilePart:
    """A part that is a file. `blocks` raises `EifError` `changed_while_read`."""

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> FilePart:
        """The file at `path`, of the size that it has now."""
        return cls(path, path.stat().st_size)

    def blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from _blocks(file, self.size, start=0)
            if file.read(1):
                raise EifError("changed_while_read", f"{self.path} has grown since it was measured.")


@dataclass(frozen=True)
class Section:
    """One section of an image that is open. `offset` is that of its header, which `size` does not count."""

    type: SectionType
    offset: int
    size: int
    file: BinaryIO

    @property
    def header(self) -> bytes:
        return SECTION_HEADER.pack(self.type, 0, self.size)

    def blocks(self) -> Iterator[bytes]:
        """The data, in blocks of at most 1 MiB. Raises `EifError` `changed_while_read`."""
        return _blocks(self.file, self.size, start=self.offset + SECTION_HEADER.size)

    def content(self) -> bytes:
        """The data of a section of limited size. Raises `EifError`, and `ValueError` for a kernel or a ramdisk."""
        if self.size > _LIMITS.get(self.type, 0):
            raise ValueError(f"a section of type {self.type.name} is read in blocks")
        return b"".join(self.blocks())


@dataclass(frozen=True)
class Image:
    """An image whose structure is right. Its CRC is `stated_crc`; `measure.measure` compares, as it reads all of it."""

    architecture: Architecture
    default_memory: int
    default_cpus: int
    sections: tuple[Section, ...]
    stated_crc: int
    header_crc: int
    """CRC-32 of the header without its last field: what a CRC of the whole goes on from."""

    size: int

    @classmethod
    def read(cls, file: BinaryIO) -> Image:
        """Read header and section headers of `file`, which stays open for the sections. Raises `EifError`."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        header = file.read(HEADER.size)
        if not header.startswith(MAGIC):
            raise EifError("not_an_image", "The file does not begin with .eif.")
        if len(header) < HEADER.size:
            raise EifError("image_truncated", "The file ends in its header.")
        _, version, flags, memory, cpus, reserved, count, *table, unused, crc = HEADER.unpack(header)
        if version != VERSION:
            raise EifError("unsupported_version", f"The image is of version {version}, not {VERSION}.")
        if flags & ~_ARM64 or reserved or unused:
            raise EifError("reserved_bits", "A reserved field of the header is not zero.")
        if not MIN_SECTIONS <= count <= MAX_SECTIONS:
            raise EifError("section_count", f"The image states {count} sections, not {MIN_SECTIONS} to {MAX_SECTIONS}.")
        offsets, sizes = table[:MAX_SECTIONS], table[MAX_SECTIONS:]
        if any(offsets[count:]) or any(sizes[count:]):
            raise EifError("section_table", "The header lists more sections than it counts.")
        image = cls(
            architecture=get_args(Architecture)[flags],
            default_memory=memory,
            default_cpus=cpus,
            sections=tuple(_sections(file, size, offsets[:count], sizes[:count])),
            stated_crc=crc,
            header_crc=zlib.crc32(header[:-CRC_BYTES]),
            size=size,
        )
        check_order([section.type for section in image.sections])
        check_cmdline(image.cmdline)
        _check_metadata(image.metadata_bytes)
        return image

    def of_type(self, kind: SectionType) -> list[Section]:
        """The sections of one type, in the order of the file."""
        return [section for section in self.sections if section.type is kind]

    @property
    def cmdline(self) -> bytes:
        return self.of_type(SectionType.CMDLINE)[0].content()

    @property
    def metadata_bytes(self) -> bytes:
        return self.of_type(SectionType.METADATA)[0].content()

    @property
    def signature(self) -> bytes | None:
        sections = self.of_type(SectionType.SIGNATURE)
        return sections[0].content() if sections else None


def write(
    out: BinaryIO,
    *,
    kernel: Part,
    cmdline: bytes,
    metadata: bytes,
    ramdisks: Sequence[Part],
    signature: bytes | None = None,
    architecture: Architecture = "x86_64",
    default_memory: int = DEFAULT_MEMORY_BYTES,
    default_cpus: int = DEFAULT_CPUS,
) -> int:
    """Write an image to `out`, which can seek, in the order of AWS's builder. Returns its size in bytes.

    `metadata` is JSON with the members that nitro-cli reads, `signature` the section of `signature.sign`.
    The same arguments give the same bytes. Raises `EifError`.
    """
    check_cmdline(cmdline)
    _check_metadata(metadata, complete=True)
    parts: list[tuple[SectionType, Part]] = [
        (SectionType.KERNEL, kernel),
        (SectionType.CMDLINE, BytesPart(cmdline)),
        (SectionType.METADATA, BytesPart(metadata)),
        *((SectionType.RAMDISK, ramdisk) for ramdisk in ramdisks),
        *([] if signature is None else [(SectionType.SIGNATURE, BytesPart(signature))]),
    ]
    if len(parts) > MAX_SECTIONS:
        raise EifError("section_count", f"An image has at most {MAX_SECTIONS} sections.")
    for kind, part in parts:
        _check_size(kind, part.size)
    check_order([kind for kind, _ in parts])
    offset, offsets = HEADER.size, []
    for _, part in parts:
        offsets.append(offset)
        offset += SECTION_HEADER.size + part.size
    rest = [0] * (MAX_SECTIONS - len(parts))
    sizes = [part.size for _, part in parts]
    flags = get_args(Architecture).index(architecture)
    stated = (MAGIC, VERSION, flags, default_memory, default_cpus, 0, len(parts), *offsets, *rest, *sizes, *rest, 0)
    crc = zlib.crc32(HEADER.pack(*stated, 0)[:-CRC_BYTES])
    start = out.tell()
    out.write(HEADER.pack(*stated, 0))
    for kind, part in parts:
        section_header = SECTION_HEADER.pack(kind, 0, part.size)
        out.write(section_header)
        crc = zlib.crc32(section_header, crc)
        written = 0
        for block in part.blocks():
            out.write(block)
            crc = zlib.crc32(block, crc)
            written += len(block)
        if written != part.size:
            raise EifError("changed_while_read", f"The {kind.name.lower()} is not as long as it was.")
    out.seek(start)
    out.write(HEADER.pack(*stated, crc))
    out.seek(start + offset)
    return offset


def check_cmdline(cmdline: bytes) -> None:
    """Raise `EifError` for a command line that the kernel would cut at a NUL. Its length is checked with the
    section's.
    """
    if b"\0" in cmdline:
        raise EifError("malformed_cmdline", "The command line has a NUL, where the kernel stops reading.")


def check_order(kinds: Sequence[SectionType]) -> None:
    """Check the presence, number and order of the sections. Raises `EifError`."""
    for kind in _ONCE:
        if kinds.count(kind) > 1:
            raise EifError("duplicate_section", f"The image has two sections of type {kind.name.lower()}.")
    if kinds.count(SectionType.SIGNATURE) > 1:
        raise EifError("duplicate_section", "The image has two signatures.")
    for kind in (*_ONCE, SectionType.RAMDISK):
        if kind not in kinds:
            raise EifError("missing_section", f"The image has no section of type {kind.name.lower()}.")
    if not kinds.index(SectionType.KERNEL) < kinds.index(SectionType.CMDLINE) < kinds.index(SectionType.RAMDISK):
        raise EifError("section_order", "Kernel, command line and ramdisks are not in this order.")


def _sections(file: BinaryIO, end: int, offsets: Sequence[int], sizes: Sequence[int]) -> Iterator[Section]:
    expected = HEADER.size
    for offset, size in zip(offsets, sizes, strict=True):
        if offset != expected:
            raise EifError("section_table", "A section does not begin where the one before it ends.")
        expected += SECTION_HEADER.size + size
        if expected > end:
            raise EifError("image_truncated", "The file ends in a section.")
        file.seek(offset)
        kind, flags, own_size = SECTION_HEADER.unpack(file.read(SECTION_HEADER.size))
        if kind not in set(SectionType):
            raise EifError("unknown_section", f"There is no section of type {kind}.")
        if flags:
            raise EifError("reserved_bits", "The flags of a section are not zero.")
        if own_size != size:
            raise EifError("section_table", "A section states another size than the header.")
        _check_size(SectionType(kind), size)
        yield Section(SectionType(kind), offset, size, file)
    if expected != end:
        raise EifError("bytes_after_image", "Bytes follow the last section.")


def _check_size(kind: SectionType, size: int) -> None:
    if not size and kind not in _MAY_BE_EMPTY:
        raise EifError("empty_section", f"The {kind.name.lower()} is empty.")
    if size > _LIMITS.get(kind, size):
        raise EifError("section_too_large", f"The {kind.name.lower()} has {size} bytes, over {_LIMITS[kind]}.")


def _check_metadata(metadata: bytes, *, complete: bool = False) -> None:
    try:
        members = strict_json.loads(metadata)
    except ValueError as error:
        raise EifError("malformed_metadata", f"The metadata is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise EifError("malformed_metadata", "The metadata is not a JSON object.")
    if complete:
        build = members.get("BuildMetadata")
        texts = {name: members.get(name) for name in _TEXTS}
        texts |= {name: build.get(name) if isinstance(build, dict) else None for name in _BUILD_TEXTS}
        missing = [name for name, value in texts.items() if not isinstance(value, str)]
        missing += [name for name in _ANY if name not in members]
        if missing:
            raise EifError("malformed_metadata", f"The metadata lacks {', '.join(missing)}, which nitro-cli needs.")


def _blocks(file: BinaryIO, size: int, *, start: int) -> Iterator[bytes]:
    position, end = start, start + size
    while position < end:
        # Each time anew: others may read other sections of the same file between two blocks.
        file.seek(position)
        block = file.read(min(end - position, BLOCK_BYTES))
        if not block:
            raise EifError("changed_while_read", "The file has become shorter while it was read.")
        position += len(block)
        yield block
