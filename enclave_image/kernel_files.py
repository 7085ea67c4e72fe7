"""Checks the kernel files that the user gives: that they are a kernel and a module, of the described version.

Linux, Documentation/arch/x86/boot.rst (boot protocol). A module is an ELF object, elf(5); its section `.modinfo`
contains texts such as `vermagic=RELEASE …`, and the kernel loads only modules with its own release there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from blindsight.eif import kernel
from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC: Final = b"\x7fELF\x02\x01"
"""ELF, 64 bits, little-endian."""
_RELOCATABLE: Final = 1
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")
_MODINFO: Final = b".modinfo\0"


def check(described: str, version: str, image: tuple[Path, bytes], module: tuple[Path, bytes]) -> None:
    """Check that `image` and `module`, pairs of path and content, belong to the version of the kernel `described`.

    Raises `ImageError` for a file of another kind or version.
    """
    path, content = image
    found = kernel.release(kernel.version(content[: kernel.PREFIX_BYTES]))
    if found is None:
        raise ImageError(f"{path} is not a bzImage that states a version.", f"Give the bzImage of {described}.")
    if not kernel.is_of(version, found):
        raise ImageError(
            f"The kernel {path} has the version {found}, not {version}.", f"Give the bzImage of {described}."
        )
    path, content = module
    texts = _modinfo(content)
    built_for, name = texts.get("vermagic", "").partition(" ")[0], texts.get("name", "")
    if not built_for or not name:
        raise ImageError(f"{path} is not a kernel module.", f"Give the nsm.ko of {described}.")
    if name != "nsm":
        raise ImageError(f"{path} is the module {name[:60]}, not nsm.", f"Give the nsm.ko of {described}.")
    if built_for != found:
        raise ImageError(
            f"{path} is for a kernel {built_for[:60]}, not {found}.", f"Give the nsm.ko that was built with {image[0]}."
        )


def _modinfo(content: bytes) -> dict[str, str]:
    """The texts of a module's `.modinfo`, name to value; empty for a file that is not a module."""
    try:
        (kind,) = struct.unpack_from("<H", content, 16)
        (table,) = struct.unpack_from("<Q", content, 40)
        size, count, names = struct.unpack_from("<HHH", content, 58)
        if not content.startswith(_MAGIC) or kind != _RELOCATABLE or size != _SECTION_HEADER.size:
            return {}
        headers = [_SECTION_HEADER.unpack_from(content, table + index * size) for index in range(count)]
        labels = headers[names][4]
        for label, _, _, _, start, length, *_ in headers:
            if content.startswith(_MODINFO, labels + label):
                texts = content[start : start + length].decode("utf-8", "backslashreplace").split("\0")
                return dict(text.split("=", 1) for text in texts if "=" in text)
    except (struct.error, IndexError):
        return {}
    return {}
