"""The file systems that the kernel leaves to user space, and a root directory that can be left.

The kernel's initial file system cannot be moved away: pivot_root(2) refuses it. A bind mount of it, moved over it, can;
confined processes are given a root directory of their own that way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from enclave_image.init import system_calls
from enclave_image.init.system_calls import MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID

_PLACE: Final = "/newroot"

_KERNELS: Final = MS_NOSUID | MS_NODEV | MS_NOEXEC

MOUNTS: Final[tuple[tuple[str, str, int, str | None], ...]] = (
    ("proc", "/proc", _KERNELS, None),
    ("sysfs", "/sys", _KERNELS, None),
    ("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755"),
    ("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"),  # noqa: S108 -- made here, and nothing else runs yet
    ("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"),  # noqa: S108 -- likewise
    ("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"),
    ("tmpfs", "/state", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"),
    ("cgroup2", "/sys/fs/cgroup", _KERNELS, None),
)
"""Kind, place, flags, options, in this order. All of them are memory."""


def make_root() -> None:
    """Make `/` a mount that can be left. Raises `OSError`."""
    system_calls.mount("/", _PLACE, None, MS_BIND)
    os.chdir(_PLACE)
    system_calls.mount(".", "/", None, MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def mount_all() -> None:
    """Raises `OSError` that names the place."""
    for kind, place, flags, options in MOUNTS:
        Path(place).mkdir(parents=True, exist_ok=True)
        system_calls.mount(kind, place, kind, flags, options)
