"""The parts of the system that every confined process can use: libraries and programs, a few files, a few devices."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

TO_RUN: Final = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")

ACCOUNTS: Final = ("/etc/passwd", "/etc/group")
"""A process with a root directory of its own gets others, with only its own user."""

USER: Final = "function"
"""The name of the process's user, if the machine has none for its id."""

TO_READ: Final = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/sys/devices/system/cpu",
)

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")

DEVICE_LINKS: Final = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}

PROC_OF_MACHINE: Final = ("/proc/cpuinfo", "/proc/meminfo")

# Not all of /proc/self: its `net/unix` lists every process's sockets by path.
PROC_OF_PROCESS: Final = tuple(
    f"/proc/self/{name}"
    for name in ("auxv", "cmdline", "comm", "fd", "limits", "maps", "smaps", "stat", "statm", "status")
)

TEMPORARY: Final = "/tmp"  # noqa: S108 -- private where this is used
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 -- likewise


def lent(paths: Iterable[str], hidden: Iterable[str]) -> tuple[str, ...]:
    """`paths` without `hidden` ones inside, since an operator can put the runtime's state anywhere.

    A folder that contains a hidden one is replaced by its other entries.
    """
    found = tuple(paths)
    for secret in hidden:
        place = Path(os.path.realpath(secret))
        found = tuple(part for path in found for part in _without(path, place))
    return found


def _without(path: str, secret: Path) -> list[str]:
    if path in TO_RUN and Path(path).is_symlink():
        return [path]  # What it leads to is lent by its own name.
    real = Path(os.path.realpath(path))
    if real.is_relative_to(secret):
        return []
    if not secret.is_relative_to(real):
        return [path]
    return [part for entry in sorted(real.iterdir()) for part in _without(str(entry), secret)]
