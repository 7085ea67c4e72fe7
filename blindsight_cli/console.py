"""Output of the command line: results on standard output, everything else on standard error, one line for each
error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from blindsight_cli.printable import multiline, printable

if TYPE_CHECKING:
    from rich.text import Text


class PlainConsole(Console):
    """A console that prints strings literally, without rich's markup and emoji codes.

    Styles are given as `style=` or with `rich.text.Text`. Most output contains a path, a label or another party's text,
    and a forgotten `markup=False` would drop `[final]` from a file's name.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 -- rich's own options
        """`text` without terminal control sequences; lines and tabs stay."""
        return super().render_str(multiline(text), **options)


out = PlainConsole()
err = PlainConsole(stderr=True)


def fail(message: str, next_step: str = "") -> NoReturn:
    """Print the error and the next step, and exit with status 1."""
    err.print(f"error: {printable(message)}", style="red")
    if next_step:
        err.print(f"next:  {printable(next_step)}")
    raise typer.Exit(1)
