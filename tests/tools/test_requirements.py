"""Locked requirements: every package of every unit by version and hash, the same version everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted((REPOSITORY / "requirements").glob("*.txt"))
PEERS = sorted((REPOSITORY / "benchmarks" / "peers" / "requirements").glob("*.txt"))
"""Of the frameworks that benchmarks compare with; no unit installs them."""
UNITS = ("client", "dev", "enclave", "fuzz", "gateway", "model-build", "run", "torch")

_PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(?P<version>[^ ;\\]+)(?: ; [^\\]+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def pinned(file: Path) -> dict[str, str]:
    """Name to version; every line must be a pin, one of its hashes, or a comment."""
    versions: dict[str, str] = {}
    hashes = 1
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if found := _PINNED.match(line):
            assert hashes, f"{file.name}: no hash before {line}"
            versions[found["name"]] = found["version"]
            hashes = 0
        else:
            assert _HASH.match(line), f"{file.name}: {line}"
            hashes += 1
    assert hashes
    return versions


def test_there_is_one_file_a_unit():
    assert tuple(file.stem for file in FILES) == UNITS


@pytest.mark.parametrize("file", [*FILES, *PEERS], ids=lambda file: file.stem)
def test_everything_is_locked_by_hash(file: Path):
    assert pinned(file)


def test_a_package_has_one_version():
    known: dict[str, str] = {}
    for file in FILES:
        for name, version in pinned(file).items():
            assert known.setdefault(name, version) == version, f"{name} in {file.name}"


def test_peers_run_and_preprocess_with_the_versions_of_the_enclave():
    enclave = pinned(REPOSITORY / "requirements" / "enclave.txt")
    assert [file.stem for file in PEERS] == ["bentoml", "fastapi", "litserve", "ray"]
    for file in PEERS:
        peer = pinned(file)
        for name in ("numpy", "onnxruntime", "pillow"):
            assert peer[name] == enclave[name], f"{name} in {file.name}"


def test_the_enclave_installs_no_client_and_no_commands():
    assert (
        not {"typer", "rich", "httpx2", "websockets", "pydantic", "fastapi"}
        & pinned(REPOSITORY / "requirements" / "enclave.txt").keys()
    )


def test_groups_are_what_is_locked():
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    for unit in ("enclave", "gateway", "model-build"):
        wanted = {re.match(r"[a-z0-9._-]+", each)[0] for each in groups[unit]} - {"torch"}
        assert wanted <= pinned(REPOSITORY / "requirements" / f"{unit}.txt").keys()


def test_only_torch_comes_from_torchs_index():
    """pip takes the highest version from any index it is given: one of our packages' names there would win."""
    for name in ("tools/environment.sh", "Dockerfile", "blindsight_cli/buildenv.py"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert "--extra-index-url" not in text, name
        assert "torch.txt" in text, name
    assert list(pinned(REPOSITORY / "requirements" / "torch.txt")) == ["torch"]
