"""Listing of a ramdisk without unpacking it: names, modes, sizes, SHA-256.

Reads what the kernel reads (init/initramfs.c): newc archives one after another, plain or gzipped, with zeros between
them. Images are untrusted, so the constants below limit the work, and data are read in blocks.
"""

from __future__ import annotations

import hashlib
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from blindsight.eif.ramdisk import ALIGNMENT, MAGIC, MAX_NAME_BYTES, TRAILER
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_ENTRIES = 200_000
"""Of a ramdisk; the end of an archive counts as one."""

MAX_NAMES_BYTES = 32 << 20
"""Of all entries of a ramdisk together, targets of links included."""

MAX_UNPACKED_BYTES = 8 << 30
"""Of all that is compressed in a ramdisk."""

MAX_STREAMS = 1000
"""Compressed streams in a ramdisk, one after another."""

_HEADER_BYTES = 110
_FIELDS = 13
_GZIP_MAGIC = b"\x1f\x8b"
_INPUT_BYTES = 1 << 16
_OUTPUT_BYTES = 1 << 20
_ZEROS_BYTES = 4096
_HEX = frozenset(b"0123456789abcdefABCDEF")
_OTHERS = {
    b"\x42\x5a\x68": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x89LZO": "lzo",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True)
class Listed:
    """One entry. `sha256` (32 bytes) is of a file's data; `target` is of a symbolic link."""

    path: str
    mode: int
    size: int
    sha256: bytes | None = None
    target: str | None = None
    hard_link: str | None = None
    """The first name of the same file in its archive."""

    owner: tuple[int, int] = (0, 0)
    mtime: int = 0
    device: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Listing:
    """The entries in their order, how many bytes they were unpacked from, and the files that were to be kept."""

    entries: tuple[Listed, ...]
    unpacked: int
    kept: Mapping[str, bytes]


def read(blocks: Iterable[bytes], *, keep: Mapping[str, int] | None = None) -> Listing:
    """List the ramdisk in `blocks`. Raises `EifError`.

    `keep` maps names of files whose data are wanted to their maximum size; of two files with one name the later counts,
    as for the kernel.
    """
    kept: dict[str, bytes] = {}
    source, budget = _Source(blocks), _Budget(keep=keep or {}, kept=kept)
    entries: list[Listed] = []
    unpacked = 0
    while head := source.peek(len(MAGIC)):
        if not head[0]:
            source.skip_zeros()
        elif head.startswith(_GZIP_MAGIC):
            inner = _Source(_gunzipped(source, budget))
            entries += _archives(inner, budget)
            unpacked += inner.position
        elif head == MAGIC:
            if source.position % ALIGNMENT:
                raise EifError("malformed_ramdisk", "An archive begins at no multiple of 4: the kernel drops it.")
            before = source.position
            entries += _archive(source, budget)
            unpacked += source.position - before
        else:
            other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
            what = f"It is compressed with {other}." if other else "It holds something that is not a newc archive."
            raise EifError("malformed_ramdisk", what)
    return Listing(tuple(entries), unpacked, kept)


@dataclass
class _Budget:
    """What is left of the limits of one ramdisk, and what of it is kept."""

    entries: int = MAX_ENTRIES
    names: int = MAX_NAMES_BYTES
    unpacked: int = MAX_UNPACKED_BYTES
    streams: int = MAX_STREAMS
    keep: Mapping[str, int] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)

    def spend(self, *, entries: int = 0, names: int = 0, unpacked: int = 0, streams: int = 0) -> None:
        self.entries -= entries
        self.names -= names
        self.unpacked -= unpacked
        self.streams -= streams
        for what in ("entries", "names", "unpacked", "streams"):
            if getattr(self, what) < 0:
                raise EifError("ramdisk_too_large", f"The ramdisk has more {what} than are looked through.")


def _archives(source: _Source, budget: _Budget) -> Iterator[Listed]:
    """The archives that are in one compressed stream."""
    while head := source.peek(len(MAGIC)):
        if not head[0]:
            source.skip_zeros()
        elif head == MAGIC and not source.position % ALIGNMENT:
            yield from _archive(source, budget)
        else:
            raise EifError("malformed_ramdisk", "It is compressed, and what is inside is not a newc archive.")


def _archive(source: _Source, budget: _Budget) -> Iterator[Listed]:
    first: dict[tuple[int, int, int], str] = {}
    while True:
        ino, mode, uid, gid, links, mtime, size, major, minor, node_major, node_minor, name_size, _ = _fields(source)
        path = _name(source, name_size)
        budget.spend(entries=1, names=name_size)
        if path == TRAILER:
            source.skip(size + -size % ALIGNMENT)
            return
        name = _plain(path)
        target, digest, link = None, None, None
        if stat.S_ISLNK(mode):
            if not 0 < size <= MAX_NAME_BYTES:
                raise EifError("malformed_ramdisk", f"The target of {name!r} is too long or empty.")
            budget.spend(names=size)
            target = source.take(size).decode("utf-8", "backslashreplace")
        elif stat.S_ISREG(mode):
            digest = _data(source, name, size, budget)
            if links > 1:
                earlier = first.setdefault((major, minor, ino), name)
                link = None if earlier == name else earlier
        else:
            source.skip(size)
        source.skip(-size % ALIGNMENT)
        yield Listed(name, mode, size, digest, target, link, (uid, gid), mtime, (node_major, node_minor))


