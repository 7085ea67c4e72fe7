"""Dropping privileges: capabilities and the user id. See capabilities(7), setresuid(2)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path

from enclave_runtime.confinement import libc
from enclave_runtime.confinement.layers import IDS, LayerUnavailable

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522


def no_new_privileges() -> None:
    """Keep programs that are started from now on from gaining privileges. Raises `OSError`."""
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop(user: int | None) -> None:
    """Change to `user`, if given, and drop all capabilities.

    Raises `OSError`, and `LayerUnavailable` if the user cannot be changed.
    """
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    with contextlib.suppress(OSError):  # EINVAL past the last one; EPERM to who has no CAP_SETPCAP.
        for capability in range(64):
            libc.prctl(_PR_CAPBSET_DROP, capability)
    if user is not None:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            # Installed in a folder of the runtime's user alone, Python would not find its own modules any more.
            Path(contextlib.__file__).open("rb").close()
        except OSError as error:
            raise LayerUnavailable(IDS, f"{error.strerror}: {error.filename or user}") from error
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    libc.syscall(_CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(nothing))
