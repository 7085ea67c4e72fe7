"""`blindsight kms`: what an owner of a key in AWS KMS needs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated

import typer

from blindsight import files
from blindsight.errors import KmsError
from blindsight_cli import keypolicy, statelock
from blindsight_cli.console import fail
from blindsight_cli.paths import a_path

app = typer.Typer(help="AWS KMS: secrets that are released to measured enclaves only.", no_args_is_help=True)
app.callback()(lambda: None)


@app.command("policy")
def policy(  # noqa: PLR0917 -- typer passes them by name
    role: Annotated[str, typer.Option("--role", metavar="ARN", help="Role of the instance that runs the enclave.")],
    admin: Annotated[str, typer.Option("--admin", metavar="ARN", help="Role that administers the key.")],
    measurements: Annotated[
        list[Path] | None,
        typer.Option(
            "--measurements",
            metavar="FILE",
            help="Images that may have the secrets: a release file, a policy file, or what `blindsight eif measure"
            " --json`, `eif describe --json` or nitro-cli prints. May be repeated.",
            parser=a_path,
        ),
    ] = None,
    pcr: Annotated[
        list[str] | None,
        typer.Option(
            "--pcr", metavar="INDEX=HEX", help="A register of one image, instead of a file. Once for each register."
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="ARN", help="Role that may make data keys for encrypted bundles."),
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Let none change the policy. A new image then needs a new key.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it to this file instead.", parser=a_path)
    ] = None,
) -> None:
    """Write the key policy that releases secrets to enclaves with these measurements only."""
    try:
        images = [image for path in measurements or () for image in keypolicy.of_file(path)]
        if pcr:
            images.append(keypolicy.of_arguments(pcr))
        written = keypolicy.key_policy(images, role=role, admin=admin, owner=owner, locked=locked)
    except KmsError as error:
        fail(str(error), error.next_step)
    if out is not None:
        statelock.require_not_in_use(out)
        try:
            files.write(out, keypolicy.rendered(written).encode(), sources=measurements or ())
        except OSError as error:
            fail(f"{out} cannot be written: {error.strerror}", "choose another file")
    typer.echo(keypolicy.explained(written, locked=locked), err=True)
    if out is None:
        typer.echo(keypolicy.rendered(written), nl=False)
