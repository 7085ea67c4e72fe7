"""Types for `argparse` that parse numbers on the units' command lines."""

from __future__ import annotations

import argparse
import math


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
