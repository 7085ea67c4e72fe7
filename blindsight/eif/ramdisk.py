"""Reproducible ramdisks: cpio archives in the newc format.

    write(out, [file("init", Path("init"), mode=0o755), directory("proc"), symlink("bin", "usr/bin")])

Source: the kernel's driver-api/early-userspace/buffer-format. Entries are sorted by name; inode numbers count from 1,
owner and group are 0, times are 0, and nothing else depends on the machine. Compressed bytes depend on the
implementation of DEFLATE; plain archives do not.

The kernel unpacks the ramdisks of an image as one stream, and accepts a plain archive only at a multiple of 4 bytes.
Otherwise it drops the rest and boots without it. So every ramdisk is padded with zeros to a multiple of 4.
"""

from __future__ import annotations

import stat
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from blindsight.eif.layout import BytesPart, FilePart
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blindsight.eif.layout import Part

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
ALIGNMENT = 4
MAX_NAME_BYTES = 4095
"""PATH_MAX without the NUL."""

MAX_FILE_BYTES = (1 << 32) - 1
"""Sizes are eight hexadecimal digits."""

GZIP_LEVEL = 9
_GZIP_HEADER = bytes.fromhex("1f8b0800000000000203")
"""Deflate, no name, no time, slowest compression, Unix (RFC 1952, section 2.3)."""

Compression = Literal["gzip", "none"]
_EMPTY: Final = BytesPart(b"")


@dataclass(frozen=True)
class Entry:
    """What is at `path`, which is relative to the root. `mode` is as in `st_mode`, type included."""

    path: str
    mode: int
    content: Part = _EMPTY
    """Of a file; of a symbolic link its target."""

    device: tuple[int, int] = (0, 0)
    """Major and minor number of a device node."""


def file(path: str, content: bytes | Path, *, mode: int = 0o644) -> Entry:
    """A regular file."""
    part: Part = FilePart.of(content) if isinstance(content, Path) else BytesPart(content)
    return Entry(path, stat.S_IFREG | mode, part)


def directory(path: str, *, mode: int = 0o755) -> Entry:
    """A directory. Those above an entry that nothing names are made, too, with mode 0755."""
    return Entry(path, stat.S_IFDIR | mode)


def symlink(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, BytesPart(target.encode()))


def character_device(path: str, major: int, minor: int, *, mode: int = 0o600) -> Entry:
    """A node of a character device."""
    return Entry(path, stat.S_IFCHR | mode, device=(major, minor))


def write(out: BinaryIO, entries: Iterable[Entry], *, compression: Compression = "gzip") -> int:
    """Write a ramdisk of `entries` to `out` and return its size, a multiple of 4. Raises `EifError`."""
    size = 0
    archive = _archive(_complete(entries))
    for block in _gzipped(archive) if compression == "gzip" else archive:
        out.write(block)
        size += len(block)
    return size + out.write(_padding(size))


def _complete(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted by name, with the directories above them."""
    named: dict[bytes, Entry] = {}
    for entry in entries:
        _check(entry)
        if named.setdefault(entry.path.encode(), entry) is not entry:
            raise EifError("invalid_entry", f"{entry.path!r} is there twice.")
    for entry in list(named.values()):
        for above in list(PurePosixPath(entry.path).parents)[:-1]:
            parent = named.setdefault(str(above).encode(), directory(str(above)))
            if not stat.S_ISDIR(parent.mode):
                raise EifError("invalid_entry", f"{entry.path!r} lies below {parent.path!r}, which is not a directory.")
    return [entry for _, entry in sorted(named.items())]


def _check(entry: Entry) -> None:
    path = entry.path
    if (
        path in {"", "."}
        or path.startswith("/")
        or str(PurePosixPath(path)) != path
        or ".." in PurePosixPath(path).parts
    ):
        raise EifError("invalid_entry", f"{path!r} is not a plain path below the root.")
    if path == TRAILER or "\0" in path or len(path.encode()) > MAX_NAME_BYTES:
        raise EifError("invalid_entry", f"{path[:80]!r} cannot be a name in an archive.")
    if entry.content.size > MAX_FILE_BYTES:
        raise EifError("invalid_entry", f"{path!r} is larger than an archive can hold, 4 GiB.")
    if stat.S_ISLNK(entry.mode) and not 0 < entry.content.size <= MAX_NAME_BYTES:
        raise EifError("invalid_entry", f"{path!r} links to nothing, or its target is too long.")


def _archive(entries: list[Entry]) -> Iterator[bytes]:
    for number, entry in enumerate(entries, start=1):
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        yield _header(entry, number, links)
        written = 0
        for block in entry.content.blocks():
            yield block
            written += len(block)
        if written != entry.content.size:
            raise EifError("changed_while_read", f"{entry.path!r} is not as long as it was.")
        yield _padding(written)
    yield _header(Entry(TRAILER, 0), 0, 1)


def _header(entry: Entry, number: int, links: int) -> bytes:
    """Magic and 13 fields: inode, mode, owner, group, links, time, size, device, node's device, name's size, check."""
    name = entry.path.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, links, 0, entry.content.size, 0, 0, *entry.device, len(name), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields) + name
    return header + _padding(len(header))


def _gzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    # By hand, and not by the gzip module: its header depends on the release of Python.
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc = size = 0
    yield _GZIP_HEADER
    for block in blocks:
        crc, size = zlib.crc32(block, crc), size + len(block)
        yield compressor.compress(block)
    yield compressor.flush()
    yield crc.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")


def _padding(size: int) -> bytes:
    return bytes(-size % ALIGNMENT)
