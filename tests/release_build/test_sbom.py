"""The bill of materials: CycloneDX 1.6 by the official schema, and complete."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from cyclonedx.schema import SchemaVersion, _res

from release_build import locks, sbom
from release_build.errors import ReleaseBuildError

REPOSITORY = Path(__file__).resolve().parents[2]
LICENCES = json.loads((REPOSITORY / "release_build" / "licences.json").read_bytes())


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of this source tree, with a list of system packages in the place of the image's."""
    system = tmp_path_factory.mktemp("system") / "packages.lock"
    system.write_text(
        "# Packages.\nlibc6 2.36-9+deb12u10 " + "ab" * 32 + " debian 20261126T000000Z pool/libc6_amd64.deb\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbom, "_SYSTEM", system)
        bill: dict[str, Any] = json.loads(sbom.render("1.2.3"))
    return bill


@pytest.fixture(scope="module")
def schema() -> jsonschema_rs.Draft7Validator:
    """The official schema, as cyclonedx-python-lib ships it, with the schemas that it refers to."""
    folder = Path(_res.__file__).parent
    resources = []
    for name in ("spdx", "jsf-0.82", "cryptography-defs"):
        text = json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_bytes())
        resources.append((f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", text))
    main = json.loads(Path(str(_res.BOM_JSON[SchemaVersion.V1_6])).read_bytes())
    return jsonschema_rs.Draft7Validator(main, registry=jsonschema_rs.Registry(resources))


def test_it_is_cyclonedx(bill: dict[str, Any], schema: jsonschema_rs.Draft7Validator) -> None:
    assert [error.message for error in schema.iter_errors(bill)] == []
    broken = json.loads(json.dumps(bill))
    broken["components"][0]["type"] = "thing"
    broken["components"][-1]["hashes"] = [{"alg": "CRC32", "content": "00"}]
    assert len(list(schema.iter_errors(broken))) >= 2


def test_every_locked_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    components = {component["bom-ref"]: component for component in bill["components"]}
    depends = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    for unit, names in sbom.UNITS.items():
        for name in names:
            text = (REPOSITORY / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
            blocks = re.findall(r"^([a-z0-9.-]+)==(\S+)[^\n]*\n((?:    --hash=.*\n)+)", text, re.MULTILINE)
            assert blocks
            for package, version, hashes in blocks:
                reference = f"pkg:pypi/{package}@{version}"
                assert reference in depends[f"unit:{unit}"]
                listed = [each["content"] for each in components[reference]["hashes"]]
                assert listed == re.findall(r"sha256:([0-9a-f]{64})", hashes)


def test_each_component_has_a_hash_and_all_but_a_few_a_licence(bill: dict[str, Any]) -> None:
    libraries = [component for component in bill["components"] if component["type"] == "library"]
    assert all(component["hashes"] for component in libraries)
    without = {component["name"] for component in libraries if "licenses" not in component}
    assert without <= {"libc6", "httpx2-jsfetch"}


def test_every_unit_is_in_it(bill: dict[str, Any]) -> None:
    depends = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    units = ["unit:client", "unit:enclave", "unit:gateway", "unit:model-build", "unit:page"]
    assert depends["blindsight"] == units
    assert all(depends[unit] for unit in units)
    assert {reference.partition("@")[0] for reference in depends["unit:page"]} >= {"pkg:npm/mlkem"}
    assert len(depends["unit:page"]) == 5
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64" in depends["unit:enclave"]
    references = [component["bom-ref"] for component in bill["components"]] + ["blindsight"]
    assert len(set(references)) == len(references)
    assert {reference for each in depends.values() for reference in each} <= set(references)


@pytest.mark.parametrize("name", sorted(LICENCES))
def test_a_licence_is_what_the_package_says(name: str) -> None:
    try:
        said = metadata.metadata(name).get("License-Expression")
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is for other machines")
    assert said in (None, LICENCES[name])


@pytest.mark.parametrize(
    "text",
    [
        "numpy\n",
        "numpy==1.0\n",
        "numpy>=1.0 --hash=sha256:" + "ab" * 32,
        "numpy==1.0 --hash=md5:ab",
        "-r other.txt\n",
        "numpy==1.0 \\\n    --hash=sha256:" + "ab" * 31,
    ],
)
def test_a_line_that_locks_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "unit.txt").write_text(text)
    with pytest.raises(ReleaseBuildError, match="locks nothing"):
        locks.requirements(tmp_path / "unit.txt")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"packages": {}}',
        '{"packages": {"a": {"version": "2.0.0", "integrity": "sha512-aa"}}}',
        '{"packages": {"a": {"version": "1.0.0"}}}',
        '{"packages": {"a": {"version": "1.0.0", "integrity": "sha1-aa"}}}',
    ],
)
def test_an_npm_lock_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "package-lock.json").write_text(text)
    with pytest.raises(ReleaseBuildError):
        locks.npm(tmp_path / "package-lock.json", {"a 1.0.0"})


def test_a_system_package_without_a_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packages.lock").write_text("libc6 2.36 pool/libc6_amd64.deb\n")
    with pytest.raises(ReleaseBuildError, match="locks nothing"):
        locks.debian(tmp_path / "packages.lock")
