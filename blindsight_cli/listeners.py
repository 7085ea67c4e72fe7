"""The ports on which a process of this machine listens, as the kernel tells: proc(5), /proc/PID/fd and /proc/PID/net.

Another program can answer on a port that one's own process was to have: an answer alone does not say whose it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"


def ports_of(pid: int) -> set[int]:
    """The TCP ports on which the process `pid` itself listens. Raises `OSError` if the kernel does not tell."""
    folder = Path("/proc") / str(pid)
    held = {str(entry.readlink()) for entry in (folder / "fd").iterdir() if entry.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (folder / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # A machine may be without IPv6.
            continue
        for line in lines:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == _LISTENING and f"socket:[{inode}]" in held:
                found.add(int(local.rpartition(":")[2], 16))
    return found
