"""`cape config`, `cape function create`, `cape version`: commands that need no host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import blindsight
from blindsight_cli.cape import names, settings
from blindsight_cli.cape.console import CliError, arguments_error, log, out

if TYPE_CHECKING:
    from blindsight_cli.cape.context import Context

_APP: Final = '''def cape_handler(input_bytes):
    """Answer one input: bytes in, text or bytes out."""
    text = input_bytes.decode("utf-8")
    return text
'''
_REQUIREMENTS: Final = "# Install what is listed here next to app.py: pip install -r requirements.txt --target .\n"


def config(context: Context) -> None:
    """Show what can be configured, or store one option in the presets file."""
    if not context.arguments:
        log("Here are the configurable options:")
        log(", ".join(settings.OPTIONS))
        return
    if len(context.arguments) != 2:
        raise arguments_error("you must pass a key and a value")
    file = settings.presets_path(context.environ, Path.home(), context.text("config"))
    settings.write_preset(file, *context.arguments)


def function_create(context: Context) -> None:
    """Start a function: a folder with a handler that answers its input. Nothing that exists is overwritten."""
    if len(context.arguments) != 1:
        raise arguments_error("you must pass a function name")
    name = names.function_name(context.arguments[0], "unable to create function")
    folder = Path(context.text("location")) / name
    try:
        folder.mkdir(mode=0o755, parents=True)
        (folder / "app.py").write_text(_APP, encoding="utf-8")
        (folder / "requirements.txt").write_text(_REQUIREMENTS, encoding="utf-8")
    except OSError as error:
        raise CliError(f"unable to create function: mkdir {folder}: {(error.strerror or '').lower()}") from error


def version(context: Context) -> None:
    """Print the version."""
    if context.arguments:
        raise arguments_error("version does not take any arguments")
    out(blindsight.__version__)
