"""Small classifiers of the model contract, broken ones, and one exported ResNet50 for the whole run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[2]
TINY_CLASSES = 7


def _classifier(
    *,
    names=("input", "output"),
    batch="N",
    size=224,
    dtype=TensorProto.FLOAT,
    classes=TINY_CLASSES,
    tail=(),
    bias=None,
    scale=1.0,
):
    """An ONNX model: channel means, one linear layer to `classes`, then the `tail` operators on the logits."""
    generator = np.random.default_rng(0)
    weight = (scale * generator.standard_normal((3, classes))).astype(np.float32)
    bias = generator.standard_normal(classes).astype(np.float32) if bias is None else bias
    nodes = [
        helper.make_node("Cast", [names[0]], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["stage0" if tail else names[1]]),
    ]
    for index, (operator, attributes) in enumerate(tail):
        target = names[1] if index == len(tail) - 1 else f"stage{index + 1}"
        nodes.append(helper.make_node(operator, [f"stage{index}"], [target], **attributes))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(names[0], dtype, [batch, 3, size, size])],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def classifier():
    """The function that makes a tiny `onnx.ModelProto`."""
    return _classifier


@pytest.fixture
def tiny(tmp_path):
    """Write a tiny classifier and its labels; returns the path of the ONNX file."""

    def write(name="tiny.onnx", *, labels="labels.txt", **options):
        path = tmp_path / "source" / name
        path.parent.mkdir(exist_ok=True)
        onnx.save(_classifier(**options), path)
        lines = "".join(f"class {index}\n" for index in range(options.get("classes", TINY_CLASSES)))
        path.with_name(labels).write_text(lines)
        return path

    return write


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch):
    """The tests' servers are on this machine, whatever proxy the machine uses for others."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def assets():
    if "BLINDSIGHT_ASSETS" not in os.environ:
        pytest.skip("BLINDSIGHT_ASSETS does not name the folder of test assets")
    return Path(os.environ["BLINDSIGHT_ASSETS"])


@pytest.fixture(scope="session")
def network():
    """ResNet50 with the random weights of seed 0."""
    from model_build import export

    return export.untrained(0)


@pytest.fixture(scope="session")
def exported(network, tmp_path_factory):
    """The plain ONNX export of `network`, one for all processes that run tests. Do not change the file."""
    from model_build import export

    # With several processes, each has a folder in the one that is this run's.
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / "exported" / "resnet50.onnx"
    with (folder / "exported.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            (folder / "exporting").mkdir()
            export.export_onnx(network.module, folder / "exporting" / path.name)
            (folder / "exporting").rename(path.parent)
    return path


@pytest.fixture
def instead_of_exporting(monkeypatch, exported):
    """Replace the slow export: builds of the test get a copy of `exported`, or of the file the test names."""
    from model_build import export

    def use(path):
        monkeypatch.setattr(export, "export_onnx", lambda _module, target: shutil.copyfile(path, target))

    use(exported)
    return use


@pytest.fixture
def few_inputs(monkeypatch):
    """Compare with torch on two inputs instead of 24, where the test is about something else."""
    from model_build import check

    monkeypatch.setattr(check, "BATCH_SIZES", (1, 1))


@pytest.fixture(scope="session")
def perturbed(exported, tmp_path_factory):
    """The plain export with one of its 25 million weights changed."""
    model = onnx.load(exported)
    weight = next(initializer for initializer in model.graph.initializer if initializer.name == "conv1.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 3, 3] += 0.5
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path = tmp_path_factory.mktemp("perturbed") / "resnet50.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def without():
    """Run the command line in a process of its own where the named packages cannot be imported."""

    def run(packages, *arguments):
        block = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(','))); "
        start = "from model_build.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", block + start, ",".join(packages), *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    return run
