"""The tree that an enclave image has: it runs, and cannot make simulated evidence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blindsight.attestation import Policy, Release, verify
from blindsight.errors import EvidenceError
from enclave_runtime import variants
from enclave_runtime.evidence.simulated import SimulatedProducer

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("enclave_runtime/", "blindsight/")
NONCE = bytes(range(32))


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start it as an image does."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(root / "enclave_runtime" / "boot.py"), *arguments],
        cwd=root, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def files(variant: str) -> dict[str, str]:
    done = run(REPOSITORY, "enclave_runtime.commands", "files", "--variant", variant)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module", params=variants.NAMES)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("image")
    for name, source in files(variant).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)
    return root


def test_it_has_neither_simulator_nor_client_nor_commands(image: Path, variant: str):
    names = {path.relative_to(image).as_posix() for path in image.rglob("*.py")}
    assert {"enclave_runtime/boot.py", "enclave_runtime/evidence/nsm.py", "blindsight/receipts.py"} <= names
    assert not [
        name
        for name in names
        if "simulated" in name or name.startswith("blindsight/client/") or not name.startswith(PACKAGES)
    ]
    assert any("cape" in name for name in names) is (variant == "cape")


def test_it_says_that_it_cannot_simulate(image: Path, variant: str, tmp_path: Path):
    bundle = tmp_path / "none.zip"
    options = ["--bundle", str(bundle), "--state", str(tmp_path / "state"), "--variant", variant]
    for command in (["serve"], ["policy"]):
        done = run(image, "enclave_runtime.commands", *command, *options)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert line.startswith("enclave_runtime: This is an enclave image: it cannot make simulated evidence. Use ")


def test_everything_else_of_it_runs(image: Path, variant: str, tmp_path: Path):
    options = ["--bundle", str(tmp_path / "none.zip"), "--state", str(tmp_path / "state"), "--variant", variant]
    refused = run(image, "enclave_runtime.commands", "serve", "--evidence", "nsm", *options)
    assert "/dev/nsm cannot be opened" in refused.stderr
    assert refused.returncode == 1
    # Every module of it can be loaded from it alone.
    (image / "enclave_runtime" / "trying.py").write_text(
        "import importlib, pathlib\n"
        "def main():\n"
        "    root = pathlib.Path(__file__).parents[1]\n"
        "    for path in sorted(root.rglob('*.py')):\n"
        "        name = '.'.join(path.relative_to(root).with_suffix('').parts)\n"
        "        assert importlib.import_module(name.removesuffix('.__init__')).__file__ == str(path)\n"
        "    print('all')\n    return 0\n"
    )
    try:
        done = run(image, "enclave_runtime.trying")
    finally:
        (image / "enclave_runtime" / "trying.py").unlink()
    assert done.stdout == "all\n", done.stderr


@pytest.mark.parametrize("variant", ["cape"], indirect=True, scope="module")
def test_a_fault_inside_the_simulator_is_not_taken_for_its_absence(image: Path, variant: str, tmp_path: Path):
    broken = image / "enclave_runtime" / "evidence" / "simulated.py"
    broken.write_text("import a_module_that_is_not_there\n")
    try:
        done = run(
            image, "enclave_runtime.commands", "policy", "--variant", variant,
            "--bundle", str(tmp_path / "none.zip"), "--state", str(tmp_path / "state"),
        )  # fmt: skip
    finally:
        broken.unlink()
    assert "a_module_that_is_not_there" in done.stderr
    assert "cannot make simulated" not in done.stderr


@pytest.mark.parametrize("listed", [False, True])
def test_no_production_policy_accepts_a_simulators_root(tmp_path: Path, listed: bool):
    """Not even one that lists it by mistake: the certificate's name tells."""
    pcrs = {index: bytes([index + 1]) * 48 for index in range(3)}
    producer = SimulatedProducer(tmp_path, pcrs)
    roots = {"roots": frozenset({producer.root_fingerprint})} if listed else {}
    release = Release(
        kind="nitro",
        pcrs={index: frozenset({value.hex()}) for index, value in pcrs.items()},
        any_function=True,
        **roots,
    )
    document = producer.attest(nonce=NONCE, user_data=None, public_key=None)
    with pytest.raises(EvidenceError) as caught:
        verify(document, policy=Policy(releases=(release,)), nonce=NONCE, now=datetime.now(UTC))
    assert caught.value.code == ("simulated_root" if listed else "root_not_pinned")
