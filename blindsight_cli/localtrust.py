"""`blindsight with-local-trust`: any command, with this machine's stack trusted by Cape's clients."""

from __future__ import annotations

import os
import shutil
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated

import typer

from blindsight.errors import LocalTrustError
from blindsight_cli.console import err, fail
from blindsight_cli.gateway_url import checked
from blindsight_cli.local_trust import environment
from blindsight_cli.paths import a_path


def with_local_trust(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, as in `python script.py`.")],
    state: Annotated[
        Path | None,
        typer.Option(
            help="The stack's folder. Default: the one of CAPE_LOCAL_CONFIG_DIR, or .blindsight.", parser=a_path
        ),
    ] = None,
    url: Annotated[str, typer.Option(help="The stack's HTTPS address, of this machine.")] = "https://localhost:8443",
) -> None:
    """Run COMMAND so that pycape, cape-js and `cape` accept the simulated evidence of this machine's own stack.

    Nothing is installed or edited: environment variables name the simulated root and the TLS authority that `blindsight
    up` made. pycape and `cape` use that root for loopback hosts only, and the authority can sign for no others: every
    other host is verified as ever.
    """
    checked(url, scheme="https")
    folder = environment.stack_folder(state, os.environ)
    try:
        variables = environment.trusting(folder.resolve(), url, os.environ)
    except LocalTrustError as error:
        fail(str(error), error.next_step)
    except FileNotFoundError as error:
        fail(
            f"{error.args[0]} is missing",
            "start a stack with `make run` and copy its export of CAPE_LOCAL_CONFIG_DIR, or give --state",
        )
    except OSError as error:
        fail(f"{error.filename} cannot be used: {error.strerror}", "run this as the user whose stack it is")
    program = shutil.which(command[0])
    if program is None:
        fail(f"there is no command {command[0]}", "check its name")
    err.print(
        f"LOCAL TRUST: evidence of loopback hosts under the simulated root of {folder} is accepted. It proves nothing.",
        style="yellow",
    )
    os.execve(program, command, variables)  # noqa: S606 -- the very purpose
