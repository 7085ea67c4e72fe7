"""The builder: the same inputs make the same bytes anywhere, and other inputs never do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rfc8785

from enclave_function import bundle
from enclave_function.bundle import BundleError, VendorTarget, builder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "model"))


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_contents(model, tmp_path):
    out = tmp_path / "bundle.zip"
    info = bundle.build(model, out)
    source = ROOT / "enclave_function"
    modules = {f"photo_classifier/{path.name}": path for path in (source / "photo_classifier").glob("*.py")}
    files = (
        modules
        | {"app.py": source / "app.py"}
        | {name: model / name for name in ("model.json", "tiny.onnx", "labels.txt")}
    )
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(files)
        assert {name: archive.read(name) for name in files} == {name: path.read_bytes() for name, path in files.items()}
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
            assert (entry.compress_type, entry.extra, entry.comment, entry.create_system) == (
                zipfile.ZIP_STORED,
                b"",
                b"",
                3,
            )
    assert info.checksum == checksum(out)
    assert info == bundle.inspect(out)
    assert [(entry.name, entry.bytes, entry.sha256) for entry in info.entries] == [
        (name, files[name].stat().st_size, checksum(files[name])) for name in sorted(files)
    ]
    digest = hashlib.sha256(rfc8785.dumps(json.loads((model / "model.json").read_text()))).hexdigest()
    assert info.model == bundle.ModelInfo("tiny", "1", True, digest)
    assert info.vendored == ()


def run_builder(model: Path, out: Path, *, umask: int, **environment: str) -> None:
    command = [sys.executable, "-m", "enclave_function", "bundle", "build", "--model", str(model), "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, umask=umask, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_same_bytes_from_any_folder_user_and_clock(model, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    other = Path(shutil.copytree(model, tmp_path / "elsewhere" / "other name"))
    for path in other.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o600)
    (other / "unrelated.txt").write_text("not named by model.json")
    first, second = tmp_path / "one.zip", tmp_path / "elsewhere" / "deep" / "two.bundle"
    run_builder(model, first, umask=0o022, TZ="Pacific/Kiritimati", LANG="C", HOME="/nonexistent", PYTHONHASHSEED="1")
    run_builder(other, second, umask=0o077, TZ="America/Lima", LC_ALL="C.UTF-8", HOME=str(tmp_path), PYTHONHASHSEED="2")
    assert checksum(first) == checksum(second)
    assert stat.S_IMODE(second.stat().st_mode) == 0o644


def change_code(model: Path, source: Path) -> None:
    path = source / "photo_classifier" / "answer.py"
    path.write_bytes(path.read_bytes() + b"\n")


def change_model(model: Path, source: Path) -> None:
    content = bytearray((model / "tiny.onnx").read_bytes())
    content[-1] ^= 1
    (model / "tiny.onnx").write_bytes(content)
    manifest = json.loads((model / "model.json").read_text())
    manifest["onnx"]["sha256"] = checksum(model / "tiny.onnx")
    (model / "model.json").write_text(json.dumps(manifest))


def change_manifest(model: Path, source: Path) -> None:
    (model / "model.json").write_text((model / "model.json").read_text() + " ")


@pytest.mark.parametrize("change", [change_code, change_model, change_manifest])
def test_one_changed_byte_changes_the_checksum(change, model, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "enclave_function", source, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(builder, "_SOURCE", source)
    before = bundle.build(model, tmp_path / "bundle.zip").checksum
    assert bundle.build(model, tmp_path / "bundle.zip").checksum == before
    change(model, source)
    assert bundle.build(model, tmp_path / "bundle.zip").checksum != before


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt"])
def test_a_file_that_is_not_the_manifests_is_not_packed(model, tmp_path, name):
    (model / name).write_bytes((model / name).read_bytes() + b"x")
    with pytest.raises(BundleError, match=f"{name} does not have the SHA-256"):
        bundle.build(model, tmp_path / "bundle.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_any_file_of_the_model_directory_names_it(model, tmp_path):
    expected = bundle.build(model, tmp_path / "a.zip").checksum
    for name in ("tiny.onnx", "model.json"):
        assert bundle.build(model / name, tmp_path / "b.zip").checksum == expected
    (model / "other.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"is the manifest of tiny\.onnx"):
        bundle.build(model / "other.onnx", tmp_path / "b.zip")


def test_an_onnx_file_in_no_model_directory_is_refused_with_the_command_that_takes_it(model, tmp_path):
    (tmp_path / "mine").mkdir()
    graph = (model / "tiny.onnx").rename(tmp_path / "mine" / "tiny.onnx")
    with pytest.raises(BundleError, match="is in no model directory") as caught:
        bundle.build(graph, tmp_path / "bundle.zip")
    assert "`blindsight bundle build`" in caught.value.next_step


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt", "model.json"])
def test_a_git_lfs_pointer_is_named(model, tmp_path, name):
    (model / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 100\n")
    with pytest.raises(BundleError, match=f"{name} is a Git LFS pointer, not the file") as caught:
        bundle.build(model, tmp_path / "bundle.zip")
    assert "`git lfs pull`" in caught.value.next_step


@pytest.mark.parametrize("said", ["false", 0, None])
def test_a_manifest_that_does_not_say_whether_the_model_is_trained_replaces_nothing(model, tmp_path, said):
    """`"false"` would be true to many a reader of the answer."""
    (tmp_path / "bundle.zip").write_text("earlier")
    manifest = json.loads((model / "model.json").read_text()) | {"trained": said}
    (model / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="does not say with true or false whether the model is trained"):
        bundle.build(model, tmp_path / "bundle.zip")
    assert (tmp_path / "bundle.zip").read_text() == "earlier"


def test_a_symbolic_link_is_refused(model, tmp_path):
    (model / "tiny.onnx").rename(tmp_path / "elsewhere.onnx")
    (model / "tiny.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match="symbolic link"):
        bundle.build(model, tmp_path / "bundle.zip")


@pytest.mark.parametrize("name", ["../labels.txt", "/etc/hostname", "sub/labels.txt", "app.py", "..", "a\\b"])
def test_a_manifest_cannot_name_files_elsewhere_or_replace_code(model, tmp_path, name):
    manifest = json.loads((model / "model.json").read_text())
    manifest["labels"]["file"] = name
    (model / "model.json").write_text(json.dumps(manifest))
    for path in (model / "app.py", model / "a\\b", tmp_path / "labels.txt"):
        shutil.copy(model / "labels.txt", path)
    with pytest.raises(BundleError):
        bundle.build(model, tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"onnx": 1, "labels": 2}', '{"onnx": {"file": "a"}, "labels": {}}']
)
def test_a_manifest_that_is_none_is_refused(model, tmp_path, content):
    (model / "model.json").write_text(content)
    with pytest.raises(BundleError, match=r"model\.json"):
        bundle.build(model, tmp_path / "bundle.zip")


def test_a_failed_build_leaves_the_old_bundle(model, tmp_path, monkeypatch):
    out = tmp_path / "bundle.zip"
    before = bundle.build(model, out).checksum

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(BundleError, match="No space left"):
        bundle.build(model, out)
    assert checksum(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.zip", "model"]


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in (files | {f"{name}-1.0.dist-info/METADATA": b"Name: x"}).items():
            archive.writestr(entry, content)
    return path


def test_vendored_wheels_lie_beside_the_function(model, tmp_path, monkeypatch):
    """pip is replaced by a folder of wheels; what is unpacked and packed again is the builder's own."""
    files = {
        "one/__init__.py": b"ONE = 1",
        "one-1.0.data/purelib/more.py": b"MORE = 1",
        "one-1.0.data/scripts/tool": b"#!python",
    }

    def download(target: VendorTarget, folder: Path) -> None:
        assert target == VendorTarget("3.11", "manylinux_2_28_x86_64")
        wheel(folder, "one", files)
        wheel(folder, "two", {"two.libs/libtwo.so": b"\x7fELF"})

    monkeypatch.setattr("enclave_function.bundle.vendor._download", download)
    target = VendorTarget.parse("python=3.11,platform=manylinux_2_28_x86_64")
    info = bundle.build(model, tmp_path / "a.zip", vendor=target)
    names = {entry.name for entry in info.entries}
    assert {"one/__init__.py", "more.py", "two.libs/libtwo.so", "app.py"} <= names
    assert not any("tool" in name for name in names)
    assert info.vendored == ("one 1.0", "two 1.0")
    assert bundle.build(model, tmp_path / "b.zip", vendor=target).checksum == info.checksum


