"""The C library, where Python has no function of its own."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Raises `OSError`."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(int(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded))))


def syscall(number: int, *arguments: object) -> int:
    """syscall(2) with whole numbers, `ctypes` values, references or None. Raises `OSError`."""
    words = (ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments)
    return _checked(int(_libc.syscall(ctypes.c_long(number), *words)))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
