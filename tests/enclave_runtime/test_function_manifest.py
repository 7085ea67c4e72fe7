"""A bundle's model files are those that its manifest names, or the runtime does not attest the manifest.

The host is hostile: its bundle has an honest `model.json`, other weights or labels, and code that does not compare.
Evidence of it would name the honest model's digest, which is what receipts and policies with `model_digests` go by.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclave_function.bundle import BundleError, build, inspect
from enclave_runtime import function as functions
from enclave_runtime.archive import BadBundle
from tests.support.processes import Enclave, environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port
from tests.support.zips import with_files

if TYPE_CHECKING:
    from tests.support.models import TinyModel


@pytest.fixture(scope="module")
def honest(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("honest") / "function.zip"
    build(colour_model.folder, bundle)
    return bundle


def files_of(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def measure(bundle: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enclave_runtime", "measure", "--bundle", str(bundle)],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def renamed(files: dict[str, bytes], part: str, **changes: Any) -> dict[str, bytes | None]:
    """Another manifest, whose `part` says other things of its file."""
    entry = json.loads(files["model.json"])[part] | changes
    return manifest_with(files, **{part: {name: value for name, value in entry.items() if value is not ...}})


def manifest_with(files: dict[str, bytes], **members: Any) -> dict[str, bytes | None]:
    return {"model.json": json.dumps(json.loads(files["model.json"]) | members).encode()}


HOSTILE: dict[str, Any] = {
    "other weights": lambda files: {"tiny.onnx": flipped(files["tiny.onnx"])},
    "other labels": lambda files: {"labels.txt": files["labels.txt"].replace(b"shade-000", b"innocent!")},
    "a label twice": lambda files: {"labels.txt": files["labels.txt"].replace(b"-000-", b"-001-", 1)},
    "empty weights": lambda _: {"tiny.onnx": b""},
    "cut labels": lambda files: {"labels.txt": files["labels.txt"][:-1]},
    "no weights": lambda _: {"tiny.onnx": None},
    "no labels": lambda _: {"labels.txt": None},
    "weights in a folder": lambda files: {"tiny.onnx": None, "tiny.onnx/tiny.onnx": files["tiny.onnx"]},
    "a folder named": lambda files: renamed(files, "labels", file="photo_classifier"),
    "a file in a folder named": lambda files: {
        **renamed(files, "onnx", file="models/tiny.onnx"), "models/tiny.onnx": files["tiny.onnx"]
    },
    "a file above": lambda files: renamed(files, "onnx", file="../function/tiny.onnx"),
    "a file above, by another way": lambda files: renamed(files, "onnx", file="photo_classifier/../tiny.onnx"),
    "a file of the host": lambda files: renamed(files, "labels", file="/etc/passwd", sha256=digest(of_the_host())),
    "a device": lambda files: renamed(files, "labels", file="/dev/zero"),
    "the folder itself": lambda files: renamed(files, "onnx", file="."),
    "the folder above": lambda files: renamed(files, "onnx", file=".."),
    "no name": lambda files: renamed(files, "onnx", file=""),
    "a backslash": lambda files: renamed(files, "onnx", file="..\\tiny.onnx"),
    "a null byte": lambda files: renamed(files, "onnx", file="tiny.onnx\0"),
    "a name too long": lambda files: renamed(files, "onnx", file="x" * 5000),
    "half a character": lambda files: renamed(files, "onnx", file="\ud800"),
    "a name that is a number": lambda files: renamed(files, "onnx", file=7),
    "a name that is a list": lambda files: renamed(files, "labels", file=["labels.txt"]),
    "a name left out": lambda files: renamed(files, "labels", file=...),
    "a digest left out": lambda files: renamed(files, "onnx", sha256=...),
    "a digest of null": lambda files: renamed(files, "onnx", sha256=None),
    "an empty digest": lambda files: renamed(files, "onnx", sha256=""),
    "a digest in capitals": lambda files: renamed(files, "onnx", sha256=digest(files["tiny.onnx"]).upper()),
    "half a digest": lambda files: renamed(files, "onnx", sha256=digest(files["tiny.onnx"])[:32]),
    "one file for both": lambda files: renamed(files, "onnx", file="labels.txt", sha256=digest(files["labels.txt"])),
    "no weights named": lambda files: manifest_with(files, onnx=None),
    "labels as a list": lambda files: manifest_with(files, labels=[]),
}  # fmt: skip


def of_the_host() -> bytes:
    return Path("/etc/passwd").read_bytes()


@pytest.mark.parametrize("what", HOSTILE)
def test_other_model_files_than_the_manifests_are_not_measured(honest: Path, tmp_path: Path, what: str) -> None:
    hostile = with_files(honest, tmp_path / "hostile.zip", HOSTILE[what](files_of(honest)))
    done = measure(hostile, tmp_path)
    assert done.returncode == 1, f"the runtime would attest {done.stdout}"
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("enclave_runtime: the bundle's ")
    assert "blindsight bundle build" in done.stderr


@pytest.mark.parametrize("what", HOSTILE)
def test_the_command_that_inspects_bundles_says_so_too(honest: Path, tmp_path: Path, what: str) -> None:
    hostile = with_files(honest, tmp_path / "hostile.zip", HOSTILE[what](files_of(honest)))
    with pytest.raises(BundleError):
        inspect(hostile)


def test_the_honest_bundle_is_measured(honest: Path, tmp_path: Path) -> None:
    done = measure(with_files(honest, tmp_path / "copy.zip", {}), tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_digest"] == inspect(honest).model.digest


def test_code_that_does_not_compare_is_never_started(honest: Path, tmp_path: Path) -> None:
    """The function's own check is the host's to remove: the runtime must not attest before it has looked."""
    files = files_of(honest)
    code = files["photo_classifier/manifest.py"]
    check = b'    if digest.hexdigest() != entry["sha256"]:\n'
    assert check in code
    changes = {
        "photo_classifier/manifest.py": code.replace(check, b"    if False:\n"),
        "labels.txt": files["labels.txt"].replace(b"shade-", b"wrong-"),
    }
    hostile = with_files(honest, tmp_path / "hostile.zip", changes)
    enclave = Enclave(hostile, tmp_path / "state", tmp_path / "enclave", port=free_port(), workers=1)
    try:

        def attested() -> bool:
            try:
                return enclave.status()["workers"] == 1
            except OSError:
                return False

        wait_until("ended, or attested", lambda: not enclave.running or attested(), seconds=60)
        assert not enclave.running, "the enclave serves other labels than it attests"
        assert enclave.process.returncode == 1
        assert "labels" in enclave.log()
        assert "Traceback" not in enclave.log()
        assert len(enclave.log().splitlines()) == 1
    finally:
        if enclave.running:
            enclave.kill()


def test_a_large_file_is_not_read_into_memory(honest: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    content = bytes(100_000_000)
    changes = renamed(files_of(honest), "onnx", sha256=digest(content))
    with_files(honest, large, {**changes, "tiny.onnx": content})
    del content
    tracemalloc.start()
    try:
        functions.load(large).remove()
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_labels_that_are_no_text_are_refused(honest: Path, tmp_path: Path) -> None:
    """Their digest is right; but what the longest of them is, which answers are padded by, cannot be said."""
    labels = b"\xff\xfe" * 1000
    changes = {**renamed(files_of(honest), "labels", sha256=digest(labels)), "labels.txt": labels}
    with pytest.raises(BadBundle, match="labels"):
        functions.load(with_files(honest, tmp_path / "hostile.zip", changes))


@pytest.mark.parametrize("count", [None, "1000", True, 0, -1, 10.5, ...])
def test_a_number_of_labels_that_is_none_is_refused(honest: Path, tmp_path: Path, count: object) -> None:
    hostile = with_files(honest, tmp_path / "hostile.zip", renamed(files_of(honest), "labels", count=count))
    with pytest.raises(BadBundle, match="number of labels"):
        functions.load(hostile)


@pytest.mark.parametrize("said", ["false", 0, None])
def test_a_manifest_that_does_not_say_whether_the_model_is_trained_is_refused(
    honest: Path, tmp_path: Path, said: object
) -> None:
    """It would be passed on as it is, and `"false"` is true to many a reader."""
    bundle = with_files(honest, tmp_path / "function.zip", manifest_with(files_of(honest), trained=said))
    with pytest.raises(BadBundle, match="does not say with true or false whether the model is trained"):
        functions.load(bundle)
