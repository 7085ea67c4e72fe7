"""Ctrl-C in a command: one line, and the shell's exit status for it.

A process may be started with SIGINT blocked, so that a Ctrl-C of its first moments waits until it can be answered.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

EXIT_STATUS: Final = 130
"""128 and the number of SIGINT, as shells report it."""


def run(module: str, function: str = "main") -> int:
    """What `function` of `module` returns; 130, with one line on standard error, if Ctrl-C ended it or its loading.

    What was being written is removed first, by those that write it (`blindsight.files.replacing`).
    """
    came = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        loaded = importlib.import_module(module)
        # asyncio puts its own handler in the place of Python's only.
        signal.signal(signal.SIGINT, before)
        status: int = getattr(loaded, function)()
    except Exception:
        # A library in C that is being loaded makes an error of its own of a KeyboardInterrupt.
        if not came:
            raise
    except KeyboardInterrupt:
        pass
    else:
        return status
    print("error: interrupted.", file=sys.stderr)  # noqa: T201 -- a command line prints
    return EXIT_STATUS
