"""`blindsight policy`: the steps of a roll-out. A gateway follows its policy file, and judges its enclaves anew."""

from __future__ import annotations

import dataclasses
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blindsight import files
from blindsight.attestation.matching import outdated
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
    _list(policy)
    if policy.minimum_version is not None:
        out.print(f"minimum version {policy.minimum_version}")
    if policy.refuse:
        out.print(f"recalled values: {len(policy.refuse)}")
    if policy.expires:
        ended = " (it has expired)" if policy.expires <= datetime.now(UTC) else ""
        out.print(f"expires {policy.expires:%Y-%m-%dT%H:%M:%SZ}{ended}")


@app.command("add-release")
def add_release(
    file: _File,
    source: Annotated[
        Path, typer.Option("--from", help="The policy of the new release, as `eif policy` writes it.", parser=a_path)
    ],
    name: Annotated[str | None, typer.Option(help="What reports call it, in place of its own name.")] = None,
) -> None:
    """Accept the releases of another policy as well, until that one ends. What it recalls is recalled here, too."""
    policy, other = _load(file), _load(source)
    known = [dataclasses.replace(release, name=None) for release in policy.releases]
    offered = [_as_offered(release, other, source) for release in other.releases]
    new = [release for release in offered if dataclasses.replace(release, name=None) not in known]
    if not new:
        fail(f"{file} accepts this release already", "nothing has to be changed")
    if name is not None:
        new = [_named(release, name, others=len(new) - 1) for release in new]
    names = {release.name for release in policy.releases} - {None}
    if taken := [release.name for release in new if release.name in names]:
        fail(f"{file} has another release called {taken[0]}", "give the new one another name with --name")
    for release in new:
        if reason := outdated(policy, release, at=datetime.now(UTC)):
            fail(f"{file} would not accept the new release: {reason}", reason.next_step)
    try:
        together = dataclasses.replace(policy, releases=(*policy.releases, *new), refuse=policy.refuse | other.refuse)
    except PolicyError as error:
        fail(f"{file} cannot have the new release: {error}", error.next_step)
    _write(file, together)


def _as_offered(release: Release, policy: Policy, source: Path) -> Release:
    """`release` with the end of its policy, if that is the earlier one. Exits if its policy does not accept it now."""
    now = datetime.now(UTC)
    if policy.expires is not None and policy.expires <= now:
        fail(f"{source} has expired", "get the present policy of this release from its publisher")
    if reason := outdated(policy, release, at=now):
        fail(f"{source} does not accept its own release: {reason}", reason.next_step)
    ends = [end for end in (release.expires, policy.expires) if end is not None]
    return dataclasses.replace(release, expires=min(ends, default=None))


def _named(release: Release, name: str, *, others: int) -> Release:
    if others:
        fail(f"there are {others + 1} new releases, and --name names one", "leave it out: they keep their own names")
    try:
        return dataclasses.replace(release, name=name)
    except PolicyError as error:
        fail(f"--name cannot be {name!r}: {error}", "give it 1 to 64 printable characters of ASCII")


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


def _list(policy: Policy) -> None:
    for number, release in enumerate(policy.releases, 1):
        reason = outdated(policy, release, at=datetime.now(UTC))
        out.print(f"{number}  {_told(release)}{f'; NOT ACCEPTED: {reason}' if reason else ''}")


def _load(file: Path) -> Policy:
    try:
        return Policy.load(file)
    except PolicyError as error:
        fail(f"{file}: {error}", error.next_step)


def _write(file: Path, policy: Policy) -> None:
    """Replace the file at once, so that a gateway never reads half of it."""
    try:
        files.write(file, policy.to_json().encode(), mode=stat.S_IMODE(file.stat().st_mode))
    except OSError as error:
        link = f"name the file that it leads to, {file.resolve()}"
        fail(f"{file} cannot be written: {error.strerror}", link if file.is_symlink() else "look at your rights there")
    _list(policy)
