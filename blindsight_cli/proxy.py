"""The option `--proxy` of the commands that reach a gateway."""

from __future__ import annotations

from typing import Annotated

import typer

Proxy = Annotated[
    str | None,
    typer.Option(
        metavar="URL|env",
        envvar="BLINDSIGHT_PROXY",
        show_default="none",
        help="Reach other machines through this proxy; `env`: the one that HTTPS_PROXY and the like name.",
    ),
]
