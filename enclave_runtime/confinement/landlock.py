"""Landlock: restricts the files and sockets of the calling process and its children. See landlock(7).

Landlock covers opening, creating, renaming and removing files, truncating them (since ABI 3), TCP (4), devices' ioctl
(5), signals and abstract sockets of processes outside (6), and sockets by path (9). It does not cover changes of mode,
owner, times and attributes, or watches, which `seccomp` does, nor `stat`, which only namespaces do.
"""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from enclave_runtime.confinement import libc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # The same on every architecture.
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Those that a rule on anything but a folder may give."""

LIST: Final = _READ_DIR
READ: Final = _READ_FILE | _READ_DIR
RUN: Final = READ | _EXECUTE
USE: Final = READ | _WRITE_FILE
"""For devices."""
OWN: Final = (
    RUN | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
)  # fmt: skip
"""All operations on files and folders, except creating devices, pipes, links or sockets."""
PRIVATE: Final = OWN | _MAKE_SOCK | _MAKE_FIFO | _MAKE_SYM | 1 << 16
"""The same and more, for folders that other processes cannot access."""
CONNECT: Final = 1 << 16
"""To sockets in a folder. Kernels before ABI 9 do not check this: a process can connect to any socket whose path it
knows."""

_FS_BY_ABI: Final = ((1, (1 << 13) - 1), (2, _REFER), (3, _TRUNCATE), (5, 1 << 15), (9, 1 << 16))
"""File rights, and the ABI since which the kernel knows them."""
_TCP_ABI, _NET_TCP = 4, 0b11
_SCOPES_ABI, _SCOPES = 6, 0b11


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
    """The running kernel's version of Landlock; 0 if it has none or disables it."""
    try:
        return libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


class Ruleset:
    """A set of permissions. Use `with`; `restrict` applies it to the calling thread permanently."""

    def __init__(self, allowed: Mapping[Path, int], version: int) -> None:
        """`allowed`: rights by path, for it and all beneath it; paths that do not exist are skipped.

        `version`: the ABI to keep to, at most the kernel's. Raises `OSError`.
        """
        self._handled = sum(rights for since, rights in _FS_BY_ABI if version >= since)
        attributes = _RulesetAttributes(
            self._handled,
            _NET_TCP if version >= _TCP_ABI else 0,
            _SCOPES if version >= _SCOPES_ABI else 0,
        )
        # An older kernel refuses fields that it does not know, unless they are left out.
        fields = 3 if version >= _SCOPES_ABI else 2 if version >= _TCP_ABI else 1
        self._descriptor = libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(8 * fields), 0)
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
