"""`blindsight backup` and `restore`: what the stack of a folder keeps. The gateway's part is a command of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from blindsight import files
from blindsight_cli import keptsecrets, statelock, stored, units
from blindsight_cli.console import err, fail, out
from blindsight_cli.keptsecrets import BadSecrets
from blindsight_cli.local_trust import environment
from blindsight_cli.paths import a_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_State = Annotated[
    Path | None,
    typer.Option(
        help="The folder of `blindsight up`. Default: the one of CAPE_LOCAL_CONFIG_DIR, or .blindsight.", parser=a_path
    ),
]


def backup(
    archive: Annotated[Path, typer.Option("--out", help="The archive to write.", parser=a_path)],
    state: _State = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            help="Write the enclave's root secret and the stack's other keys to this file. Keep it apart.",
            parser=a_path,
        ),
    ] = None,
) -> None:
    """Write the accounts, functions and tokens of a stack, which may run, to one file.

    The archive has no secret that decrypts them. Without the root secret, which --secrets writes, they cannot be used.
    """
    folder = environment.stack_folder(state, os.environ)
    if not stored.database(folder).is_file():
        fail(f"{folder} holds no accounts", "give --state the folder of a stack that `blindsight up` made")
    if secrets is not None and secrets.resolve() == archive.resolve():
        fail("--out and --secrets are one file", "keep the secrets apart from the archive")
    for written in (archive, *([secrets] if secrets else [])):
        statelock.require_not_of(folder, written)
        statelock.require_not_in_use(written)
    if secrets is not None:
        # Before the archive is made: a backup without its secrets would look like a whole one.
        _require_replaceable(secrets)
    _gateway(stored.settings(folder), "backup", "--out", str(archive))
    if secrets is None:
        err.print(
            "The archive has no secrets: keep the enclave's root secret as well, which --secrets FILE writes.",
            style="yellow",
        )
        return
    found = keptsecrets.collect(folder)
    try:
        keptsecrets.save(secrets, found)
    except OSError as error:
        _no_secrets(secrets, error)
    out.print(f"{secrets}: {len(found)} secrets")
    if stored.ROOT_SECRET not in found:
        err.print("It has no root secret: this stack's folder holds none (AWS KMS has it).", style="yellow")
    err.print(
        "KEEP IT APART from the archive: with both, all functions and data of all accounts can be read.", style="yellow"
    )


def _require_replaceable(secrets: Path) -> None:
    try:
        files.require_replaceable(secrets)
    except OSError as error:
        _no_secrets(secrets, error)


def _no_secrets(secrets: Path, error: OSError) -> NoReturn:
    fail(f"{secrets} cannot be written: {error.strerror}", "give --secrets a file in a folder of yours")


def restore(
    archive: Annotated[
        Path | None, typer.Argument(help="The archive of `blindsight backup`; none: only --secrets.", parser=a_path)
    ] = None,
    state: _State = None,
    secrets: Annotated[
        Path | None, typer.Option(help="The file of `blindsight backup --secrets`.", parser=a_path)
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Refuse an archive with another SHA-256.")] = None,
) -> None:
    """Restore an archive, secrets or both into a folder whose stack has no accounts."""
    if archive is None and secrets is None:
        fail("there is nothing to restore", "name an archive, --secrets FILE, or both")
    folder = environment.stack_folder(state, os.environ)
    statelock.require_none(folder, next_step="stop it, or restore into another folder, with --state FOLDER")
    kept = _secrets_of(secrets) if secrets else {}
    if archive is not None and not archive.is_file():
        fail(f"{archive} is no file", "name the archive that `blindsight backup` wrote")
    with statelock.alone_in(folder):
        try:
            keptsecrets.require_fits(folder, kept)
            if archive is not None:
                (folder / "gateway").mkdir(mode=0o700, exist_ok=True)
                options = ["--sha256", sha256] if sha256 else []
                _gateway(stored.settings(folder), "restore", str(archive), *options)
            if kept:
                _restore_secrets(folder, kept)
        except BadSecrets as error:
            fail(str(error), "restore into an empty folder, with --state FOLDER")
        except OSError as error:
            place = f"{error.filename} cannot be used" if error.filename else "the restore failed"
            fail(f"{place}: {error.strerror or error}", "look at the path, and at your rights there")
    if kept:
        out.print(f"{len(kept)} secrets are in {folder}.")
    if stored.accounts(folder) and not (folder / stored.ROOT_SECRET).exists():
        err.print(
            "The enclave's root secret is missing: without it these accounts cannot be used. Restore it with"
            f" `blindsight restore --secrets FILE --state {folder}`.",
            style="yellow",
        )


def _secrets_of(file: Path) -> dict[str, bytes]:
    wanted = "give --secrets the file that `blindsight backup --secrets` wrote"
    try:
        return keptsecrets.load(file)
    except BadSecrets as error:
        fail(str(error), wanted)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", wanted)


def forget_accounts(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The accounts; none: all.")] = None,
    state: _State = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it only their number is printed.")] = False,
) -> None:
    """Delete the named accounts of a stack, or all, with their functions and tokens.

    All is for a stack whose root secret is lost.

    The owner keys stay, so that their owners can sign up and deploy anew.
    """
    folder = environment.stack_folder(state, os.environ)
    if not stored.database(folder).is_file():
        fail(f"{folder} holds no accounts", "give --state the folder of a stack that `blindsight up` made")
    statelock.require_none(folder, next_step="stop it first")
    with statelock.alone_in(folder):
        _gateway(stored.settings(folder), "forget-accounts", *(["--yes"] if yes else []), "--", *(names or []))


def _restore_secrets(folder: Path, secrets: Mapping[str, bytes]) -> None:
    """Raises `OSError`. `blindsight up` does not start with a part of them: the enclave would make the others anew."""
    marker = folder / stored.RESTORING
    marker.touch(mode=0o600)
    keptsecrets.restore(folder, secrets)
    marker.unlink()


def _gateway(settings: Mapping[str, str], *arguments: str) -> None:
    """Run a command of the gateway; exit with its status if it fails. Its own last line says why."""
    units.require("gateway")
    done = subprocess.run(units.command("gateway", *arguments), env=os.environ | dict(settings), check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