@pytest.mark.parametrize("name", ["app.py", "photo_classifier/model.py", "model.json"])
def test_a_vendored_package_cannot_replace_the_functions_files(model, tmp_path, monkeypatch, name):
    monkeypatch.setattr(
        "enclave_function.bundle.vendor._download", lambda _, folder: wheel(folder, "evil", {name: b"evil"}) and None
    )
    with pytest.raises(BundleError, match=f"have a file {name}"):
        bundle.build(model, tmp_path / "a.zip", vendor=VendorTarget("3.11", "manylinux_2_28_x86_64"))


def test_what_pip_is_asked_for(model, tmp_path, monkeypatch):
    asked = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(
            command, 1, "", "ERROR: Could not find a version\nERROR: No matching distribution\n"
        )

    monkeypatch.setattr("enclave_function.bundle.vendor.subprocess.run", run)
    with pytest.raises(BundleError, match="No matching distribution"):
        bundle.build(model, tmp_path / "a.zip", vendor=VendorTarget("3.12", "manylinux_2_18_aarch64"))
    (command,) = asked
    assert {"--only-binary=:all:", "--require-hashes", "--no-deps"} <= set(command)
    values = [
        command[index + 1] for index, item in enumerate(command) if item in ("--platform", "--abi", "--python-version")
    ]
    assert values == ["3.12", "cp312", "abi3", "none", "manylinux_2_18_aarch64", "manylinux_2_17_aarch64"]


def test_every_vendored_version_is_pinned_and_hashed_and_what_the_tests_run_with():
    from importlib.metadata import version

    text = (ROOT / "enclave_function" / "requirements-vendor.txt").read_text().replace("\\\n", "")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert [line[0] for line in lines] == [f"{name}=={version(name)}" for name in ("numpy", "onnxruntime", "pillow")]
    for _, *hashes in lines:
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python=3.11",
        "python=2.7,platform=manylinux_2_28_x86_64",
        "python=3.11,platform=win_amd64",
        "python=3.11,platform=manylinux_2_28_x86_64,x=1",
        "python=3.11,platform=--index-url",
    ],
)
def test_a_malformed_target_is_refused(text):
    with pytest.raises(BundleError, match="--vendor"):
        VendorTarget.parse(text)
