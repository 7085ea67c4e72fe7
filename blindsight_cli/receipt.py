"""`blindsight receipt verify`: verifies stored answers with their receipts, offline (docs/protocol.md, section 6)."""

from __future__ import annotations

import itertools
import json
import os
import shlex
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated, Any

import typer

from blindsight import files, receipts, strict_json
from blindsight.attestation.policy import Policy
from blindsight.errors import BlindsightError
from blindsight_cli import sealed
from blindsight_cli.console import err, fail, out
from blindsight_cli.paths import a_path
from blindsight_cli.photos import MAX_PHOTO_BYTES
from blindsight_cli.printable import printable

_MAX_ANSWER_BYTES = 16 << 20
_LOOKED_AT = {*receipts.SIGNED_MEMBERS, "receipt", "evidence"}

app = typer.Typer(help="Receipts: what an enclave signed about its answers.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Receipts: what an enclave signed about its answers."""


@app.command("verify")
def verify(
    file: Annotated[
        Path, typer.Argument(help="The answer, as `blindsight classify --receipts` or curl saved it.", parser=a_path)
    ],
    photo: Annotated[
        Path | None, typer.Option(help="The image that was sent, if it is at hand.", parser=a_path)
    ] = None,
    policy: Annotated[
        Path, typer.Option(help="Which enclaves you accepted then.", envvar="BLINDSIGHT_POLICY", parser=a_path)
    ] = sealed.DEFAULT_POLICY,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Verify a receipt with its answer and evidence, offline.

    Exit status: 0 if the receipt holds, 1 if not.
    """
    answer = _answer(file)
    try:
        verified = receipts.verify(answer, policy=Policy.load(policy), image=_photo(photo))
    except BlindsightError as error:
        sent = _kept_beside(file)
        if error.code == "receipt_input_mismatch" and photo != sent and sent.exists():
            fail(
                f"{error} [{error.code}]", f"give the JPEG that was sent in its place: --photo {shlex.quote(str(sent))}"
            )
        sealed.stop(error)
    receipt = verified.receipt
    if as_json:
        report = {
            "receipt": vars(receipt),
            "photo_checked": verified.image_checked,
            "evidence": verified.report.to_dict(),
        }
        typer.echo(json.dumps(report))
    else:
        out.print(verified.report.render(), end="")
        out.print(f"Receipt of {receipt.issued:%Y-%m-%d %H:%M:%SZ}: this enclave gave this answer")
        checked = "is the one that was sent" if verified.image_checked else "was not compared; give it with --photo"
        for name, value in (
            ("photo", f"{receipt.input_sha256}  {checked}"),
            ("answer", receipt.output_sha256),
            ("weights", receipt.weights_sha256),
            ("model", receipt.model_sha256),
            ("function", receipt.func_checksum),
            ("evidence", receipt.evidence_sha256),
        ):
            out.print(f"  {name:<9} {value}")
        if others := sorted(answer.keys() - _LOOKED_AT):
            out.print(printable(f"  not signed, and not looked at: {', '.join(others)}"))
    for warning in verified.report.warnings:
        err.print(warning, style="bold yellow")
    if verified.report.notice is not None:
        err.print(verified.report.notice, style="bold yellow")


def prepare(folder: Path) -> None:
    """Create the folder for receipts. Raises `typer.Exit` (1) if that fails, so that no photo is sent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror
    if reason:
        fail(f"{folder} cannot hold receipts: {reason}", "give a folder that you may write to")


def save(folder: Path, photo: Path, archive: dict[str, Any], *, sent: bytes | None = None) -> bool:
    """Store an answer with its receipt as `NAME.receipt.json` in `folder`, or `NAME.2.receipt.json` if that exists.

    `sent` are the bytes that were sent in place of the photo's own. The receipt covers them, so they are stored as
    `NAME.sent.jpg`. Returns False, after a line on standard error, if the files cannot be written.
    """
    text = json.dumps(archive) + "\n"
    for count in itertools.count(1):
        number = "" if count == 1 else f".{count}"
        kept = folder / f"{photo.name}{number}.receipt.json"
        try:
            with kept.open("x", encoding="utf-8") as file:
                file.write(text)
            if sent is not None:
                (folder / f"{photo.name}{number}.sent.jpg").write_bytes(sent)
        except FileExistsError:
            continue
        except OSError as error:
            err.print(printable(f"{kept} cannot be written: {error.strerror}"), style="red")
            return False
        if count > 1:
            err.print(printable(f"kept as {kept}: there was one of that name"))
        return True
    return False


def _kept_beside(file: Path) -> Path:
    """Where `save` stored the bytes that were sent, if they were not the photo's own."""
    return file.with_name(f"{file.name.removesuffix('.receipt.json')}.sent.jpg")


def _answer(file: Path) -> dict[str, Any]:
    try:
        answer = strict_json.loads(files.read(file, _MAX_ANSWER_BYTES))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", "give the file of the answer that was saved")
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        fail(f"{file} is not a JSON object", "give the file of the answer that was saved")
    return answer


def _photo(photo: Path | None) -> bytes | None:
    try:
        return None if photo is None else files.read(photo, MAX_PHOTO_BYTES)
    except OSError as error:
        fail(f"{photo} cannot be read: {error.strerror}", "give the image that was sent, or leave --photo out")
