"""Handling of Ctrl-C in a command: one line and the shell's exit status.

A process can be started with SIGINT blocked, so that an early Ctrl-C waits until the handler is installed.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType

EXIT_STATUS: Final = 130
"""128 and the number of SIGINT, as shells report it."""


def run(module: str, function: str = "main") -> int:
    """Return the result of `function` in `module`; 130, with one line on standard error, if Ctrl-C ended it or its
    import.

    Writers remove incomplete files first (`blindsight.files.replacing`).
    """
    came = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    def ignored(what: UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(what)

    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupted)
        sys.unraisablehook = ignored
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        loaded = importlib.import_module(module)
        # asyncio puts its own handler in the place of Python's only.
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = sys.__unraisablehook__
        if came:
            raise KeyboardInterrupt  # It came in a callback or a finaliser, which cannot raise.
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
