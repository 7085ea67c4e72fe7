"""Kernel files for tests: a bzImage's setup header, and an ELF object with a `.modinfo`, by the published formats."""

from __future__ import annotations

import struct


def bzimage(version: str) -> bytes:
    """A setup header that states this version, or none if it is empty (Linux, arch/x86/boot, "boot protocol")."""
    pointer = struct.pack("<H", 0x20 if version else 0)
    head = bytes(0x1FE) + b"\x55\xaa" + b"\xeb\x66HdrS" + bytes(8) + pointer
    return head.ljust(0x220, b"\0") + version.encode() + b"\0" + bytes(64)


def module(release: str, *, name: str = "nsm") -> bytes:
    """A relocatable object (ELF64) whose `.modinfo` has the module's name, and its `vermagic` if there is a release."""
    entries = [f"name={name}", "license=GPL", *([f"vermagic={release} SMP mod_unload "] if release else [])]
    modinfo = b"".join(entry.encode() + b"\0" for entry in entries)
    names = b"\0.modinfo\0.shstrtab\0"
    start = 64 + len(modinfo) + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, 3, 2)
    sections = [(0, 0, 0, 0), (1, 1, 64, len(modinfo)), (10, 3, 64 + len(modinfo), len(names))]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", label, kind, 0, 0, at, size, 0, 0, 1, 0) for label, kind, at, size in sections
    )
    return header + modinfo + names + table
