"""Detection of a function's compiled files that its host cannot load: for another Python version, system or processor.

    foreign(archive, "cpython-311-x86_64-linux-gnu")

Otherwise a package installed on another machine, or by another Python, fails only at import, with the message that a
module is missing.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final

_LIBRARY: Final = re.compile(r"\.(so(\.\d+)*|pyd|dylib)$")
_TAG: Final = re.compile(r"\.((?:cpython-|cp|pypy|graalpy)\d[^.]*)\.(?:so|pyd)$")
_VERSION: Final = re.compile(r"(cpython-|cp|pypy|graalpy)(\d)(\d*)(t?)")
_SYSTEMS: Final = {"darwin": "macOS", "win": "Windows", "musl": "Linux with musl", "linux": "Linux"}

# System V ABI, ELF header: e_ident, and e_machine at offset 18.
_ELF: Final = b"\x7fELF"
_HEAD_BYTES: Final = 20
_MACHINE_AT: Final = 18
_BIG_ENDIAN: Final = 2
_MACHINES: Final = {
    3: "i386", 8: "mips", 21: "powerpc64le", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64",
    258: "loongarch64",
}  # fmt: skip
_OTHER_FORMATS: Final = {
    b"\xcf\xfa\xed\xfe": "macOS", b"\xce\xfa\xed\xfe": "macOS", b"\xca\xfe\xba\xbe": "macOS", b"MZ": "Windows",
}  # fmt: skip


@dataclass(frozen=True)
class Foreign:
    """An entry that cannot be loaded, and what it was made for, in words."""

    name: str
    made_for: str


def foreign(archive: zipfile.ZipFile, tag: str) -> list[Foreign]:
    """The entries that an interpreter of this `tag` (its SOABI, PEP 3149) cannot load, in their order.

    A file that the archive also has for that interpreter is none: packages for several systems are like that.
    """
    found, fitting = [], set()
    for entry in archive.infolist():
        name = entry.filename.rpartition("/")[2]
        if not _LIBRARY.search(name):
            continue
        try:
            with archive.open(entry) as file:
                head = file.read(_HEAD_BYTES)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
            continue  # The enclave says what it thinks of such an archive.
        made_for = _made_for(name, head, tag)
        if made_for is None:
            fitting.add(_stem(name))
        else:
            found.append(Foreign(entry.filename, made_for))
    return [each for each in found if _stem(each.name.rpartition("/")[2]) not in fitting]


def python_of(tag: str) -> str:
    """The interpreter that has this tag, in words: `Python 3.11 on x86_64 Linux`."""
    machine = " ".join(filter(None, (_machine(tag), _system(tag))))
    return " on ".join(filter(None, (_version(tag), machine)))


def _made_for(name: str, head: bytes, tag: str) -> str | None:
    """What the file was made for, in words; None if it fits."""
    marked = _TAG.search(name)
    if marked and marked[1] != tag:
        return python_of(marked[1])
    if name.endswith((".pyd", ".dylib")):
        return "Windows" if name.endswith(".pyd") else "macOS"
    for magic, system in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return system
    if head.startswith(_ELF) and len(head) == _HEAD_BYTES:
        order = ">" if head[5] == _BIG_ENDIAN else "<"
        (number,) = struct.unpack_from(f"{order}H", head, _MACHINE_AT)
        machine = _MACHINES.get(number, f"processors of ELF's number {number}")
        if machine != _machine(tag):
            return f"{machine} Linux"
    # Text or anything else under such a name is not a library, and not ours to judge.
    return None


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _version(tag: str) -> str:
    found = _VERSION.match(tag)
    if not found:
        return tag
    kind = {"pypy": "PyPy", "graalpy": "GraalPy"}.get(found[1], "free-threaded Python" if found[4] else "Python")
    return f"{kind} {found[2]}.{found[3]}".rstrip(".")


def _system(tag: str) -> str:
    return next((name for part, name in _SYSTEMS.items() if part in tag), "")


def _machine(tag: str) -> str:
    known = (*_MACHINES.values(), "amd64", "arm64")
    return next((name for name in known if re.search(rf"(?:^|[-_]){name}(?:[-_]|$)", tag)), "")
