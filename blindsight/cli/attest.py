"""`blindsight attest URL`: fetch evidence with a nonce of our own and verify it here, step by step."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated

import typer

from blindsight.cli import sealed
from blindsight.cli.classify import DEFAULT_URL, TIMEOUT_SECONDS
from blindsight.cli.console import err, fail, out
from blindsight.client import Client
from blindsight.errors import BlindsightError
from blindsight.problems import Problem


def attest(
    url: Annotated[str, typer.Argument(help="The gateway.")] = DEFAULT_URL,
    policy: Annotated[
        Path,
        typer.Option(help="Which enclaves you accept; `blindsight up` writes its own.", envvar="BLINDSIGHT_POLICY"),
    ] = sealed.DEFAULT_POLICY,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    save: Annotated[Path | None, typer.Option(help="Keep the attestation document in this file.")] = None,
) -> None:
    """Verify the enclave behind a gateway, without believing the gateway.

    Exit status: 0 if the evidence was accepted, 1 if it was refused or could not be had.
    """
    try:
        with Client(url, policy=policy, timeout=TIMEOUT_SECONDS) as client:
            report = client.verify()
            enclave = client.enclave
    except Problem as problem:
        fail(f"{problem.kind.title}. {problem.detail}", "ask the operator, or look at the gateway's log")
    except BlindsightError as error:
        sealed.stop(error)
    if save and enclave:
        save.write_bytes(enclave.document)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        out.print(report.render(), markup=False, end="")
    if report.kind == "simulated":
        err.print("SIMULATED ENCLAVE: this proves nothing about the host that runs it.", style="bold yellow")
