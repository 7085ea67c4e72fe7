"""`blindsight hardware-report`: make one, or `verify` one."""

from __future__ import annotations

import json
import os
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from typer.core import TyperGroup

from blindsight import files
from blindsight.attestation import Policy
from blindsight.client import Client
from blindsight.errors import BlindsightError
from blindsight.problems import Problem
from blindsight_cli import confinement, sealed
from blindsight_cli.classify import TIMEOUT_SECONDS
from blindsight_cli.console import err, fail, out
from blindsight_cli.gateway_url import DEFAULT_URL, Url
from blindsight_cli.hardware import collect, host, report
from blindsight_cli.paths import a_path
from blindsight_cli.printable import printable
from blindsight_cli.proxy import Proxy  # noqa: TC001 -- typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAME_ENCLAVE_SECONDS = 3600.0
"""Seconds for which the client relies on one verification while it makes a report."""


class _MakeByDefault(TyperGroup):
    """Runs `make` if no command is given, so that `hardware-report --out FILE` works."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- typer has a click of its own
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakeByDefault,
    help="Write what an enclave showed on this hardware to one file: `--out FILE`. Check one: `verify FILE`.",
)


@app.command("make")
def make(  # noqa: PLR0917 -- typer passes them by name
    file: Annotated[Path, typer.Option("--out", help="The file to write; it must not exist.", parser=a_path)],
    url: Url = DEFAULT_URL,
    policy: Annotated[
        Path, typer.Option(help="Which enclave you accept.", envvar="BLINDSIGHT_POLICY", parser=a_path)
    ] = sealed.DEFAULT_POLICY,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A photo whose classes and file name shall be in the file; repeatable.", parser=a_path),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, max=10_000, help="Sealed requests to time.")] = 20,
    imds: Annotated[
        bool, typer.Option("--imds", help="Ask EC2's metadata service for instance type, region and image.")
    ] = False,
    proxy: Proxy = None,
) -> None:
    """Verify the enclave, classify, measure, and write it all to one file that anyone can verify.

    An API token is read from BLINDSIGHT_TOKEN. Exit status: 0 if the file was written.
    """
    if file.exists():
        fail(f"{file} is there already", "give the name of a new file")
    photos = [_photo(path) for path in photo or ()]
    try:
        with Client(
            url,
            policy=policy,
            api_token=os.environ.get("BLINDSIGHT_TOKEN"),
            proxy=proxy,
            timeout=TIMEOUT_SECONDS,
            max_evidence_age=_SAME_ENCLAVE_SECONDS,
        ) as client:
            content = collect.collect(
                client,
                info=collect.info_of(url, proxy),
                host=host.facts(instance=imds),
                photos=photos,
                requests=requests,
                progress=lambda text: err.print(printable(f"{text}…"), style="dim"),
            )
        # Verify before writing, so that no report is written that cannot be verified.
        made = report.verify(content, Policy.load(policy))
    except Problem as problem:
        fail(f"{problem.kind.title}. {problem.detail}", "ask the operator, or look at the gateway's log")
    except BlindsightError as error:
        sealed.stop(error)
    try:
        with file.open("xb") as opened:
            opened.write(content)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", "give a file in a folder that you may write to")
    _print(f"{file}: {len(content)} bytes, SHA-256 {made.sha256}")
    if imds and made.body["host"]["instance"] is None:
        err.print(
            f"no metadata service answered at {urlsplit(host.IMDS).hostname}: the report has no instance",
            style="bold yellow",
        )  # fmt: skip
    _warn(made)


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A file of `blindsight hardware-report --out`.", parser=a_path)],
    policy: Annotated[
        Path, typer.Option(help="Which enclave you accept.", envvar="BLINDSIGHT_POLICY", parser=a_path)
    ] = sealed.DEFAULT_POLICY,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Verify a report offline: evidence, nonce, registers, model, and each answer's receipt.

    Exit status: 0 if it holds, 1 if not.
    """
    try:
        found = report.verify(files.read(file, report.MAX_BYTES), Policy.load(policy))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", "give the file of a hardware report")
    except BlindsightError as error:
        sealed.stop(error)
    if as_json:
        result = {
            "sha256": found.sha256,
            "evidence": found.verified.report.to_dict(),
            "answers": len(found.body["answers"]),
            "stated": {name: found.body[name] for name in ("made", "host", "versions", "confinement", "timings")},
        }
        typer.echo(json.dumps(result))
    else:
        _show(found)
    _warn(found)


def _show(found: report.VerifiedReport) -> None:
    body = found.body
    out.print(found.verified.report.render(), end="")
    _print("Its document was made for this report: the nonce is SHA-256 of the report's body")
    _print(f"SHA-256 {found.sha256}")
    proof = "Shown by evidence and receipts"
    if found.verified.report.notice is not None:
        proof = "As evidence and receipts say, which prove nothing about hardware"
    _print(f"{proof}: {_model(body['model'])}; {_answers(len(body['answers']))}")
    for entry in body["answers"]:
        best = entry["answer"]["predictions"][0]
        _print(f"  {entry['photo']['name']}  {best['label']} {best['score']:.1%}  photo {entry['photo']['sha256']}")
    _print("Said by the reporter, and shown by nothing:")
    timings = body["timings"]
    for name, value in (
        ("made", body["made"]),
        ("host", ", ".join(str(body["host"].get(each)) for each in ("processor", "processors", "kernel", "system"))),
        ("instance", _line(body["host"].get("instance"))),
        ("nitro-cli", _line(body["host"].get("nitro_cli"))),
        ("confinement", _confinement(body["confinement"])),
        ("timings", f"p50 {timings.get('p50_ms')} ms, p95 {timings.get('p95_ms')} ms of {timings.get('requests')}"),
        ("versions", _line(body["versions"])),
    ):
        _print(f"  {name:<11} {value}")


def _print(text: str) -> None:
    out.print(printable(text))


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "none" if value is None else str(value)


def _model(manifest: Mapping[str, Any]) -> str:
    return f"{manifest.get('name')} {manifest.get('version')}"


def _confinement(told: object) -> str:
    if not isinstance(told, dict):
        return "unknown"
    return confinement.describe(told)


def _warn(found: report.VerifiedReport) -> None:
    for warning in found.verified.report.warnings:
        err.print(warning, style="bold yellow")
    if found.verified.report.notice is not None:
        err.print(found.verified.report.notice, style="bold yellow")


def _photo(path: Path) -> collect.Photo:
    try:
        return collect.Photo.read(path)
    except OSError as error:
        _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> NoReturn:
    fail(f"{path} cannot be read: {error.strerror}", "give a photo's file")
