"""What a kernel image says of itself: the version string of a bzImage (Linux, arch/x86/boot, "boot protocol")."""

from __future__ import annotations

import struct

PREFIX_BYTES = 0x200 + 0x10000 + 256
"""Setup header, the furthest place where the version may be, and the version."""

_MAX_VERSION_BYTES = 256
_MAGIC = slice(0x202, 0x206)
_VERSION_POINTER = 0x20E
_SETUP_BYTES = 0x210
_BASE = 0x200
"""The pointer counts from here."""


def version(prefix: bytes) -> str | None:
    """The version string, from the first `PREFIX_BYTES` of a kernel; None if it is no bzImage or states none."""
    if prefix[_MAGIC] != b"HdrS" or len(prefix) < _SETUP_BYTES:
        return None
    (pointer,) = struct.unpack_from("<H", prefix, _VERSION_POINTER)
    text, end, _ = prefix[_BASE + pointer : _BASE + pointer + _MAX_VERSION_BYTES].partition(b"\0")
    return text.decode("ascii", "backslashreplace") if pointer and text and end else None
