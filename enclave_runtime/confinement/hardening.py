"""First measures of processes that hold or handle secrets. Standard library only."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys

from enclave_runtime.confinement import libc

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def close_memory() -> None:
    """Disable core dumps and tracing, so that other processes of the same user cannot read this one's memory."""
    libc.prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent() -> None:
    """Request a signal when the parent ends. A change of user ids cancels this."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ignore_interrupts() -> None:
    """Ctrl-C goes to the whole group; the runtime decides when its processes end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def silence() -> None:
    """Close standard input, output and error for the function, so that printed text reaches no log."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
