"""The programs `blindsight` and `cape`. Ctrl-C ends them with one line, even during imports."""

from __future__ import annotations

import sys

from blindsight import interrupt


def blindsight() -> int:
    """The `blindsight` script."""
    return interrupt.run("blindsight_cli.main", "run")


def cape() -> int:
    """The `cape` script."""
    return interrupt.run("blindsight_cli.cape.main", "run")


if __name__ == "__main__":
    sys.exit(blindsight())
