"""How the command line speaks: results on standard output, everything else on standard error, one line an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from blindsight_cli.printable import multiline, printable

if TYPE_CHECKING:
    from rich.text import Text


class PlainConsole(Console):
    """A console on which a string is shown as it is, wherever it stands: rich's markup and emoji codes are text.

    Styles are given as `style=` or with `rich.text.Text`. Most of what is printed holds a path, a label or another
    party's words, and one forgotten `markup=False` would lose `[final]` from a file's name.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 -- rich's own options
        """`text` without what a terminal would take for commands; its lines and tabs stay."""
        return super().render_str(multiline(text), **options)


out = PlainConsole()
err = PlainConsole(stderr=True)


def fail(message: str, next_step: str = "") -> NoReturn:
    """Print what went wrong and what to do, and exit with status 1."""
    err.print(f"error: {printable(message)}", style="red")
    if next_step:
        err.print(f"next:  {printable(next_step)}")
    raise typer.Exit(1)
