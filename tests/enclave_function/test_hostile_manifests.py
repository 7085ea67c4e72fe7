"""No manifest makes a reader do more than refuse it, in one line, at once and within little memory."""

from __future__ import annotations

import copy
import json
import shutil
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from bundle import BundleError
from bundle.reader import manifest_files
from model_build import manifest as built
from model_build.cli import main
from model_build.errors import ContractError
from photo_classifier import manifest
from photo_classifier.manifest import ModelError
from tests.support.graphs import Graph
from tests.support.networks import write_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HUGE = 10**400
NAN, INFINITE = float("nan"), float("inf")

ANYWHERE: list[Any] = [None, [], {}, True, "", "text", -1, 0, 1.5, HUGE, -HUGE, 1e308, NAN, INFINITE, [[]], ["text"]]
"""Values that are wrong in most places. Where one is right, `RIGHT` says so."""

PLACES = {
    "first": (
        "format", "name", "version", "trained", "onnx", "onnx.file", "onnx.sha256", "input", "input.name",
        "input.shape", "output", "output.name", "output.shape", "output.activation", "preprocessing",
        "preprocessing.resize", "preprocessing.crop", "preprocessing.interpolation", "preprocessing.antialias",
        "preprocessing.mean", "preprocessing.std", "labels", "labels.file", "labels.count", "labels.sha256",
        "formats", "decoding", "notice", "input.dtype",
    ),
    "second": (
        "format", "name", "version", "trained", "onnx", "onnx.file", "onnx.sha256", "input", "input.name",
        "input.layout", "input.size", "input.batch", "input.dtype", "output", "output.name", "output.classes",
        "output.activation", "output.applied_by", "output.dtype", "preprocessing", "preprocessing.resize",
        "preprocessing.crop", "preprocessing.interpolation", "preprocessing.antialias", "preprocessing.scale",
        "preprocessing.mean", "preprocessing.std", "preprocessing.channels", "labels", "labels.file", "labels.count",
        "labels.sha256", "labels.offset", "formats", "decoding", "precision", "precision.name", "notice",
    ),
}  # fmt: skip

RIGHT = {
    ("name", "text"), ("version", "text"), ("notice", "text"), ("trained", True), ("preprocessing.antialias", True),
    ("preprocessing.scale", 1.5), ("labels.offset", 0), ("notice", None), ("formats", None), ("decoding", None),
    ("precision", None), ("input.name", "text"), ("output.name", "text"),
}  # fmt: skip

NOT_THE_READERS = {("onnx.file", "text"), ("labels.file", "text"), ("output.classes", 10**9)}
"""What the builder compares with the files (`check_directory`), and not when it reads the manifest."""

THREE = "preprocessing.mean", "preprocessing.std"

MORE = [
    *((place, [value, 0.5, 0.5]) for place in THREE for value in (NAN, INFINITE, HUGE, 1e300, "0.5", True, None, [])),
    *((place, value) for place in THREE for value in ("123", {"0": 1, "1": 1, "2": 1}, [1, 1], [1, 1, 1, 1])),
    *(("preprocessing.std", [value, 0.5, 0.5]) for value in (0, -0.5, -0.0, 1e-320)),
]
"""Values for both formats."""

MORE_OF_THE_SECOND = [
    *(("preprocessing.scale", value) for value in (-1.0, 0, -0.0, 1e300, 1e-320)),
    *(("input.size", [value, 64]) for value in (0, -1, True, 64.0, "64", 10**9, HUGE, None)),
    *(("preprocessing.resize", value) for value in (10**9, [10**9, 10**9], [True, True], [64.0, 96.0], [64], HUGE)),
    *(("input.batch", value) for value in (10**9, 1 << 31, 0, -1, 1.0, "1")),
    ("output.classes", 10**9),
    ("output.classes", 7.0),
    ("labels.count", 7.0),
    ("labels.offset", True),
    ("formats", ["jpeg", 1]),
    ("formats", ["jpeg", "x\ny"]),
    ("decoding", {"dct_scaling": 1}),
    ("input.layout", "N\n" * 10_000),
    ("preprocessing.channels", "\ud800"),
    ("onnx.file", "a\nb"),
    ("onnx.file", "\0"),
    ("onnx.file", "x" * 5000),
    ("labels.file", "."),
]

TEXTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "a number": b"1",
    "text": b'"blindsight-model/1"',
    "a number of 400 digits": b"1" * 400,
    "a number of 10000 digits": b"1" * 10_000,
    "deeply nested lists": b"[" * 200_000,
    "deeply nested objects": b'{"a":' * 200_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"format": "blindsight-model/1"}'.encode("utf-16"),
    "no UTF-8": b'{"format": "\xff"}',
    "Latin-1": '{"name": "é"}'.encode("latin-1"),
    "NaN": b"NaN",
    "zeros": bytes(100_000),
    "2 MB": b'{"format": "blindsight-model/1"}' + b" " * 2_000_000,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model directory of each format."""
    second = tmp_path_factory.mktemp("second")
    (second / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    source = Graph(layout="NHWC", size=(64, 96)).save(second / "any.onnx")
    assert main(["build", "--onnx", str(source), "--out", str(second / "model")]) == 0
    return {"first": write_network(tmp_path_factory.mktemp("first"), layers=1), "second": second / "model"}


@pytest.fixture
def write(folders, tmp_path) -> Callable[[str, bytes], Path]:
    def write(which: str, content: bytes) -> Path:
        folder = tmp_path / "m"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(folders[which], folder)
        (folder / "model.json").write_bytes(content)
        return folder

    return write


def edited(folder: Path, place: str, value: object) -> bytes:
    content = json.loads((folder / "model.json").read_bytes())
    *parents, last = place.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
    target[last] = copy.deepcopy(value)
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def refuse(read: Callable[[], object], kind: type[Exception]) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(Exception, match=r".") as caught:
        read()
    took = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(caught.value) is kind, repr(caught.value)[:300]
    for line in (str(caught.value), getattr(caught.value, "next_step", "")):
        assert len(line) < 700
        assert line.isprintable(), line
    assert took < 2
    assert peak < 64 << 20


CASES = [
    pytest.param(which, place, value, id=f"{which}-{place}-{str(value)[:20]!a}-{index}")
    for which in ("first", "second")
    for index, (place, value) in enumerate(
        [
            *((place, value) for place in PLACES[which] for value in ANYWHERE),
            *MORE,
            *(MORE_OF_THE_SECOND if which == "second" else ()),
        ]
    )
    if not any(place == right and type(value) is type(of) and value == of for right, of in RIGHT)
]


@pytest.mark.parametrize(("which", "place", "value"), CASES)
def test_a_wrong_value_is_refused_by_function_and_builder(folders, write, which, place, value):
    folder = write(which, edited(folders[which], place, value))
    refuse(lambda: manifest.read(folder), ModelError)
    if not any((place, value) == each for each in NOT_THE_READERS):
        refuse(lambda: built.read(folder), ContractError)


@pytest.mark.parametrize("which", ["first", "second"])
def test_each_value_that_is_named_as_right_is_taken(folders, write, which):
    for place, value in RIGHT:
        if place not in PLACES[which] or value is None or (which, place) == ("first", "input.name"):
            continue
        content = json.loads(edited(folders[which], place, value))
        folder = write(which, rfc8785.dumps(content))
        manifest.read(folder)
        if (which, place) != ("first", "output.name"):  # The builder knows one name in this format.
            built.read(folder)


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize(
    "place", ["name", "trained", "onnx", "input.name", "output", "preprocessing.std", "labels.count"]
)
def test_a_missing_member_is_refused(folders, write, which, place):
    content = json.loads((folders[which] / "model.json").read_bytes())
    *parents, last = place.split(".")
    target = content
    for parent in parents:
        target = target[parent]
    del target[last]
    folder = write(which, rfc8785.dumps(content))
    refuse(lambda: manifest.read(folder), ModelError)
    if which == "second" or not parents or parents == ["labels"]:  # The rest has defaults in the first format.
        refuse(lambda: built.read(folder), ContractError)


@pytest.mark.parametrize("text", TEXTS)
def test_another_text_is_refused_by_every_reader(write, text):
    folder = write("first", TEXTS[text])
    refuse(lambda: manifest.read(folder), ModelError)
    refuse(lambda: built.read(folder), ContractError)
    refuse(lambda: built.beside(folder / "network.onnx"), ContractError)
    refuse(lambda: manifest_files(TEXTS[text]), BundleError)


@pytest.mark.parametrize("member", ["name", "format", "onnx"])
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_member_that_comes_twice_is_refused(folders, write, which, member):
    """Readers take the first or the last, so the manifest would say two things."""
    content = (folders[which] / "model.json").read_bytes()
    value = json.dumps(json.loads(content)[member]).encode()
    folder = write(which, b'{"' + member.encode() + b'":' + value + b"," + content[1:])
    graph = folder / json.loads(content)["onnx"]["file"]
    refuse(lambda: manifest.read(folder), ModelError)
    refuse(lambda: built.read(folder), ContractError)
    refuse(lambda: built.beside(graph), ContractError)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 400, b"1" * 5000])
@pytest.mark.parametrize("place", [b"versions", b"unknown"])
def test_numbers_that_json_cannot_hold_are_refused_wherever_they_are(folders, write, number, place):
    content = (folders["second"] / "model.json").read_bytes().replace(b'"versions":', b'"old":', 1)
    folder = write("second", b'{"' + place + b'":' + number + b"," + content[1:])
    refuse(lambda: built.read(folder), ContractError)
    if not number.isdigit() or len(number) > 4300:
        refuse(lambda: manifest.read(folder), ModelError)


def test_the_other_manifests_are_taken(folders):
    for folder in folders.values():
        manifest.read(folder)
        built.read(folder)
