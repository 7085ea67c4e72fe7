from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import blindsight
import enclave_runtime
from blindsight.errors import ProducerError
from enclave_runtime.evidence import measure

ROOT = Path(blindsight.__path__[0]).parent


def pcr2(root: Path) -> bytes:
    packages = {name: root / name for name in ("blindsight", "enclave_runtime")}
    manifest = measure.manifest(measure.application_files(packages))
    return measure.pcrs_of(boot=b"", application=manifest)[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    root = tmp_path / "another" / "checkout"
    for package in (blindsight, enclave_runtime):
        name = package.__name__
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copy
        )
    return root


def test_registers_of_the_running_code() -> None:
    pcrs = measure.measurements()
    assert sorted(pcrs) == [0, 1, 2]
    assert {len(value) for value in pcrs.values()} == {48}
    assert len({*pcrs.values(), bytes(48)}) == 4
    assert measure.measurements() == pcrs
    assert pcrs[2] == pcr2(ROOT)


def test_rule_of_an_enclave_image() -> None:
    pcrs = measure.pcrs_of(boot=b"kernel", application=b"application")
    for index, content in ((0, b"kernelapplication"), (1, b"kernel"), (2, b"application")):
        assert pcrs[index] == hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).digest()


def test_manifest_is_framed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    assert measure.manifest({"ab/c.py": tmp_path / "x"}) == (
        b"\x00\x00\x00\x07ab/c.py" + hashlib.sha384(b"content").digest()
    )


def test_folder_time_and_mode_do_not_count(copy: Path) -> None:
    for number, path in enumerate(sorted(copy.rglob("*.py"))):
        os.utime(path, (number, number))
        path.chmod(0o600 if number % 2 else 0o755)
    (copy / "blindsight" / "__pycache__").mkdir()
    (copy / "blindsight" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"bytecode")
    assert pcr2(copy) == pcr2(ROOT)


@pytest.mark.parametrize("name", ["blindsight/cbor.py", "enclave_runtime/evidence/measure.py"])
def test_one_changed_byte_counts(copy: Path, name: str) -> None:
    before = pcr2(copy)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + b" ")
    assert pcr2(copy) != before
    (copy / name).write_bytes(content)
    assert pcr2(copy) == before


def test_added_removed_and_renamed_files_count(copy: Path) -> None:
    seen = {pcr2(copy)}
    (copy / "blindsight" / "added.py").write_bytes(b"")
    seen.add(pcr2(copy))
    (copy / "blindsight" / "added.py").rename(copy / "enclave_runtime" / "added.py")
    seen.add(pcr2(copy))
    (copy / "blindsight" / "cbor.py").unlink()
    seen.add(pcr2(copy))
    assert len(seen) == 4


def test_measured_distributions_are_all_that_the_runtime_loads() -> None:
    """What the runtime and a worker import must be in `DISTRIBUTIONS`, or PCR 1 would not cover it."""
    program = """
import importlib, pkgutil, sys
before = set(sys.modules)  # start-up files of the environment are not the runtime's imports
import enclave_runtime, numpy, onnxruntime, PIL.Image
for module in pkgutil.walk_packages(enclave_runtime.__path__, "enclave_runtime."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("\\n".join({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    owners = metadata.packages_distributions()
    loaded = {owner.lower() for name in done.stdout.split() for owner in owners.get(name, ())}
    ours = {"blindsight"}
    assert {"cryptography", "onnxruntime", "numpy", "pillow"} <= loaded
    assert loaded - ours <= set(measure.DISTRIBUTIONS)


def test_installer_notes_and_bytecode_are_left_out() -> None:
    names = measure._boot_files()
    assert "python" in names
    assert any(name.startswith("cryptography/cryptography/") for name in names)
    assert not [name for name in names if name.endswith((".pyc", "/RECORD", "/INSTALLER", "/direct_url.json"))]
    assert not [name for name in names if ".." in Path(name).parts]


def test_missing_distribution_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "DISTRIBUTIONS", ("no-such-distribution",))
    with pytest.raises(ProducerError, match="no-such-distribution") as caught:
        measure.measurements()
    assert caught.value.code == "distribution_missing"


def test_rendering() -> None:
    assert measure.render({2: b"\x02" * 48, 0: b"\x00" * 48}) == f"PCR0: {'00' * 48}\nPCR2: {'02' * 48}\n"
