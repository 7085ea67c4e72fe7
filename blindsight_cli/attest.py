"""`blindsight attest URL` fetches evidence with a nonce of its own and verifies it; `blindsight attest diff` compares
documents.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from blindsight import files, strict_base64, strict_json
from blindsight.attestation import UnsafeAcceptAnything, verify_archived
from blindsight.client import Client
from blindsight.errors import BlindsightError
from blindsight.problems import Problem
from blindsight_cli import sealed, statelock
from blindsight_cli.classify import TIMEOUT_SECONDS
from blindsight_cli.console import err, fail, out
from blindsight_cli.gateway_url import DEFAULT_URL, UrlArgument
from blindsight_cli.paths import a_path
from blindsight_cli.proxy import Proxy  # noqa: TC001 -- typer reads the annotations

if TYPE_CHECKING:
    from blindsight.attestation import Verified

_MEANING = {
    "PCR 0": "the whole image",
    "PCR 1": "boot part: interpreter and packages",
    "PCR 2": "application part: the runtime's code",
    "PCR 3": "role of the host",
    "PCR 4": "instance of the host",
    "PCR 8": "who signed the image",
    "PCR 16": "function and model",
    "func_checksum": "the function bundle",
    "model_sha256": "the model's manifest",
    "key_configs_sha256": "the sealing keys, which rotate",
    "receipt_key_sha256": "the receipt key, new at each start",
}
_MAX_FILE_BYTES = 16 << 20
"""Of a document, or of a kept answer that holds one."""
_ROTATES = {"key_configs_sha256", "receipt_key_sha256", "module", "made"}
"""Values that can differ between two documents of one release."""


class _VerifyByDefault(TyperGroup):
    """`attest URL` is `attest verify URL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- typer has a click of its own
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["verify", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_VerifyByDefault,
    help="Verify the enclave behind a gateway: `attest URL`. What differs between two documents: `attest diff`.",
)


@app.command("verify")
def verify(
    url: UrlArgument = DEFAULT_URL,
    policy: Annotated[
        Path,
        typer.Option(
            help="Which enclaves you accept; `blindsight up` writes its own.", envvar="BLINDSIGHT_POLICY", parser=a_path
        ),
    ] = sealed.DEFAULT_POLICY,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Keep the attestation document in this file.", parser=a_path)
    ] = None,
    proxy: Proxy = None,
) -> None:
    """Verify the enclave behind a gateway, without trusting the gateway: `attest URL` for short.

    Exit status: 0 if the policy accepts the evidence, 1 if it refuses it or the gateway sends none.
    """
    try:
        with Client(url, policy=policy, proxy=proxy, timeout=TIMEOUT_SECONDS) as client:
            report = client.verify()
            enclave = client.recipient
    except Problem as problem:
        fail(f"{problem.kind.title}. {problem.detail}", "ask the operator, or look at the gateway's log")
    except BlindsightError as error:
        sealed.stop(error)
    if save and enclave:
        statelock.require_not_in_use(save)
        try:
            files.write(save, enclave.document, sources=(policy,))
        except OSError as error:
            fail(f"{save} cannot be written: {error.strerror}", "give a file in a folder that you may write to")
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        out.print(report.render(), end="")
    for warning in report.warnings:
        err.print(warning, style="bold yellow")
    if report.notice is not None:
        err.print(report.notice, style="bold yellow")


@app.command("diff")
def diff(
    old: Annotated[
        Path,
        typer.Argument(
            help="A document of `attest --save`, a kept answer with its receipt, or the JSON of GET /attestation.",
            parser=a_path,
        ),
    ],
    new: Annotated[Path, typer.Argument(help="Another.", parser=a_path)],
    as_json: Annotated[bool, typer.Option("--json", help="The differences as JSON.")] = False,
) -> None:
    """Show what changed between two attestation documents: code, function, model, keys.

    The command verifies the signatures of both documents under any root; `attest verify` decides whether you accept
    them. Exit status: 0 if code, function and model are the same, 1 if not.
    """
    before, after = (_facts(_document(path)) for path in (old, new))
    changed = {
        name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)
    }
    if as_json:
        typer.echo(json.dumps({name: {"old": values[0], "new": values[1]} for name, values in changed.items()}))
    else:
        _show(changed)
    if changed.keys() - _ROTATES:
        raise typer.Exit(1)


def _show(changed: dict[str, tuple[str | None, str | None]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("what", "is", "old", "new"):
        table.add_column(column, overflow="fold")
    for name, values in changed.items():
        table.add_row(name, _MEANING.get(name, ""), *(value or "(not there)" for value in values))
    if changed:
        out.print(table)
    same = not changed.keys() - _ROTATES
    out.print("Code, function and model are the same." if same else "These are enclaves of different identity.")


def _facts(verified: Verified) -> dict[str, str]:
    document = verified.document
    facts = {f"PCR {index}": value.hex() for index, value in sorted(document.pcrs.items()) if any(value)}
    if verified.claims is not None:
        facts |= {name: value.hex() for name, value in vars(verified.claims).items()}
    facts |= {"kind": verified.kind, "root": verified.root_sha256 or ""}
    return facts | {"module": document.module_id, "made": f"{document.timestamp:%Y-%m-%d %H:%M:%SZ}"}


def _document(path: Path) -> Verified:
    if path.parts[:1] and path.parts[0] in {"http:", "https:"} and not path.exists():
        url = f"{path.parts[0]}//{'/'.join(path.parts[1:])}"
        fail(f"{url} is no file", f"keep its document first: `blindsight attest {url} --save FILE`")
    try:
        content = files.read(path, _MAX_FILE_BYTES)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", "give a file that `blindsight attest URL --save FILE` wrote")
    if content.lstrip().startswith(b"{"):
        content = _inside(path, content)
    try:
        return verify_archived(content, policy=UnsafeAcceptAnything())
    except BlindsightError as error:
        fail(f"{path}: {error} [{error.code}]", error.next_step)


def _inside(path: Path, content: bytes) -> bytes:
    """The document in the JSON of GET /attestation, in a kept answer, or in a hardware report."""
    try:
        members = strict_json.loads(content)
        return strict_base64.decode(members.get("evidence", members)["document"])
    except (AttributeError, KeyError, TypeError, ValueError):
        fail(
            f"{path} has no attestation document in it",
            "give what GET /attestation answered, or an answer that `blindsight classify --receipts` kept, whole",
        )
