"""The address of a gateway, as the commands take it: an option `--url`, or an argument."""

from __future__ import annotations

from typing import Annotated, Final

import httpx2
import typer

from blindsight_cli.console import fail

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_VARIABLE: Final = "BLINDSIGHT_URL"
_SCHEMES: Final = ("http", "https")


def checked(url: str, name: str = "--url", *, scheme: str = "http") -> str:
    """`url`, or the exit of the command if it is not an address; `name` is what the user gave it as.

    `scheme` is the one to propose where there is none.
    """
    if not is_address(url):
        begins = f"check {name}: an address begins with http:// or https://"
        proposed = f"{scheme}://{url}"
        fail(f"{url} is not an address of a gateway", f"{begins}, as in {proposed}" if is_address(proposed) else begins)
    return url


def is_address(url: str) -> bool:
    """Whether `url` has a scheme of HTTP and a host."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in _SCHEMES and bool(parsed.host)


def _option(parameter: typer.CallbackParam, url: str) -> str:
    return checked(url, parameter.opts[0] if parameter.param_type_name == "option" else "URL")


Url = Annotated[str, typer.Option(help="The gateway.", envvar=_VARIABLE, callback=_option)]
UrlArgument = Annotated[str, typer.Argument(help="The gateway.", envvar=_VARIABLE, callback=_option)]