def _data(source: _Source, name: str, size: int, budget: _Budget) -> bytes:
    """SHA-256 of a file's data, which is kept if it is wanted."""
    sha256, pieces = hashlib.sha256(), []
    wanted = size <= budget.keep.get(name, -1)
    for piece in source.pieces(size):
        sha256.update(piece)
        if wanted:
            pieces.append(piece)
    if wanted:
        budget.kept[name] = b"".join(pieces)
    elif name in budget.keep:
        raise EifError("ramdisk_too_large", f"The file {name!r} has {size} bytes, over {budget.keep[name]}.")
    return sha256.digest()


def _fields(source: _Source) -> list[int]:
    header = source.take(_HEADER_BYTES)
    digits = header[len(MAGIC) :]
    if not header.startswith(MAGIC) or not _HEX.issuperset(digits):
        raise EifError("malformed_ramdisk", "The header of an entry is not one of a newc archive.")
    return [int(digits[start : start + 8], 16) for start in range(0, 8 * _FIELDS, 8)]


def _name(source: _Source, size: int) -> str:
    """The entry's name, of `size` bytes with its NUL, and the padding behind it."""
    if not 1 < size <= MAX_NAME_BYTES + 1:
        raise EifError("malformed_ramdisk", "The name of an entry is empty or too long.")
    name = source.take(size)
    source.skip(-(_HEADER_BYTES + size) % ALIGNMENT)
    if name.find(b"\0") != size - 1:
        raise EifError("malformed_ramdisk", "The name of an entry does not end where it should.")
    return name[:-1].decode("utf-8", "backslashreplace")


def _plain(path: str) -> str:
    """`path` without `./`. Raises `EifError` for what would lie outside of the root when it is unpacked."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise EifError("unsafe_name", f"The name {path[:80]!r} leads out of the ramdisk.")
    return str(PurePosixPath(path))


class _Source:
    """Blocks, read in the pieces that are wanted."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._buffer = b""
        self._start = 0
        self.position = 0
        """Bytes taken so far."""

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or what is left."""
        while len(self._buffer) - self._start < count and (block := next(self._blocks, None)) is not None:
            self._buffer = self._buffer[self._start :] + block
            self._start = 0
        return self._buffer[self._start : self._start + count]

    def take(self, count: int) -> bytes:
        """The next `count` bytes, few of them."""
        taken = self.peek(count)
        if len(taken) < count:
            raise EifError("malformed_ramdisk", "It ends in the middle of an entry.")
        self._advance(count)
        return taken

    def skip_zeros(self) -> None:
        """Skip the zero that comes next, and those behind it that are at hand."""
        near = self.peek(1) and self._buffer[self._start : self._start + _ZEROS_BYTES]
        self._advance(len(near) - len(near.lstrip(b"\0")))

    def pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, as they come."""
        while count:
            piece = self.peek(1) and self._buffer[self._start : self._start + min(count, _OUTPUT_BYTES)]
            if not piece:
                raise EifError("malformed_ramdisk", "It ends in the middle of an entry.")
            self._advance(len(piece))
            count -= len(piece)
            yield piece

    def some(self) -> bytes:
        """The next bytes, at most 64 KiB; none if it is over."""
        piece = self.peek(1) and self._buffer[self._start : self._start + _INPUT_BYTES]
        self._advance(len(piece))
        return piece

    def give_back(self, unused: bytes) -> None:
        """What `some` gave and was not needed."""
        self._buffer, self._start = unused + self._buffer[self._start :], 0
        self.position -= len(unused)

    def skip(self, count: int) -> None:
        for _ in self.pieces(count):
            pass

    def _advance(self, count: int) -> None:
        self._start += count
        self.position += count


def _gunzipped(source: _Source, budget: _Budget) -> Iterator[bytes]:
    """Unpack the gzip member that `source` is at; it is behind it afterwards. Raises `EifError`."""
    budget.spend(streams=1)
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or source.some()
            if not packed:
                raise EifError("malformed_ramdisk", "Its compressed data ends too early.")
            block = unpacker.decompress(packed, _OUTPUT_BYTES)
            budget.spend(unpacked=len(block))
            if block:
                yield block
    except zlib.error as error:
        raise EifError("malformed_ramdisk", "Its compressed data is damaged.") from error
    source.give_back(unpacker.unused_data)
