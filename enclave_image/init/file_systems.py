"""Mounts the file systems that user space provides, and replaces the root mount by one that pivot_root(2) accepts.

pivot_root(2) refuses the kernel's initial file system (rootfs), but accepts a bind mount of it that was moved over it.
The runtime needs pivot_root(2) to give confined processes a root directory of their own.
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
"""Type, mount point, flags and options of each, in order of mounting. All are in memory."""


def make_root() -> None:
    """Replace the root mount by a bind mount of itself. Raises `OSError`."""
    system_calls.mount("/", _PLACE, None, MS_BIND)
    os.chdir(_PLACE)
    system_calls.mount(".", "/", None, MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def mount_all() -> None:
    """Mount all of `MOUNTS`. Raises `OSError` that names the mount point."""
    for kind, place, flags, options in MOUNTS:
        Path(place).mkdir(parents=True, exist_ok=True)
        system_calls.mount(kind, place, kind, flags, options)
