"""Paths on the command line: an empty one is refused, which `pathlib` takes for the folder that one stands in."""

from __future__ import annotations

from pathlib import Path

import typer


def a_path(text: str | Path) -> Path:
    """`text` as a path, for `parser=` of typer's options and arguments. Raises `typer.BadParameter` if it is empty."""
    if not str(text):
        raise typer.BadParameter("the path is empty: a variable of the shell that is not set, perhaps")
    return Path(text)
