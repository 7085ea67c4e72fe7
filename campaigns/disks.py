"""Small file systems in memory, one for the files of each unit, which can be filled and freed.

They are mounted in a mount namespace of the campaign's own, so that they end with its last process. That needs root;
without it there are folders instead, and no faults of disks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_CLONE_NEWNS: Final = 0x20000
_BLOCK: Final = bytes(1 << 16)
_FILLER: Final = "filler"


def private_mounts() -> bool:
    """Give this process a mount namespace of its own, unshare(2). False where it may not.

    Before threads and other processes exist, because they would keep the old one.
    """
    if os.geteuid() or ctypes.CDLL(None).unshare(_CLONE_NEWNS):
        return False
    return _done("mount", "--make-rprivate", "/")


class Disk:
    """The folder `at`, as a file system of its own with `size` bytes if `mounted`."""

    def __init__(self, at: Path, size: int, *, mounted: bool) -> None:
        at.mkdir(parents=True)
        self.at = at
        self.can_be_full = mounted and _done("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(at))

    def fill(self) -> None:
        """Leave no byte free: further writes fail with ENOSPC."""
        with contextlib.suppress(OSError), (self.at / _FILLER).open("wb", buffering=0) as filler:
            while True:
                if filler.write(_BLOCK) < len(_BLOCK):
                    break
        with contextlib.suppress(OSError), (self.at / _FILLER).open("ab", buffering=0) as filler:
            while filler.write(b"\0"):
                pass

    def free(self) -> None:
        (self.at / _FILLER).unlink(missing_ok=True)


def _done(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
