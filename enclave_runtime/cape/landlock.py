"""Landlock: what the calling process, and all that it starts, may still reach. See landlock(7).

Landlock covers opening, making, renaming and removing files, TCP, and (since ABI 6) signals and abstract sockets of
processes outside. It does not cover changes of mode, owner and attributes, or watches, which `seccomp` does; nor `stat`
and `utime`, which nothing here does.
"""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from enclave_runtime.cape import libc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # The same on every architecture.
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Those that a rule on anything but a folder may give."""

READ: Final = _READ_FILE | _READ_DIR
RUN: Final = READ | _EXECUTE
USE: Final = READ | _WRITE_FILE
"""For devices."""
OWN: Final = (
    RUN | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
)  # fmt: skip
"""Everything with files and folders; no devices, pipes, links or sockets."""
CONNECT: Final = 1 << 16
"""To sockets in a folder. Kernels before ABI 9 do not ask, and let a process connect to any whose path it knows."""

_FS_ABI_4 = (1 << 15) - 1
_FS_IOCTL_DEV = 1 << 15
_NET_TCP = 0b11
_SCOPES = 0b11

MIN_ABI: Final = 4
SCOPES_ABI: Final = 6
"""The first that keeps signals and abstract sockets inside."""


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The running kernel's version of Landlock. Raises `OSError` if it has none, or has it switched off."""
    return libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)


class Ruleset:
    """What will be allowed. Use `with`; `restrict` applies it to the calling thread for good."""

    def __init__(self, allowed: Mapping[Path, int]) -> None:
        """`allowed`: rights by path, for it and all beneath it; paths that do not exist are skipped.

        Raises `OSError`.
        """
        version = abi()
        self._handled = _FS_ABI_4 | (_FS_IOCTL_DEV if version >= 5 else 0) | (CONNECT if version >= 9 else 0)
        attributes = _RulesetAttributes(self._handled, _NET_TCP, _SCOPES if version >= SCOPES_ABI else 0)
        self._descriptor = libc.syscall(
            _CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), 0
        )
        with ExitStack() as stack:
            stack.callback(os.close, self._descriptor)
            for path, rights in allowed.items():
                self._allow(path, rights)
            stack.pop_all()

    def __enter__(self) -> Ruleset:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def restrict(self) -> None:
        """Raises `OSError`."""
        libc.syscall(_RESTRICT_SELF, self._descriptor, 0)

    def _allow(self, path: Path, rights: int) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= _FILE_RIGHTS
            rule = _PathBeneath(rights & self._handled, descriptor)
            if rule.allowed_access:
                libc.syscall(_ADD_RULE, self._descriptor, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)
