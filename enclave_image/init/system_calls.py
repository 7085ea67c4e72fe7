"""System calls that Python does not offer, by the C library: mount(2), reboot(2), finit_module(2)."""

from __future__ import annotations

import ctypes
import os
from typing import Final

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MS_MOVE: Final = 8192

_FINIT_MODULE: Final = {"x86_64": 313, "aarch64": 273}
_RB_AUTOBOOT: Final = 0x01234567

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2) with the file system type `kind`. Raises `OSError` that names the target."""
    text = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    _check(_libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]), target)


def load_module(path: str) -> None:
    """Load an uncompressed module, finit_module(2). Raises `OSError`; `FileExistsError` if it is already loaded."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        number = ctypes.c_long(_FINIT_MODULE[os.uname().machine])
        _check(_libc.syscall(number, ctypes.c_long(descriptor), ctypes.c_char_p(b""), ctypes.c_long(0)), path)
    finally:
        os.close(descriptor)


def reset() -> None:
    """Reset the machine, reboot(2), which ends an enclave. Raises `OSError`."""
    os.sync()
    _check(_libc.reboot(ctypes.c_int(_RB_AUTOBOOT)), "reboot")


def _check(result: int, name: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
