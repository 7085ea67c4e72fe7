"""C library functions that Python lacks."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_RELATIME: Final = 1 << 21
MNT_DETACH: Final = 2

_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Raises `OSError`."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(int(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded))))


def syscall(number: int, *arguments: object) -> int:
    """syscall(2) with integers, `ctypes` values, references or None. Raises `OSError`."""
    words = (ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments)
    return _checked(int(_libc.syscall(ctypes.c_long(number), *words)))


def unshare(flags: int) -> None:
    """unshare(2). Raises `OSError`."""
    _checked(int(_libc.unshare(ctypes.c_int(flags))))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). Raises `OSError` that names the target."""
    text = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    try:
        _checked(int(_libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3])))
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None


def umount(target: str, flags: int) -> None:
    """umount2(2). Raises `OSError`."""
    _checked(int(_libc.umount2(os.fsencode(target), ctypes.c_int(flags))))


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2). Raises `OSError`; EINVAL where the root is the kernel's initial file system."""
    syscall(_PIVOT_ROOT[platform.machine()], ctypes.c_char_p(os.fsencode(new)), ctypes.c_char_p(os.fsencode(old)))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
