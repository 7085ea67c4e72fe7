"""Checks that the image contains every shared library that its programs are linked with. See elf(5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from enclave_image.tree import Tree

_MAGIC: Final = b"\x7fELF\x02\x01"
"""ELF, 64 bits, little-endian."""
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB = 1, 5


def check(tree: Tree) -> None:
    """Raise `ImageError` if a library is missing; it names the library and a file that needs it."""
    present = {path.rpartition("/")[2] for path, _ in tree}
    for path, entry in tree:
        for name in needed(entry.content):
            if name not in present:
                raise ImageError(
                    f"{path} needs {name}, which is not in the image.", "Add its package, or leave it out."
                )


def needed(content: bytes) -> list[str]:
    """The names in the DT_NEEDED entries of an ELF file; an empty list for other files."""
    if not content.startswith(_MAGIC):
        return []
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [_PROGRAM_HEADER.unpack_from(content, table + index * size) for index in range(count)]
    entries = []
    for kind, _, offset, _, _, in_file, _, _ in headers:
        if kind == _PT_DYNAMIC:
            entries = list(struct.iter_unpack("<qQ", content[offset : offset + in_file - in_file % 16]))
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
    start = _in_file(strings, headers)
    return [_text(content, start + value) for tag, value in entries if tag == _DT_NEEDED]


def _in_file(address: int, headers: list[tuple[int, ...]]) -> int:
    for kind, _, offset, virtual, _, in_file, _, _ in headers:
        if kind == _PT_LOAD and virtual <= address < virtual + in_file:
            return address - virtual + offset
    return address


def _text(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode()
