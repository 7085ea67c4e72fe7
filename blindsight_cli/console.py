"""How the command line speaks: results on standard output, everything else on standard error, one line an error."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console

from blindsight_cli.printable import printable

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, next_step: str = "") -> NoReturn:
    """Print what went wrong and what to do, and exit with status 1."""
    err.print(f"error: {printable(message)}", style="red", markup=False)
    if next_step:
        err.print(f"next:  {printable(next_step)}", markup=False)
    raise typer.Exit(1)
