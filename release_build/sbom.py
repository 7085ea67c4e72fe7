"""The software bill of materials: CycloneDX 1.6 (ECMA-424) in canonical JSON (RFC 8785).

It has no times and no serial numbers, so that the same tree gives the same bytes. Each unit is an application that
depends on its locked packages; the enclave also depends on the Debian packages of its image. A package has the hashes
of all artifacts that the lock accepts; a machine installs one of them. Packages are named by package URL (purl).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import rfc8785

from release_build import locks
from release_build.source import SOURCE, read

if TYPE_CHECKING:
    from release_build.locks import Package

UNITS: Final = {
    "client": ("client",),
    "enclave": ("enclave",),
    "gateway": ("gateway",),
    "model-build": ("model-build", "torch"),
}
"""Unit to the names of its lists in requirements/."""

_CLIENT: Final = "clients/js"
"""The page contains third parties' code only through the JavaScript client."""

_SYSTEM: Final = "enclave_image/packages.lock"
_LICENCES: Final = Path(__file__).with_name("licences.json")


def lists() -> dict[str, Path]:
    """The lists of locked Python packages: the name in the release file to the path in the source tree."""
    files = sorted(
        {f"requirements/{name}.txt" for names in UNITS.values() for name in names} | {"requirements/run.txt"}
    )
    return {name: SOURCE / name for name in files}


def render(version: str) -> bytes:
    """The bill of materials of this source tree, as canonical JSON, for the release `version`.

    Raises `ReleaseBuildError` for a lock file that is missing or invalid.
    """
    components: dict[str, dict[str, Any]] = {}
    dependencies: dict[str, list[str]] = {}
    licences: dict[str, str] = json.loads(read(_LICENCES))
    for unit, names in UNITS.items():
        packages = [package for name in names for package in locks.requirements(SOURCE / f"requirements/{name}.txt")]
        found = [_component("pypi", package, licences.get(package.name)) for package in packages]
        _add(unit, found, components, dependencies)
    page = locks.npm(SOURCE / _CLIENT / "package-lock.json", locks.contained(SOURCE / _CLIENT / "dist/THIRD-PARTY.txt"))
    _add("page", [_component("npm", package, licence) for package, licence in page], components, dependencies)
    _add("enclave", [_debian(package) for package in locks.debian(SOURCE / _SYSTEM)], components, dependencies)
    units = [_unit(unit, version) for unit in sorted(dependencies)]
    root = {"type": "application", "bom-ref": "blindsight", "name": "blindsight-classify", "version": version,
            "licenses": [{"expression": "Apache-2.0"}]}  # fmt: skip
    graph = [{"ref": "blindsight", "dependsOn": sorted(_reference(unit) for unit in dependencies)}]
    graph += [{"ref": _reference(unit), "dependsOn": sorted(set(refs))} for unit, refs in sorted(dependencies.items())]
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": units + [component for _, component in sorted(components.items())],
        "dependencies": graph,
    }
    return rfc8785.dumps(bill)


def _add(
    unit: str, found: list[dict[str, Any]], components: dict[str, dict[str, Any]], dependencies: dict[str, list[str]]
) -> None:
    for component in found:
        known = components.setdefault(component["bom-ref"], component)
        if known.get("properties") != component.get("properties"):
            known.pop("properties", None)  # Units need it in different environments, so no one marker is right.
    dependencies.setdefault(unit, []).extend(component["bom-ref"] for component in found)


def _unit(unit: str, version: str) -> dict[str, Any]:
    return {"type": "application", "bom-ref": _reference(unit), "name": f"blindsight {unit}", "version": version}


def _reference(unit: str) -> str:
    return f"unit:{unit}"


def _component(kind: str, package: Package, licence: str | None) -> dict[str, Any]:
    purl = f"pkg:{kind}/{quote(package.name)}@{quote(package.version)}"
    hashes = [("SHA-256", digest) for digest in package.sha256] + [("SHA-512", digest) for digest in package.sha512]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [{"alg": algorithm, "content": digest} for algorithm, digest in hashes],
    }
    if licence is not None:
        component["licenses"] = [{"expression": licence}]
    if package.marker is not None:
        component["properties"] = [{"name": "blindsight:marker", "value": package.marker}]
    return component


def _debian(package: Package) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version)}?arch=amd64"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.sha256],
    }
