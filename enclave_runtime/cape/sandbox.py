"""Confining the calling process for good, without root: Landlock for files, TCP and signals, seccomp for the rest.

What stays: its own folder, the system's libraries, a few devices, memory, processor time, and Unix sockets whose
path it knows (a kernel with Landlock ABI 9 leaves only those it is told of).
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from enclave_runtime.cape import landlock, libc, seccomp

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522

_TO_RUN = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64")
_TO_READ = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    # Not all of /proc/self: its `net/unix` lists every process's sockets by path.
    *(
        f"/proc/self/{name}"
        for name in ("auxv", "cmdline", "comm", "fd", "limits", "maps", "smaps", "stat", "statm", "status")
    ),
)
_TO_USE = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class SandboxUnavailable(Exception):  # noqa: N818 -- names what happened
    """The process cannot be confined; the message says why. It may be confined in part: it must not go on."""


def available() -> str | None:
    """None if this machine's kernel can confine a process, else the reason, in one line."""
    if sys.platform != "linux":
        return f"no sandbox on {sys.platform}"
    if (reason := seccomp.unsupported()) is not None:
        return reason
    try:
        version = landlock.abi()
    except OSError:
        return "the kernel has no Landlock, or has it switched off"
    if version < landlock.MIN_ABI:
        return f"the kernel's Landlock is too old: ABI {version}, needed {landlock.MIN_ABI} (Linux 6.7)"
    return None


def confine(*, read_only: Sequence[Path], writable: Sequence[Path], sockets: Sequence[Path] = ()) -> None:
    """Confine the calling process, which must have one thread only, and all that it will start.

    `sockets` are folders with Unix sockets that it may connect to. Raises `SandboxUnavailable`.
    """
    if (reason := available()) is not None:
        raise SandboxUnavailable(reason)
    # What another thread does would stay outside.
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SandboxUnavailable("the process has threads already")
    allowed: dict[Path, int] = {}
    for paths, rights in (
        (_TO_RUN, landlock.RUN),
        (_TO_READ, landlock.READ),
        (_TO_USE, landlock.USE),
        (read_only, landlock.RUN),
        (sockets, landlock.CONNECT),
        (writable, landlock.OWN),
    ):
        for path in map(Path, paths):
            allowed[path] = allowed.get(path, 0) | rights
    try:
        with landlock.Ruleset(allowed) as ruleset:
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
            _drop_capabilities()
            ruleset.restrict()
        seccomp.install(signals_scoped=landlock.abi() >= landlock.SCOPES_ABI)
    except OSError as error:
        raise SandboxUnavailable(f"the kernel refused: {error.strerror}") from error


def _drop_capabilities() -> None:
    """Root without capabilities is a user like others. Raises `OSError`."""
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    with contextlib.suppress(OSError):  # EINVAL past the last one; EPERM to who has no CAP_SETPCAP.
        for capability in range(64):
            libc.prctl(_PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    # Under NO_NEW_PRIVS no program that is started brings any back.
    libc.syscall(_CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(nothing))
