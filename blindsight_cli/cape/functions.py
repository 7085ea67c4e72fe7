"""`cape deploy`, `cape test`, `cape run`: functions, over attested sockets."""

from __future__ import annotations

import io
import os
import re
import sys
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import Progress

from blindsight.cape import tokens
from blindsight.cape.constants import PREFIX
from blindsight.cape.envelope import Encryptor, load_public_key
from blindsight.cape.messages import b64
from blindsight.client.cape import FunctionFailed, claim, text_claim
from blindsight.errors import BlindsightError
from blindsight_cli.cape import names, natives
from blindsight_cli.cape.console import CliError, arguments_error, go_json, log, out, out_bytes
from blindsight_cli.cape.context import read_input
from blindsight_cli.cape.package import package
from blindsight_cli.cape.store import username_of
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from blindsight.attestation.document import AttestationDocument
    from blindsight.client.cape import Connection, RunResult
    from blindsight_cli.cape.context import Context
    from blindsight_cli.cape.package import Package

FRAGMENT_BYTES: Final = 64 * 1024
"""Size of the pieces in which an upload is read, encrypted and sent."""

_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

PROGRESS_FROM_BYTES: Final = 4_000_000
"""Minimum size of an upload for a progress bar."""


def deploy(context: Context) -> None:
    """Upload an encrypted function, and print its id, checksum and name."""
    if len(context.arguments) != 1:
        raise arguments_error("you must specify a directory to upload")
    with package(context.arguments[0]) as archive:
        name, public = context.text("name") or archive.name, context.is_set("public")
        names.function_name(name, "unable to deploy function", step="Give it one: cape deploy FOLDER --name NAME")
        token = context.text("token") or _deploy_token(context, archive, name, public=public)
        log("Deploying function to Cape ...")
        try:
            with context.host.connect("/v1/deploy", token, context.trust) as connection:
                key = load_public_key(context.attested_key(connection, token))
                _check_compiled(connection, archive.file, "unable to deploy function")
                with _progress(archive.size) as advance:
                    function_id = connection.deploy(name, public=public, pieces=_encrypted(archive, key, advance))
        except (BlindsightError, OSError) as error:
            raise CliError(f"unable to deploy function: {error}") from error
        _show_deployed(context, function_id, archive.checksum.hex(), username_of(token), name)


def _deploy_token(context: Context, archive: Package, name: str, *, public: bool) -> str:
    """A deploy token for this archive only."""
    key, username = context.owner
    return tokens.mint(
        key,
        username,
        "deploy",
        lifetime=tokens.DEPLOY_LIFETIME,
        func_checksum=archive.checksum.hex(),
        function_name=name,
        public=public,
    )


