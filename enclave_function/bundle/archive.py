"""The zip format as Blindsight writes it, and what it refuses to read.

A bundle's SHA-256 is its identity, so the bytes depend on names and contents alone: entries in the order of their
names' code points, one fixed time, one fixed mode, no extra fields, no comment. Entries are stored, not deflated:
different builds of zlib compress the same bytes differently, and weights hardly compress at all.
"""

from __future__ import annotations

import stat
import zipfile
from typing import IO, TYPE_CHECKING, Final

from enclave_function.bundle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ENTRIES: Final = 20_000
"""Entries of a bundle. numpy, onnxruntime and Pillow have about 2000."""

MAX_UNPACKED_BYTES: Final = 1_000_000_000
"""All entries together, unpacked: the limit of the Cape command line."""

MAX_NAME_BYTES: Final = 512

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The zip format's earliest time."""

_REGULAR_0644: Final = (stat.S_IFREG | 0o644) << 16
_UNIX: Final = 3
_ENCRYPTED: Final = 0x1
_REBUILD: Final = "Build the bundle anew with `python -m enclave_function bundle build`, or ask its maker to."


def write(file: IO[bytes], contents: Mapping[str, bytes]) -> None:
    """Write `contents`, by name, as the one zip that they have. Raises `BundleError` for an unsafe name or too much."""
    check_names(contents)
    if sum(map(len, contents.values())) > MAX_UNPACKED_BYTES:
        raise BundleError(f"The bundle would have more than {MAX_UNPACKED_BYTES} bytes.", "Use a smaller model.")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_0644
            archive.writestr(entry, contents[name])


def entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The regular files of `archive`, checked: safe names, no links, no duplicates, within the limits.

    Nothing is unpacked. Raises `BundleError`.
    """
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise BundleError(f"The bundle has more than {MAX_ENTRIES} entries.", _REBUILD)
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise BundleError(f"The bundle unpacks to more than {MAX_UNPACKED_BYTES} bytes.", _REBUILD)
    for info in infos:
        # `orig_filename` is the name as stored: zipfile cuts it at a null byte, and cannot say whether "" is a folder.
        if not info.filename or info.orig_filename != info.filename:
            raise BundleError("The bundle has an entry with an unsafe name.", _REBUILD)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise BundleError("The bundle has an entry that is neither a file nor a folder.", _REBUILD)
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError("The bundle has an entry that is encrypted or of another compression.", _REBUILD)
    check_names(info.filename.removesuffix("/") for info in infos)
    files = [info for info in infos if not info.is_dir()]
    parents = {
        "/".join(parts[:n]) for info in files for parts in [info.filename.split("/")] for n in range(1, len(parts))
    }
    if any(info.filename in parents for info in files):
        raise BundleError("The bundle has an entry that is both a file and a folder.", _REBUILD)
    return files


def check_names(names: Iterable[str]) -> None:
    """Refuse duplicates, and names that are not plain relative paths with forward slashes. Raises `BundleError`."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BundleError("The bundle has two entries of one name.", _REBUILD)
        seen.add(name)
        unsafe = any(part in ("", ".", "..") for part in name.split("/"))
        if unsafe or "\\" in name or ":" in name or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
            raise BundleError("The bundle has an entry with an unsafe name.", _REBUILD)
