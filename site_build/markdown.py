"""Pieces of generated Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`+[^`]*`+)")


def cell(text: str) -> str:
    """`text` in one line of a table; what is between backticks stays code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part if index % 2 else escaped(part) for index, part in enumerate(parts)).replace("|", "\\|")


def code(text: str) -> str:
    """A code span, for a cell too."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", "\\|")


def escaped(text: str) -> str:
    """`text` as plain words."""
    return re.sub(r"([\\*_<>\[\]{}#])", r"\\\1", text)


def prose(text: str) -> str:
    """Paragraphs of plain words, in which what is between backticks is code."""
    parts = _CODE.split(text)
    return "".join(part if index % 2 else escaped(part) for index, part in enumerate(parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; nothing where there are no rows."""
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    return "".join([f"| {' | '.join(head)} |\n", "|---" * len(head) + "|\n", *lines, "\n"]) if lines else ""


def fenced(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n\n"
