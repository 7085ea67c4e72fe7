"""Parsers for lock files: Python packages (requirements/*.txt), npm packages (package-lock.json), Debian packages."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from release_build.errors import ReleaseBuildError
from release_build.source import read

if TYPE_CHECKING:
    from pathlib import Path

_PINNED: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[0-9][0-9A-Za-z.+!-]*)(?: ; (?P<marker>.+))?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CONTAINED: Final = re.compile(r"^(?:@[a-z0-9-]+/)?[a-z0-9.-]+ [0-9]+\.[0-9]+\.[0-9]+$", re.MULTILINE)
"""A heading of THIRD-PARTY.txt."""

_ANEW: Final = "Lock the packages anew with `make lock`."


@dataclass(frozen=True)
class Package:
    """A locked package. Digests are in hexadecimal.

    `sha256` has the digest of each accepted artifact (one for each platform); a machine installs one of them.
    """

    name: str
    version: str
    sha256: tuple[str, ...] = ()
    sha512: tuple[str, ...] = ()
    marker: str | None = None
    """The environments that need the package, as an environment marker (PEP 508); None for all."""


def requirements(path: Path) -> list[Package]:
    """The packages of a requirements file that `make lock` wrote, in its order.

    Each requirement must have the form `NAME==VERSION [; MARKER] --hash=sha256:HEX …`. Raises `ReleaseBuildError` for
    any other line, and if the file cannot be read.
    """
    packages = []
    for line in read(path).decode().replace("\\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        pinned, *hashes = re.split(r"\s+(?=--hash=)", line.strip())
        found = _PINNED.fullmatch(pinned)
        digests = [_HASH.fullmatch(each.strip()) for each in hashes]
        if found is None or not digests or None in digests:
            raise ReleaseBuildError(f"{path.name} has a line that locks nothing: {pinned}.", _ANEW)
        sha256 = tuple(digest[1] for digest in digests if digest)
        packages.append(Package(found["name"], found["version"], sha256, marker=found["marker"]))
    return packages


def contained(path: Path) -> set[str]:
    """The npm packages that a build contains, each as `NAME VERSION`: the headings of its THIRD-PARTY.txt.

    Raises `ReleaseBuildError` if the file cannot be read.
    """
    return set(_CONTAINED.findall(read(path).decode()))


def npm(path: Path, names: set[str]) -> list[tuple[Package, str | None]]:
    """The packages of a package-lock.json that `names` lists as `NAME VERSION`, each with its licence or None.

    Raises `ReleaseBuildError` if the file is not an npm lock file, has a digest other than SHA-512, or does not lock
    one of `names` in that version.
    """
    try:
        entries = json.loads(read(path))["packages"]
        found = []
        for place, entry in sorted(entries.items()):
            name = place.rpartition("node_modules/")[2]
            if f"{name} {entry.get('version')}" not in names:
                continue
            algorithm, _, digest = entry["integrity"].partition("-")
            if algorithm != "sha512":
                raise ReleaseBuildError(f"{path.name} has a digest that is not SHA-512.", _ANEW)
            sha512 = base64.b64decode(digest).hex()
            found.append((Package(name, entry["version"], sha512=(sha512,)), entry.get("license")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseBuildError(f"{path.name} is not an npm lock file.", _ANEW) from error
    missing = names - {f"{package.name} {package.version}" for package, _ in found}
    if missing:
        raise ReleaseBuildError(f"{path.name} does not lock {', '.join(sorted(missing))}.", "Build with `make web`.")
    return found


def debian(path: Path) -> list[Package]:
    """The Debian packages of the enclave image. A line has name, version and SHA-256; further columns are skipped.

    Raises `ReleaseBuildError` for a line of another form, and if the file cannot be read.
    """
    packages = []
    for line in read(path).decode().splitlines():
        if line and not line.startswith("#"):
            fields = line.split()
            if len(fields) < 3 or not re.fullmatch("[0-9a-f]{64}", fields[2]):
                raise ReleaseBuildError(f"{path.name} has a line that locks nothing: {line}.", "Restore the file.")
            packages.append(Package(fields[0], fields[1], (fields[2],)))
    return packages
