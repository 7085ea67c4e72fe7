"""`blindsight policy`: the steps of a roll-out. A gateway follows its policy file, and judges its enclaves anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from blindsight import files
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release  # noqa: TC001 -- typer evaluates annotations of this module
from blindsight.errors import PolicyError
from blindsight_cli.console import fail, out
from blindsight_cli.paths import a_path

app = typer.Typer(
    help="Policies: show, and the releases that they accept. Gateways follow their file.", no_args_is_help=True
)

_File = Annotated[Path, typer.Argument(metavar="POLICY", help="The policy file.", parser=a_path)]


@app.command("show")
def show(file: _File) -> None:
    """List the releases that a policy accepts."""
    policy = _load(file)
    for number, release in enumerate(policy.releases, 1):
        out.print(f"{number}  {_told(release)}")
    if policy.refuse:
        out.print(f"recalled values: {len(policy.refuse)}")
    if policy.expires:
        out.print(f"expires {policy.expires:%Y-%m-%dT%H:%M:%SZ}")


@app.command("add-release")
def add_release(
    file: _File,
    source: Annotated[
        Path, typer.Option("--from", help="The policy of the new release, as `eif policy` writes it.", parser=a_path)
    ],
    name: Annotated[str | None, typer.Option(help="What reports call it, if it has no name.")] = None,
) -> None:
    """Accept the releases of another policy as well. Its recalled values are recalled here, too."""
    policy, other = _load(file), _load(source)
    added = [
        dataclasses.replace(release, name=name) if name is not None and release.name is None else release
        for release in other.releases
    ]
    names = {release.name for release in policy.releases} - {None}
    new = [release for release in added if release not in policy.releases]
    if taken := [release.name for release in new if release.name in names]:
        fail(f"{file} has another release called {taken[0]}", "remove that one first, or give the new one a --name")
    if not new:
        fail(f"{file} accepts this release already", "nothing has to be changed")
    _write(file, dataclasses.replace(policy, releases=(*policy.releases, *new), refuse=policy.refuse | other.refuse))


@app.command("remove-release")
def remove_release(
    file: _File,
    release: Annotated[str, typer.Option(help="Its name, or its number in `policy show`.")],
    recall: Annotated[
        bool, typer.Option("--recall", help="Also refuse its code and function in other releases and in old receipts.")
    ] = False,
) -> None:
    """Accept a release no longer."""
    policy = _load(file)
    gone = [each for number, each in enumerate(policy.releases, 1) if release in {each.name, str(number)}]
    if len(gone) != 1:
        fail(f"{file} has no single release {release!r}", f"see `blindsight policy show {file}`")
    kept = tuple(each for each in policy.releases if each not in gone)
    if not kept:
        fail("a policy accepts at least one release", "add the new release first, or stop the gateway")
    refuse = policy.refuse
    if recall:
        # What a release that stays accepts must not be refused.
        refuse |= _measured(gone[0]).difference(*map(_measured, kept))
        if refuse == policy.refuse:
            fail("the releases that stay accept all values of this one", "remove it without --recall")
    _write(file, dataclasses.replace(policy, releases=kept, refuse=refuse))


def _measured(release: Release) -> frozenset[str]:
    """The values of its code and function. Registers 3 and 4 measure the role and the instance."""
    pcrs = [values for index, values in release.pcrs.items() if index in {0, 1, 2, 16}]
    return frozenset[str]().union(*pcrs, release.function_checksums or frozenset())


def _told(release: Release) -> str:
    registers = ", ".join(f"PCR {index} {min(values)[:12]}…" for index, values in sorted(release.pcrs.items()))
    ends = f", until {release.expires:%Y-%m-%d}" if release.expires else ""
    return f"{release.name or 'without a name'} ({release.kind}): {registers or 'no registers'}{ends}"


def _load(file: Path) -> Policy:
    try:
        return Policy.load(file)
    except PolicyError as error:
        fail(f"{file}: {error}", error.next_step)


def _write(file: Path, policy: Policy) -> None:
    """Replace the file at once, so that a gateway never reads half of it."""
    try:
        files.write(file, policy.to_json().encode())
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", "look at your rights in its folder")
    for number, release in enumerate(policy.releases, 1):
        out.print(f"{number}  {_told(release)}")
