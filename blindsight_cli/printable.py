"""Text of another's making, on its way to a terminal: labels, problems, names of files and hosts."""

from __future__ import annotations

from rich.text import Text


def printable(text: str) -> str:
    """`text` in one line, without what a terminal would take for commands."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def multiline(text: str) -> str:
    """`text` likewise, with its line breaks and tabs."""
    return "\n".join("\t".join(printable(part) for part in line.split("\t")) for line in text.split("\n"))


def cell(text: str) -> Text:
    """`text` for a table of `rich`, which would take square brackets in a plain one for markup."""
    return Text(printable(text))
