"""Handling of Ctrl-C in a command: one line and the shell's exit status.

A process can be started with SIGINT blocked, so that an early Ctrl-C waits until the handler is installed.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Final

EXIT_STATUS: Final = 130
"""128 and the number of SIGINT, as shells report it."""


def run(module: str, function: str = "main") -> int:
    """Return the result of `function` in `module`; 130, with one line on standard error, if Ctrl-C ended it or its
    import.

    Writers remove incomplete files first (`blindsight.files.replacing`).
    """
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        status: int = getattr(importlib.import_module(module), function)()
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)  # noqa: T201 -- a command line prints
        return EXIT_STATUS
    return status
