"""Listening Unix sockets, which only their owner can use, and which never replace a socket in use."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_PATH_BYTES: Final = 107
"""Of Linux's sockaddr_un, less the NUL at its end; unix(7)."""
_PROBE_SECONDS: Final = 1.0


class Claim:
    """A listening socket at a path, with a lock that keeps other Blindsight processes from using the path."""

    def __init__(self, listener: socket.socket, path: str, lock: int) -> None:
        self.socket = listener
        self._path = path
        self._lock = lock

    def remove(self) -> None:
        """Remove the file and release the path; the owner closes the socket itself."""
        if self._lock >= 0:
            with suppress(FileNotFoundError):
                Path(self._path).unlink()
            # The lock's file stays: removed, it could be locked twice, by who has it open and by who makes it anew.
            os.close(self._lock)
            self._lock = -1


def claim(path: str, backlog: int) -> Claim:
    """Listen at `path`, mode 0600. Replaces a socket left by a process that has ended.

    The process holds the lock `PATH.lock` from before it checks the path until it ends, so that no Blindsight process
    removes another's socket, even one that is just about to listen. Sockets of other programs stay as long as they
    accept connections, and files that are not sockets stay. Raises `OSError`; `EADDRINUSE` for a path in use.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken("another process listens there") from error
        _clear(path)
        # Linux gives the file the mode of the socket, less the umask: there is no moment at which others may connect.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        os.close(lock)
        raise
    return Claim(listener, path, lock)


def _clear(path: str) -> None:
    """Remove a socket without a listener. Raises `OSError` (`EADDRINUSE`) for anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _taken("a file that is not a socket lies there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except OSError as error:
            raise _taken("a socket lies there that cannot be tried") from error
        else:
            raise _taken("another program listens there")


def _taken(reason: str) -> OSError:
    return OSError(errno.EADDRINUSE, reason)
