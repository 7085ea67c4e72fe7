"""How an option got its value: an option without an effect is refused, if it was given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def on_the_command_line(context: typer.Context, name: str) -> bool:
    """Whether the parameter `name` was given there, rather than by the environment or by default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
