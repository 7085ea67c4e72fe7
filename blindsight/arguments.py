"""The units' command lines: their program names, and types of numbers and paths for `argparse`."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Final

CALLED_AS: Final = "BLINDSIGHT_CALLED_AS"
"""The variable in which a command that runs a unit in its place says what was typed before the unit's arguments."""


def program(unit: str) -> str:
    """What usage lines of `unit` begin with: what its user typed. What this process starts does not inherit it."""
    return os.environ.pop(CALLED_AS, f"python -m {unit}")


def a_path(text: str) -> Path:
    """A path. An empty text would be the folder that one stands in. Raises `argparse.ArgumentTypeError`."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: a variable of the shell that is not set, perhaps")
    return Path(text)


def whole(text: str) -> int:
    """Parse a positive integer, such as a number of processes, connections or bytes. Raises
    `argparse.ArgumentTypeError`.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def port(text: str) -> int:
    """Parse a TCP port, 0 to 65535; 0 requests a free one. Raises `argparse.ArgumentTypeError`."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """Parse a positive, finite duration in seconds. Raises `argparse.ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value
