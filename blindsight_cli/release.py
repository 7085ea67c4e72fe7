"""`blindsight release verify` and `release sign`. `release make` runs the unit `release_build`."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from blindsight import files, release_file
from blindsight.errors import BlindsightError, ReleaseError
from blindsight.release_file import check, dsse, reader
from blindsight_cli import statelock
from blindsight_cli.console import err, fail, out
from blindsight_cli.paths import a_path
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blindsight.release_file import ReleaseFile

app = typer.Typer(
    help="Release files: what a release consists of and measures, in-toto statements that any tool can sign.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Release files: what a release consists of and measures, in-toto statements that any tool can sign."""


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="The release file, or its signed envelope (DSSE).", parser=a_path)],
    *,
    key: Annotated[
        Path | None, typer.Option(help="Whose signature it must have: an Ed25519 public key, PEM.", parser=a_path)
    ] = None,
    wheel: Annotated[Path | None, typer.Option(help="The wheel of client and commands.", parser=a_path)] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(help="A function bundle; may be repeated.", parser=a_path)
    ] = None,
    eif: Annotated[
        list[Path] | None, typer.Option(help="An enclave image file; may be repeated.", parser=a_path)
    ] = None,
    sbom: Annotated[Path | None, typer.Option(help="The software bill of materials.", parser=a_path)] = None,
    page: Annotated[list[Path] | None, typer.Option(help="A file of the page; may be repeated.", parser=a_path)] = None,
    artifact: Annotated[
        list[Path] | None, typer.Option(help="Any other artifact; may be repeated.", parser=a_path)
    ] = None,
    policy_out: Annotated[
        Path | None,
        typer.Option(help="Write the policy that accepts this release's enclaves to this file.", parser=a_path),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Compute digests and measurements of what is given anew, and compare them with the release file.

    Exit status: 0 if all that was given is the released, 1 if something is not or cannot be used.
    """
    try:
        envelope = dsse.open_envelope(reader.read(file))
        if key is not None:
            envelope.check(dsse.load_public_key(key))
        release = release_file.parse(envelope.payload)
        checked = _checked(
            release,
            [
                (_wheel, [wheel] if wheel else []),
                (_bundle, bundle or []),
                (_image, eif or []),
                (_sbom, [sbom] if sbom else []),
                (_page, page or []),
                (_any, artifact or []),
            ],
        )
        if policy_out is not None:
            read = [file, key, wheel, sbom, *(bundle or []), *(eif or []), *(page or []), *(artifact or [])]
            _write_policy(release, policy_out, read)
    except BlindsightError as error:
        _stop(error)
    # A file of the page can also be an artifact of the release.
    same = set(checked.values())
    missing = [
        subject.name
        for subject in release.subjects
        if subject.name not in checked and f"sha256 {subject.sha256}" not in same
    ]
    if as_json:
        report = {"version": release.version, "checked": checked, "not_checked": missing, "signed": key is not None}
        typer.echo(json.dumps(report))
    else:
        out.print(f"Release {release.version} of blindsight")
        for name, found in checked.items():
            out.print(f"  checked      {name}  {found}")
        for name in missing:
            out.print(f"  not checked  {name}")
    _warn(release, signed=key is not None)


@app.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(help="The release file.", parser=a_path)],
    key: Annotated[Path, typer.Option(help="An Ed25519 private key in PEM, without a password.", parser=a_path)],
    into: Annotated[Path, typer.Option("--out", help="Write the envelope (DSSE) to this file.", parser=a_path)],
) -> None:
    """Put a release file into a signed envelope (DSSE). Other tools can sign it as well: docs/release-file.md."""
    try:
        envelope = dsse.open_envelope(reader.read(file))
        release_file.parse(envelope.payload)
        _write(into, dsse.sign(envelope.payload, dsse.load_private_key(key)), [file, key])
    except BlindsightError as error:
        _stop(error)


def _checked(
    release: ReleaseFile, wanted: list[tuple[Callable[[ReleaseFile, Path], tuple[str, str]], list[Path]]]
) -> dict[str, str]:
    """Check each file. Returns the name of an artifact in the release to what was found of it."""
    return dict(look(release, path) for look, paths in wanted for path in paths)


def _wheel(release: ReleaseFile, path: Path) -> tuple[str, str]:
    return _subject(release, path, release.wheel)


def _sbom(release: ReleaseFile, path: Path) -> tuple[str, str]:
    return _subject(release, path, release.sbom)


def _any(release: ReleaseFile, path: Path) -> tuple[str, str]:
    return _subject(release, path, None)


def _subject(release: ReleaseFile, path: Path, name: str | None) -> tuple[str, str]:
    subject = check.artifact(release, path, name)
    return subject.name, f"sha256 {subject.sha256}"


def _bundle(release: ReleaseFile, path: Path) -> tuple[str, str]:
    function = check.bundle(release, path)
    return function.file, f"function checksum {function.function_checksum}, model digest {function.model_digest}"


def _image(release: ReleaseFile, path: Path) -> tuple[str, str]:
    measurement = check.image(release, path)
    kernel = measurement.kernel
    told = f", kernel version {kernel.version}, which its maker calls {kernel.name}" if kernel else ""
    return str(measurement.file), f"PCR 0 {measurement.pcrs[0]}{told}"


def _page(release: ReleaseFile, path: Path) -> tuple[str, str]:
    name = check.page(release, path)
    return f"page {name}", f"sha256 {release.page[name]}"


def _write_policy(release: ReleaseFile, path: Path, sources: list[Path | None]) -> None:
    if release.policy is None:
        raise ReleaseError("no_policy", "The release file holds no policy.")
    _write(path, release.policy.to_json().encode(), sources)


def _write(path: Path, content: bytes, sources: Iterable[Path | None]) -> None:
    statelock.require_not_in_use(path)
    try:
        files.write(path, content, sources=sources)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", "give a file in a folder that you may write to")


def _warn(release: ReleaseFile, *, signed: bool) -> None:
    if not signed:
        err.print("No signature was checked: give --key with the maker's public key.", style="yellow")
    if release.unknown:
        unknown = printable(", ".join(release.unknown))
        err.print(f"Members that this version does not know, and did not check: {unknown}")
    for kind in sorted({each.kind for each in release.policy.releases} if release.policy else ()):
        if kind != "nitro":
            err.print(f"The policy accepts evidence of kind {kind}, which proves nothing about hardware.",
                      style="bold yellow")  # fmt: skip


def _stop(error: BlindsightError) -> NoReturn:
    fail(f"{error} [{error.code}]", error.next_step)
