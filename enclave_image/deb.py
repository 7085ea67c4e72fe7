"""Reads Debian packages without dpkg. A package is an ar archive with the files in a compressed tar: deb(5)."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_DATA: Final = ("data.tar.xz", "data.tar.gz", "data.tar")


@dataclass(frozen=True)
class Member:
    """A file or symbolic link of a package. `path` has no leading slash. A link has a `target` and no content."""

    path: str
    content: bytes
    executable: bool
    target: str | None = None


def members(package: Path) -> Iterator[Member]:
    """Yield the files and links that `package` installs, without folders.

    Raises `ImageError` for a damaged package, and for members of other types.
    """
    refused = ImageError(f"{package.name} is not a Debian package that can be read.", "Fetch it again.")
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(package.read_bytes(), refused))) as archive:
            for info in archive:
                path = info.name.removeprefix("./")
                if info.issym():
                    yield Member(path, b"", executable=False, target=info.linkname)
                elif info.isfile() or info.islnk():
                    file = archive.extractfile(info)
                    yield Member(path, file.read() if file else b"", executable=bool(info.mode & 0o100))
                elif not info.isdir():
                    raise refused
    except (OSError, EOFError, tarfile.TarError) as error:
        raise refused from error


def _data(content: bytes, refused: ImageError) -> bytes:
    if not content.startswith(_MAGIC):
        raise refused
    at = len(_MAGIC)
    while at + _HEADER_BYTES <= len(content):
        header = content[at : at + _HEADER_BYTES]
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        if not header[48:58].strip().isdigit():
            raise refused
        size = int(header[48:58])
        start = at + _HEADER_BYTES
        if name in _DATA:
            return content[start : start + size]
        at = start + size + size % 2
    raise refused
