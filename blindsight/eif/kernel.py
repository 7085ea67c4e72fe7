"""The version string in the header of a bzImage (Linux, arch/x86/boot, "boot protocol")."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from blindsight.eif.layout import SectionType

if TYPE_CHECKING:
    from blindsight.eif.layout import Image

AWS: Final = ("4.14.256-209.484.amzn2.x86_64", "6.6.38")
"""Versions of the kernels for AWS's machines that this project knows (docs/enclave-image.md)."""

PREFIX_BYTES = 0x200 + 0x10000 + 256
"""Setup header, the furthest place where the version may be, and the version."""

_MAX_VERSION_BYTES = 256
_MAGIC = slice(0x202, 0x206)
_VERSION_POINTER = 0x20E
_SETUP_BYTES = 0x210
_BASE = 0x200
"""The pointer counts from here."""


def version(prefix: bytes) -> str | None:
    """The version string, from the first `PREFIX_BYTES` of a kernel; None if it is not a bzImage or states none."""
    if prefix[_MAGIC] != b"HdrS" or len(prefix) < _SETUP_BYTES:
        return None
    (pointer,) = struct.unpack_from("<H", prefix, _VERSION_POINTER)
    text, end, _ = prefix[_BASE + pointer : _BASE + pointer + _MAX_VERSION_BYTES].partition(b"\0")
    return text.decode("ascii", "backslashreplace") if pointer and text and end else None


def release(text: str | None) -> str | None:
    """The kernel's release, as `uname -r` shows it: the first word of its version string. None if there is none."""
    words = (text or "").split()
    return words[0] if words else None


def is_of(stated: str, found: str | None) -> bool:
    """Whether the release `found` is of the version `stated`: the same, or with a local suffix (`6.6.38-x`)."""
    return found is not None and (found == stated or found.startswith((f"{stated}-", f"{stated}+")))


def release_in(image: Image) -> str | None:
    """The release of an image's kernel; None if it is not a bzImage or states none. Raises `EifError`."""
    prefix = b""
    for section in image.sections:
        if section.type is SectionType.KERNEL:
            blocks = section.blocks()
            while len(prefix) < PREFIX_BYTES and (block := next(blocks, b"")):
                prefix += block
    return release(version(prefix[:PREFIX_BYTES]))
