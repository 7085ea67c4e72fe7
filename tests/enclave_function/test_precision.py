"""The function serves the precision that its manifest names and no other, with the same logits from shared files."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build import manifest as made
from model_build import quantise
from model_build.precision import Precision
from photo_classifier import manifest, model, precision
from photo_classifier.manifest import ModelError
from tests.support.networks import write_network

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def float32(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("float32"))


@pytest.fixture(scope="session")
def int8(float32, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8") / "model"
    quantise.quantise(out, float32, photos=None, say=lambda _line: None)
    return out


def edited(source: Path, folder: Path, **changes) -> Path:
    shutil.copytree(source, folder)
    content = json.loads((folder / "model.json").read_bytes()) | changes
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def test_an_int8_model_is_served_and_says_so(int8, load_app):
    app = load_app(int8)
    assert app.ready()["model"]["precision"] == "int8"
    assert len(app.classify(np.zeros((1, 3, 224, 224), np.float32).tobytes())["predictions"]) == 5


def test_a_float32_model_says_so(tiny, load_app):
    assert load_app(tiny.folder).ready()["model"]["precision"] == "float32"


def test_an_int8_graph_is_not_served_as_float32(int8, tmp_path, load_app):
    folder = edited(int8, tmp_path / "m", precision=None)
    with pytest.raises(ModelError, match=r"network\.int8\.onnx computes in int8, and model\.json says float32"):
        load_app(folder)


def test_a_float32_graph_is_not_served_as_int8(float32, tmp_path, load_app):
    folder = shutil.copytree(float32, tmp_path / "m")
    described = made.read(folder)
    kept = {name: getattr(described, name) for name in ("name", "version", "trained", "weights", "onnx", "versions")}
    false = made.of_facts(described.facts, described.labels, precision=Precision(name="int8"), **kept)
    (folder / "model.json").write_bytes(false.canonical())
    with pytest.raises(ModelError, match=r"network\.onnx computes in float32, and model\.json says int8"):
        load_app(folder)


def test_a_precision_in_the_first_format_is_refused(float32, tmp_path, load_app):
    folder = edited(float32, tmp_path / "m", precision={"name": "float32"})
    with pytest.raises(ModelError, match="names a precision, which blindsight-model/1 does not have"):
        load_app(folder)


@pytest.mark.parametrize("said", [{}, {"name": "int4"}, {"name": ["int8"]}, "int8", 8, {"name": True}])
def test_a_precision_that_is_none_is_refused(int8, tmp_path, said, load_app):
    with pytest.raises(ModelError, match="malformed"):
        load_app(edited(int8, tmp_path / "m", precision=said))


def hidden(*, where: str) -> onnx.ModelProto:
    """A classifier of three classes whose only integers are in a branch, or in a function of the model."""
    pair = [
        helper.make_node("QuantizeLinear", ["flat", "scale", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["output"]),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.uint8(128), "zero"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    functions = []
    if where == "graph":
        nodes += pair
    elif where == "branch":
        branch = helper.make_graph(
            pair, "branch", [], [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
        )
        nodes.append(helper.make_node("If", ["true"], ["output"], then_branch=branch, else_branch=branch))
    else:
        nodes.append(helper.make_node("Round", ["flat", "scale", "zero"], ["output"], domain="own"))
        functions.append(
            helper.make_function(
                "own", "Round", ["flat", "scale", "zero"], ["output"], pair, [helper.make_opsetid("", 17)]
            )
        )
    graph = helper.make_graph(
        nodes,
        "hidden",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


@pytest.mark.parametrize("where", ["graph", "branch", "function"])
def test_integers_are_found_wherever_they_are(where, write_manifest, tmp_path):
    path = tmp_path / "hidden.onnx"
    onnx.save(hidden(where=where), path)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    write_manifest(tmp_path, "hidden.onnx", "labels.txt")
    with pytest.raises(ModelError, match=r"computes in int8, and model\.json says float32"):
        manifest.read(tmp_path)


def test_a_graph_is_read_in_every_state_of_damage(int8):
    """Cut anywhere or with any byte changed, it is read to an end, or refused with the one error for that."""
    content = (int8 / "network.int8.onnx").read_bytes()
    generator = np.random.default_rng(0)
    outcomes = Counter()
    for _ in range(300):
        damaged = bytearray(content[: generator.integers(1, 20_000)])
        damaged[generator.integers(len(damaged))] = generator.integers(256)
        try:
            outcomes[precision.found(memoryview(damaged))] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100


def test_a_field_that_never_ends_is_refused():
    with pytest.raises(ValueError, match="more than 32 bits"):
        precision.found(memoryview(b"\xff" * 64))


def test_shared_files_hold_integer_layers_and_give_the_same_logits(int8, tmp_path):
    files = manifest.read(int8)
    tensors = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)
    direct = model.load(files).logits(tensors, threads=1)
    shared = model.load(files, thread_counts=(1, 2), shared=tmp_path)
    (graph,) = tmp_path.rglob("model.onnx")
    found = Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)
    assert found["QLinearConv"] == 6
    assert not {"Conv", "FusedConv"} & found.keys()
    again = model.load(files, shared=tmp_path)
    for loaded, threads in ((shared, 1), (shared, 2), (again, 1)):
        assert np.array_equal(loaded.logits(tensors, threads=threads), direct)
        one_by_one = [loaded.logits(tensors[index : index + 1], threads=threads) for index in range(3)]
        assert np.array_equal(np.concatenate(one_by_one), direct)


def test_the_function_needs_no_package_of_the_builders(int8, tmp_path):
    """Neither onnx nor onnxruntime.quantization: the enclave has numpy, onnxruntime and Pillow."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from photo_classifier import manifest, model;"
        "model.load(manifest.read(Path(sys.argv[2])));"
        "print(sorted(name for name in sys.modules if name == 'onnx' or name.startswith('onnxruntime.quant')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "enclave_function"), str(int8)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_product_that_is_tried_is_the_one_it_says():
    """`model._PRODUCT`, made anew; with other sums than 255 · 127 · 32, the exact product is asked for."""
    kinds = {"a": TensorProto.UINT8, "b": TensorProto.INT8, "c": TensorProto.INT32}
    shapes = {"a": ["n", "k"], "b": ["k", "m"], "c": ["n", "m"]}
    a, b, c = (helper.make_tensor_value_info(name, kinds[name], shapes[name]) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "p", [a, b], [c])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert made.SerializeToString(deterministic=True) == model._PRODUCT
    if "vnni" in Path("/proc/cpuinfo").read_text():
        assert model._cuts_sums() is False


