"""Loading: what is verified, what is refused, what is shared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from photo_classifier import manifest, model
from photo_classifier.manifest import ModelError


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "model"))


def edit(folder: Path, **changes) -> None:
    content = json.loads((folder / "model.json").read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for parent in parents:
            target = target[parent]
        target[last] = value
    (folder / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt"])
def test_one_changed_bit_stops_the_start(folder, name, load_app):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} does not have the SHA-256"):
        load_app(folder)


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt", "model.json"])
def test_a_missing_file_stops_the_start(folder, name, load_app):
    (folder / name).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_app(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "blindsight-model/3"}, "not a blindsight-model/1"),
        ({"onnx__file": "../model/tiny.onnx"}, "outside its own folder"),
        ({"labels__file": ".."}, "outside its own folder"),
        ({"labels__count": 999}, "number of classes"),
        ({"output__shape": ["N", 1001]}, "number of classes"),
        ({"output__activation": "sigmoid"}, "activation"),
        ({"input__shape": ["N", 3, 299, 299]}, "another size"),
        ({"preprocessing__interpolation": "bicubic"}, "resampling"),
        ({"preprocessing__antialias": False}, "resampling"),
        ({"preprocessing__crop": 300}, "crop"),
        ({"preprocessing__mean": [0.5]}, "three means"),
        ({"preprocessing": None}, "malformed"),
        ({"input__name": "other"}, "cannot run"),
        ({"output__name": "other"}, "cannot run"),
    ],
)
def test_a_manifest_that_this_function_cannot_follow_is_refused(folder, changes, message, load_app):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_app(folder)


@pytest.mark.parametrize(
    "content",
    ["\ufeff{}\n", "{}\n\n \n", "{}\r\n\r\n"],
    ids=["byte order mark", "empty lines last", "Windows, and an empty line"],
)
def test_what_editors_leave_in_the_labels_is_in_no_answer(folder, content):
    labels = [f"class {index}" for index in range(1000)]
    text = content.format("\r\n".join(labels) if "\r" in content else "\n".join(labels)).encode()
    (folder / "labels.txt").write_bytes(text)
    edit(folder, labels__sha256=hashlib.sha256(text).hexdigest())
    assert list(manifest.read(folder).labels) == labels


def test_a_graph_that_is_none_is_refused(folder):
    (folder / "tiny.onnx").write_bytes(b"no graph")
    edit(folder, onnx__sha256=hashlib.sha256(b"no graph").hexdigest())
    with pytest.raises(ModelError, match="no ONNX graph"):
        model.load(manifest.read(folder))


def test_an_output_of_another_width_is_refused(make_model, load_app):
    ten = make_model(10)
    (ten.folder / "labels.txt").write_text("".join(f"{index}\n" for index in range(11)))
    digest = hashlib.sha256((ten.folder / "labels.txt").read_bytes()).hexdigest()
    edit(ten.folder, labels__sha256=digest, labels__count=11, output__shape=["N", 11])
    with pytest.raises(ModelError, match="output"):
        load_app(ten.folder)


def test_shared_weights_give_the_same_logits(tiny, tmp_path):
    files = manifest.read(tiny.folder)
    shared = tmp_path / "shared"
    tensors = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)
    direct = model.load(files).logits(tensors, threads=1)
    first = model.load(files, thread_counts=(1, 2), shared=shared)
    written = {path: path.stat().st_mtime_ns for path in shared.rglob("*")}
    second = model.load(files, shared=shared)
    assert {path: path.stat().st_mtime_ns for path in shared.rglob("*")} == written
    for loaded in (first, second):
        assert np.array_equal(loaded.logits(tensors, threads=1), direct)
    assert np.allclose(direct, tiny.logits(tensors), atol=1e-5)


def test_shared_weights_are_mapped_not_copied(tiny, tmp_path):
    loaded = model.load(manifest.read(tiny.folder), shared=tmp_path)
    assert loaded.thread_counts == (1,)
    assert str(tmp_path) in Path("/proc/self/maps").read_text()


def test_workers_that_start_at_once_agree(tiny, tmp_path):
    program = (
        "import sys; from pathlib import Path; from photo_classifier import manifest, model\n"
        "model.load(manifest.read(Path(sys.argv[1])), shared=Path(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", program, str(tiny.folder), str(tmp_path)], env=environment)
        for _ in range(3)
    ]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    (place,) = tmp_path.iterdir()
    assert sorted(path.name for path in place.iterdir()) == ["model.onnx", "model.weights"]


def test_a_folder_that_cannot_be_used_for_sharing_is_reported(tiny, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ModelError, match="shared weights"):
        model.load(manifest.read(tiny.folder), shared=blocked / "folder")


def test_the_function_starts_from_any_folder_as_cape_starts_it(tiny, tmp_path):
    """`app.py` at the root, `photo_classifier` beside it, nothing else on the path."""
    source = Path(manifest.__file__).parents[1]
    shutil.copytree(tiny.folder, tmp_path, dirs_exist_ok=True)
    shutil.copy(source / "app.py", tmp_path)
    shutil.copytree(source / "photo_classifier", tmp_path / "photo_classifier")
    program = "import json, app; print(len(json.loads(app.cape_handler(bytes(602112)))))"
    for cwd, path in ((tmp_path, "."), (Path("/"), str(tmp_path))):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=cwd,
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr, done.returncode) == ("5\n", "", 0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("working_folder", ["another", "the model's"])
def test_weights_in_further_files_are_not_taken(folder, tmp_path, monkeypatch, shared, working_folder):
    """The digest is of the graph alone: other weights beside it would make another model of the same digest.

    A worker's working folder is the one of the model.
    """
    import onnx

    monkeypatch.chdir(folder if working_folder == "the model's" else "/")
    graph = onnx.load(folder / "tiny.onnx")
    onnx.save(graph, folder / "tiny.onnx", save_as_external_data=True, location="more.bin", size_threshold=0)
    assert (folder / "more.bin").stat().st_size
    content = (folder / "tiny.onnx").read_bytes()
    edit(folder, onnx__sha256=hashlib.sha256(content).hexdigest(), onnx__bytes=len(content))
    files = manifest.read(folder)
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        model.load(files, shared=tmp_path / "shared" if shared else None)
