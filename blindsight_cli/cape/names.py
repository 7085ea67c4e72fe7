"""Names and IDs in commands, checked before any request to the host."""

from __future__ import annotations

from typing import Final

from blindsight.cape import ids
from blindsight.cape.constants import FUNCTION_NAME, USERNAME
from blindsight_cli.cape.console import CliError

ID_STEP: Final = "`cape list` shows the IDs of your functions."
_RUN_STEP: Final = (
    "`cape list` shows the IDs and names of your functions; a name goes with its account, as in ada/echo."
)
_FUNCTION_RULE: Final = "the name of a function has 1 to 100 of a-z, A-Z, 0-9, dots, dashes and underscores"
_USERNAME_RULE: Final = "a username has 1 to 39 of a-z, A-Z, 0-9 and dashes, none of these first or last"


def username(text: str, failed: str) -> str:
    """`text`, if it can be an account's name. Raises `CliError` that begins with `failed`, as all of these do."""
    if not USERNAME.fullmatch(text):
        raise CliError(f"{failed}: {_USERNAME_RULE}: {text!r} is none")
    return text


def function_name(text: str, failed: str, *, step: str = "") -> str:
    """`text`, if it is a valid name of a function. Raises `CliError`, which begins with `failed`."""
    if not FUNCTION_NAME.fullmatch(text):
        raise CliError(f"{failed}: {_FUNCTION_RULE}: {text!r} is none", step=step)
    return text


def function_id(text: str, failed: str) -> str:
    """`text`, if it is a function's ID. Raises `CliError`, which begins with `failed`."""
    if not ids.is_id(text):
        raise CliError(f"{failed}: {text!r} is not a function ID", step=ID_STEP)
    return text


def function(text: str, failed: str) -> str:
    """`text`, if it is a function's ID, or `USER/NAME`. Raises `CliError`, which begins with `failed`."""
    owner, _, name = text.partition("/")
    if not ids.is_id(text) and not (USERNAME.fullmatch(owner) and FUNCTION_NAME.fullmatch(name)):
        raise CliError(f"{failed}: {text!r} is neither a function ID nor USER/NAME", step=_RUN_STEP)
    return text