def test_a_processor_that_cuts_sums_off_gives_the_same_logits(int8, monkeypatch):
    """Of the two products, that is; `test_session.py` tests that the exact one is asked for."""
    files = manifest.read(int8)
    tensors = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    fast = model.load(files).logits(tensors, threads=1)
    monkeypatch.setattr(model, "_cuts_sums", lambda: True)
    exact = model.load(files).logits(tensors, threads=1)
    if "vnni" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("only one of the two products is exact here")
    assert np.array_equal(fast, exact)


_LOGITS = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import numpy as np
from pathlib import Path
from photo_classifier import manifest, model
files = manifest.read(Path(sys.argv[2]))
tensor = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
found = [model._cuts_sums(), model.load(files).logits(tensor, threads=1).tolist()]
model._cuts_sums = lambda: False
print(json.dumps([*found, model.load(files).logits(tensor, threads=1).tolist()]))
"""


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64", reason="needs Debian's qemu-user, on x86-64"
)
def test_a_processor_without_vnni_gives_the_same_logits(int8):
    """On an emulated Haswell, which has AVX2 alone; there, what ONNX Runtime does by itself gives others."""
    files = manifest.read(int8)
    tensor = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    here = model.load(files).logits(tensor, threads=1)
    python = [str(Path(sys.executable).resolve()), "-c", _LOGITS, json.dumps(sys.path), str(int8)]
    done = subprocess.run(
        ["qemu-x86_64", "-cpu", "Haswell", *python],
        capture_output=True, text=True, check=False, timeout=120, env={"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cuts, there, by_itself = json.loads(done.stdout)
    assert cuts is True
    assert np.array_equal(np.array(there, dtype=np.float32), here)
    assert np.abs(np.array(by_itself) - here).max() > 0.01 * np.ptp(here)
