"""Output of `cape`: results on standard output, everything else on standard error, always in UTF-8.

Tools read both: they treat a line of standard error with the word `Error` as a failure, so no other line contains it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len

from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO


class CliError(Exception):
    """The command failed; the text follows `Error: `, and `step` is the next step, on a line of its own.

    With `usage`, the command line was wrong.
    """

    def __init__(self, text: str, *, usage: bool = False, step: str = "") -> None:
        super().__init__(text)
        self.usage = usage
        self.step = step


def arguments_error(text: str) -> CliError:
    """Too many plain arguments, or too few."""
    return CliError(f"{text}: invalid number of input arguments", usage=True)


def out(text: str) -> None:
    """Print a result, one or more whole lines."""
    out_bytes(text.encode(errors="replace") + b"\n")


def out_bytes(content: bytes) -> None:
    """Print a result as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def log(text: str) -> None:
    """Print progress on standard error."""
    _write(sys.stderr, f"{text}\n")


def ask(question: str) -> bool:
    """Ask the user for confirmation. At the end of the input the answer is no."""
    _write(sys.stderr, f"{question} [y/N] ")
    typed = sys.stdin.readline()
    if not typed.endswith("\n"):
        _write(sys.stderr, "\n")
    return typed.strip().lower() in {"y", "yes"}


def fail(text: str) -> None:
    """Print on standard error why the command failed."""
    _write(sys.stderr, f"Error: {printable(text)}\n")


def go_json(value: object) -> str:
    """JSON as Go's encoder writes it: compact, in UTF-8, with what HTML would misread escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def box_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in light box-drawing characters; a column `#` is numbers, so to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    def line(cells: Sequence[str]) -> str:
        padded = []
        for heading, cell, width in zip(headings, cells, widths, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(f" {space}{cell} " if heading == "#" else f" {cell}{space} ")
        return "│" + "│".join(padded) + "│"

    body = [line(row) for row in rows]
    return "\n".join([rule("┌", "┬", "┐"), line(headings), rule("├", "┼", "┤"), *body, rule("└", "┴", "┘")])


def _write(stream: TextIO, text: str) -> None:
    stream.flush()
    stream.buffer.write(text.encode(errors="replace"))
    stream.buffer.flush()
