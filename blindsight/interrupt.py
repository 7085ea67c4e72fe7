"""Ctrl-C in a unit's command: one line, and the shell's exit status for it."""

from __future__ import annotations

import importlib
import sys
from typing import Final

EXIT_STATUS: Final = 130
"""128 and the number of SIGINT, as shells report it."""


def run(module: str) -> int:
    """What `main()` of `module` returns; 130, with one line on standard error, if Ctrl-C ended it or its loading.

    What was being written is removed first, by those that write it (`blindsight.files.replacing`).
    """
    try:
        status: int = importlib.import_module(module).main()
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)  # noqa: T201 -- a command line prints
        return EXIT_STATUS
    return status