def _check_compiled(connection: Connection, archive: IO[bytes], failed: str) -> None:
    """Print the enclave's Python version for functions, and refuse files compiled for another.

    Leaves `archive` at its start. Raises `CliError`.
    """
    tag = text_claim(connection.document.user_data, "python")
    if tag is None or not _TAG.fullmatch(tag):
        return
    runs_on = natives.python_of(tag)
    log(f"Functions run on {runs_on} ({tag}) there")
    with zipfile.ZipFile(archive) as entries:
        found = natives.foreign(entries, tag)
    archive.seek(0)
    if found:
        others = f"; {len(found) - 1} more like it" if len(found) > 1 else ""
        raise CliError(
            f"{failed}: {found[0].name} is for {found[0].made_for}, and functions run on {runs_on} ({tag}){others}",
            step=f"Install its packages anew with {runs_on}: pip install --target FOLDER PACKAGE",
        )


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A bar for an upload of `size` bytes, if a terminal shows it; gives the function that moves it on."""
    console = Console(stderr=True)
    if not console.is_terminal or size < PROGRESS_FROM_BYTES:
        yield lambda _: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Uploading", total=size)
        yield lambda count: progress.advance(task, count)


def _encrypted(archive: Package, key: RSAPublicKey, advance: Callable[[int], None]) -> Iterator[bytes]:
    """The archive as an upload, piece by piece, so that its size does not matter."""
    writer = Encryptor(key)
    yield PREFIX + writer.start
    while block := archive.file.read(FRAGMENT_BYTES):
        yield writer.update(block)
        advance(len(block))
    yield writer.finish()


def _show_deployed(context: Context, function_id: str, checksum: str, username: str, name: str) -> None:
    full_name = f"{username}/{name}" if username else ""
    if context.as_json:
        shown = {"function_id": function_id, "function_checksum": checksum, "function_name": full_name}
        out(go_json({key: value for key, value in shown.items() if value}))
        return
    out(f"Function ID       ➜  {printable(function_id)}")
    out(f"Function Checksum ➜  {checksum}")
    if full_name:
        out(f"Function Name     ➜  {full_name}")


def test(context: Context) -> None:
    """Run a function once without deploying it."""
    if not 1 <= len(context.arguments) <= 2:
        raise arguments_error("you must specify a directory to upload")
    if len(context.arguments) == 1 and not context.text("file"):
        raise arguments_error("you must provide input data")
    try:
        with package(context.arguments[0]) as archive:
            content = archive.file.read()
    except CliError as error:
        raise CliError(f"unable to process user function input: {error}") from error
    plaintext = _input(context)
    with context.host.connect("/v1/test", context.token, context.trust) as connection:
        _check_compiled(connection, io.BytesIO(content), "unable to process user function input")
        try:
            out_bytes(connection.test(content, plaintext).output)
        except FunctionFailed as error:
            for line in error.traceback.splitlines():
                log(printable(line))
            raise


def run(context: Context) -> None:
    """Run a deployed function on one input."""
    if not context.arguments:
        raise arguments_error("you must pass a function ID or a function name")
    if len(context.arguments) > 2:
        raise arguments_error("you must pass in only one input data (stdin, string or filename)")
    plaintext = _input(context)
    expected = {name: _checksum(context, name) for name in ("function-checksum", "key-policy-checksum")}
    token = context.token
    path = f"/v1/run/{names.function(context.arguments[0], 'run request failed')}"
    try:
        with context.host.connect(path, token, context.trust) as connection:
            user_data = connection.document.user_data
            _compare(expected["function-checksum"], claim(user_data, "func_checksum"), "checksum")
            _compare(expected["key-policy-checksum"], claim(user_data, "key_checksum"), "key policy checksum")
            result = connection.run(plaintext)
    except (BlindsightError, CliError) as error:
        raise CliError(f"run request failed: {error}") from error
    if context.as_json:
        out(go_json(_as_json(result, connection)))
    else:
        out_bytes(result.output + b"\n")


def _input(context: Context) -> bytes:
    if context.text("file"):
        return read_input(context.text("file"))
    if len(context.arguments) < 2:
        raise CliError("invalid input: please provide input as a string, input file or stdin")
    return os.fsencode(context.arguments[1])


def piped_input() -> bytes | None:
    """Standard input, unless it is a terminal."""
    return None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()


def _checksum(context: Context, name: str) -> bytes | None:
    text = context.text(name)
    try:
        return bytes.fromhex(text) if text else None
    except ValueError as error:
        raise CliError(f"error reading in checksum: {text} is not hexadecimal") from error


def _compare(expected: bytes | None, attested: bytes | None, what: str) -> None:
    """Compare an expected checksum with the attested one, before anything is sent."""
    if expected is None:
        return
    if attested is None:
        raise CliError(f"did not receive {what} from enclave")
    if attested != expected:
        raise CliError(f"returned {what} did not match provided, got: {attested.hex()}, want {expected.hex()}")


def _as_json(result: RunResult, connection: Connection) -> dict[str, object]:
    stated = result.checksums or {}
    return {
        "output": result.output.decode(errors="replace"),
        "checksums": {name: stated.get(name) for name in ("input", "function", "output")},
        "signed_results": result.signature,
        "attestation_doc": _document(connection.document),
        "raw_attestation_doc": b64(connection.raw_document),
    }


def _document(document: AttestationDocument) -> dict[str, object]:
    def encoded(value: bytes | None) -> str | None:
        return None if value is None else b64(value)

    return {
        "ModuleID": document.module_id,
        "Timestamp": document.timestamp_ms,
        "Digest": document.digest,
        "PCRs": {index: b64(value) for index, value in sorted((str(i), value) for i, value in document.pcrs.items())},
        "Certificate": b64(document.certificate),
        "Cabundle": [b64(certificate) for certificate in document.cabundle],
        "PublicKey": encoded(document.public_key),
        "UserData": encoded(document.user_data),
        "Nonce": encoded(document.nonce),
    }
