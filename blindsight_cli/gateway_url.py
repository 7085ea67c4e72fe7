"""The address of a gateway, as the commands take it: an option `--url`, or an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from blindsight.client import addresses
from blindsight_cli.console import fail

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_VARIABLE: Final = "BLINDSIGHT_URL"


def checked(url: str, name: str = "--url", *, scheme: str = "http") -> str:
    """`url`, or the exit of the command if it is not an address; `name` is what the user gave it as.

    `scheme` is the one to propose where there is none.
    """
    if fault := addresses.fault(url, scheme=scheme):
        fail(*fault.told(url, name))
    return url


def _option(parameter: typer.CallbackParam, url: str) -> str:
    return checked(url, parameter.opts[0])


def _argument(url: str) -> str:
    if Path(url).is_file():
        fail(
            f"{url} is a file, and no gateway",
            "give the gateway's address; for kept files there are `blindsight attest diff` and `receipt verify`",
        )
    return checked(url, "URL")


Url = Annotated[str, typer.Option(help="The gateway.", envvar=_VARIABLE, callback=_option)]
UrlArgument = Annotated[str, typer.Argument(help="The gateway.", envvar=_VARIABLE, callback=_argument)]
