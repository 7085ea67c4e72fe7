"""The npm package `blindsight-client`: built from its sources, packed, and installed as an app's author would."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

import blindsight
from tests.support import node

DIST = node.CLIENT / "dist"
README = (node.CLIENT / "README.md").read_text()
CONSUMER = Path(__file__).with_name("consumer.ts")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node.sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node.app(tmp_path_factory.mktemp("consumer"))


@pytest.mark.timeout(600)
def test_the_committed_module_is_what_its_sources_give(sources: Path, tmp_path: Path) -> None:
    """With the pinned tools, in a copy, byte for byte."""
    node.run("npm", "run", "--silent", "build", "--", tmp_path / "dist", cwd=sources)
    assert node.tree(tmp_path / "dist") == node.tree(DIST)


@pytest.mark.timeout(600)
def test_the_sources_pass_their_own_checks(sources: Path) -> None:
    """Types, unit tests, and all vectors on the built module."""
    node.run("npm", "run", "--silent", "check", cwd=sources)
    node.run("npm", "test", "--silent", cwd=sources)


def test_the_sums_cover_every_file() -> None:
    sums = dict(reversed(line.split("  ")) for line in (DIST / "SHA256SUMS").read_text().splitlines())
    files = node.tree(DIST)
    del files["SHA256SUMS"]
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_the_package_has_the_built_module_and_needs_nothing(tmp_path: Path) -> None:
    _, said = node.packed(tmp_path)
    assert (said["name"], said["version"]) == ("blindsight-client", blindsight.__version__)
    expected = {f"dist/{name}" for name in node.tree(DIST)} | {"LICENSE", "README.md", "package.json"}
    assert {entry["path"] for entry in said["files"]} == expected
    manifest = json.loads((node.CLIENT / "package.json").read_text())
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & set(manifest)
    assert (node.CLIENT / "LICENSE").read_bytes() == (node.ROOT / "LICENSE").read_bytes()


def test_the_module_loads_nothing_else() -> None:
    script = (DIST / "index.js").read_text()
    assert not re.findall(r"^import |\bimport\(|\brequire\(", script, re.MULTILINE)
    assert not re.findall(r"\beval\(|\bnew Function\b", script)


def test_each_package_in_the_module_has_its_licence() -> None:
    licences = (DIST / "THIRD-PARTY.txt").read_text()
    lock = json.loads((node.CLIENT / "package-lock.json").read_text())["packages"]
    named = re.findall(r"^(\S+) (\d+\.\d+\.\d+)$", licences, re.MULTILINE)
    assert {"@hpke/core", "@hpke/hybridkem-x-wing", "mlkem"} <= {name for name, _ in named}
    assert all(lock[f"node_modules/{name}"]["version"] == version for name, version in named)
    assert licences.count("Copyright (c)") >= len(named)


def test_its_size_is_the_stated_one(sources: Path) -> None:
    (stated,) = re.findall(r"(\d+) kB, minified and gzipped", README)
    minify = ["--minify", "--format=esm", "--target=es2022", "--legal-comments=none"]
    script = node.run(sources / "node_modules/.bin/esbuild", DIST / "index.js", *minify, cwd=sources)
    size = len(gzip.compress(script.encode(), 9))
    assert round(size / 1000) == int(stated), size


@pytest.mark.parametrize("resolution", ["node16", "bundler"])
def test_types_for_an_app(sources: Path, app: Path, resolution: str) -> None:
    """Strict, and without a look away from the package's own declarations."""
    (app / "consumer.ts").write_bytes(CONSUMER.read_bytes())
    module = {"node16": "node16", "bundler": "esnext"}[resolution]
    options = ["--strict", "--noEmit", "--skipLibCheck", "false", "--target", "es2022", "--lib", "es2022,dom"]
    options += ["--exactOptionalPropertyTypes", "--module", module, "--moduleResolution", resolution]
    node.run(sources / "node_modules/.bin/tsc", *options, "consumer.ts", cwd=app)


def test_a_commonjs_app_requires_it(app: Path) -> None:
    version = tuple(int(part) for part in node.run(node.node(), "--version", cwd=app).lstrip("v").split("."))
    if version < (20, 19):
        pytest.skip("this Node.js does not load ES modules with require")
    script = "console.log(typeof require('blindsight-client').Client)"
    assert node.run(node.node(), "--no-warnings", "--input-type=commonjs", "--eval", script, cwd=app) == "function\n"


def test_what_an_app_may_name(app: Path) -> None:
    """One entry: nothing inside the package can be imported, so that it may change."""
    names = "import * as all from 'blindsight-client'; console.log(Object.keys(all).sort().join(' '))"
    found = node.run(node.node(), "--input-type=module", "--eval", names, cwd=app).split()
    assert found == sorted(
        {name for name in blindsight.__all__ if name in found} | {"attestation", "receipts", "checkPlatform"}
        | {"EvidenceFormatError", "EvidenceChainError", "EvidenceSignatureError", "EvidenceDebugError"}
        | {"EvidenceMeasurementError", "EvidenceClaimsError", "EvidenceFreshnessError", "PlatformError"}
    )  # fmt: skip
    only_types = {"Classification", "Prediction", "Recipient", "VerificationReport"}
    assert set(blindsight.__all__) - set(found) == only_types | {"AsyncClient", "__version__"}
    inside = "await import('blindsight-client/dist/index.js')"
    done = subprocess.run(
        [node.node(), "--input-type=module", "--eval", inside], cwd=app, capture_output=True, text=True, check=False
    )
    assert "ERR_PACKAGE_PATH_NOT_EXPORTED" in done.stderr
