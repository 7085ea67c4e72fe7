"""Ctrl-C in a command: one line, and the shell's exit status for it.

A process may be started with SIGINT blocked, so that a Ctrl-C of its first moments waits until it can be answered.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Final

EXIT_STATUS: Final = 130
"""128 and the number of SIGINT, as shells report it."""


def run(module: str, function: str = "main") -> int:
    """What `function` of `module` returns; 130, with one line on standard error, if Ctrl-C ended it or its loading.

    What was being written is removed first, by those that write it (`blindsight.files.replacing`).
    """
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        status: int = getattr(importlib.import_module(module), function)()
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)  # noqa: T201 -- a command line prints
        return EXIT_STATUS
    return status
