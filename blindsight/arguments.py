"""Numbers on the units' command lines, as types for `argparse`."""

from __future__ import annotations

import argparse
import math


def whole(text: str) -> int:
    """A whole number above 0: of processes, connections, bytes. Raises `argparse.ArgumentTypeError`."""
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def port(text: str) -> int:
    """A port of TCP, 0 to 65535; 0 is a free one. Raises `argparse.ArgumentTypeError`."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """A finite time above 0, in seconds. Raises `argparse.ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value
