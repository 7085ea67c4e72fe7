"""A strict reader of the archive (POSIX.1-1988 ustar): regular files only, each once, under names of the format.

`tarfile` follows links, sparse files and extended headers, whose sizes an attacker chooses. This reader knows none of
them, so that a member is never larger than the archive and never leads out of its place.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final, Protocol

from blindsight.cape import ids
from gateway.cape.backup import layout
from gateway.cape.backup.layout import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_MAX_MEMBERS: Final = 1 << 21
_MAX_END_BYTES: Final = 1 << 20
_OCTAL: Final = re.compile(rb" *([0-7]{1,11})[ \0]*")
_CHECKSUM: Final = slice(148, 156)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Member:
    """A file of the archive: where its content begins, its size in bytes, its SHA-256 in hexadecimal."""

    name: str
    offset: int
    size: int
    sha256: str


class Writer:
    """Writes members to `file`; `members` are those so far."""

    def __init__(self, file: BinaryIO, *, at: int) -> None:
        """`at` is the time that members get, in seconds since 1970."""
        self._file = file
        self._at = at
        self.members: list[Member] = []

    def add(self, name: str, content: BinaryIO, size: int) -> Member:
        """Add `size` bytes of `content`, which it has. Raises `OSError`, and `BackupError` if it has fewer."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime, entry.mode = size, self._at, 0o600
        self._file.write(entry.tobuf(tarfile.GNU_FORMAT))
        digest, left, offset = hashlib.sha256(), size, self._file.tell()
        while left:
            chunk = content.read(min(left, _CHUNK))
            if not chunk:
                raise BackupError(f"{name} became shorter while it was read. Run the command again.")
            digest.update(chunk)
            self._file.write(chunk)
            left -= len(chunk)
        self._file.write(bytes(-size % _BLOCK))
        member = Member(name, offset, size, digest.hexdigest())
        self.members.append(member)
        return member

    def add_bytes(self, name: str, content: bytes) -> Member:
        """Add a small member. Raises `OSError`."""
        return self.add(name, BytesIO(content), len(content))

    def end(self) -> None:
        """Write the archive's end. Raises `OSError`."""
        self._file.write(bytes(2 * _BLOCK))


def members(file: BinaryIO) -> Iterator[Member]:
    """All members, each with the digest of what it has. Raises `BackupError`, `OSError`."""
    seen: set[str] = set()
    while True:
        header = file.read(_BLOCK)
        if header == bytes(_BLOCK):
            _require_end(file)
            return
        name, size = _read_header(header)
        if name in seen or len(seen) >= _MAX_MEMBERS:
            raise BackupError(f"{name} is in the archive twice.")
        seen.add(name)
        digest = hashlib.sha256()
        offset = file.tell()
        _copy(file, size, digest)
        if file.read(-size % _BLOCK) != bytes(-size % _BLOCK):
            raise _cut()
        yield Member(name, offset, size, digest.hexdigest())


def copy(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces. Raises `BackupError` at the end if it is not what `members` saw."""
    file.seek(member.offset)
    digest, left = hashlib.sha256(), member.size
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise _cut()
        digest.update(chunk)
        left -= len(chunk)
        yield chunk
    if digest.hexdigest() != member.sha256:
        raise BackupError("the archive was changed while it was read.")


def lines(file: BinaryIO, member: Member, limit: int) -> Iterator[bytes]:
    """The lines of a member, of at most `limit` bytes each. Raises `BackupError` as `copy` does."""
    rest = b""
    for chunk in copy(file, member):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > limit or any(len(line) > limit for line in whole):
            raise BackupError(f"{member.name} has a line of more than {limit} bytes.")
        yield from whole
    if rest:
        raise BackupError(f"{member.name} ends in the middle of a line.")


def _read_header(header: bytes) -> tuple[str, int]:
    """Name and size. Raises `BackupError` for all but a regular file of the format."""
    if len(header) != _BLOCK:
        raise _cut()
    unsigned = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    if _number(header[_CHECKSUM]) != sum(unsigned):
        raise BackupError("the archive is damaged, or not one of `backup`.")
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    size_field = header[124:136]
    # Above 8 GiB GNU's form: a big-endian number behind 0x80.
    size = int.from_bytes(size_field[1:]) if size_field[0] == 0x80 else _number(size_field)
    is_plain = header[156:157] == b"0" and not header[157:257].strip(b"\0") and not header[345:500].strip(b"\0")
    if not is_plain or size is None or not _is_known(name):
        raise BackupError(f"the archive has an entry that `backup` does not make: {name!r}.")
    return name, size


def _is_known(name: str) -> bool:
    if name in {*layout.TABLES, *layout.TOKEN_FILES, layout.SUMS, layout.MANIFEST}:
        return True
    return name.startswith(layout.BUNDLES) and ids.is_id(name.removeprefix(layout.BUNDLES))


def _number(field: bytes) -> int | None:
    found = _OCTAL.fullmatch(field)
    return int(found[1], 8) if found else None


def _copy(file: BinaryIO, size: int, digest: _Hash) -> None:
    left = size
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise _cut()
        digest.update(chunk)
        left -= len(chunk)


def _require_end(file: BinaryIO) -> None:
    rest = file.read(_MAX_END_BYTES + 1)
    if len(rest) < _BLOCK or rest.strip(b"\0") or len(rest) > _MAX_END_BYTES:
        raise BackupError("the archive is cut off, or has something behind its end.")


def _cut() -> BackupError:
    return BackupError("the archive is cut off. Use another copy.")
