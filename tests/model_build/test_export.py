"""The export of ResNet50, and what is known about the weights it is made of."""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

from model_build import export, manifest, optimise, weights
from model_build.contract import Classifier
from model_build.errors import WeightsError


@pytest.fixture(scope="module")
def weights_file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.pth"
    torch.save(network.module.state_dict(), path)
    return path


def test_graph_is_clean_and_within_the_contract(exported):
    graph = onnx.load(exported).graph
    operators = collections.Counter(node.op_type for node in graph.node)
    assert operators["Conv"] == 53
    assert "BatchNormalization" not in operators
    assert not any(node.metadata_props or node.doc_string for node in graph.node)
    assert [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] == ["N", 3, 224, 224]
    assert [dim.dim_param or dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim] == ["N", 1000]
    assert Classifier(exported).classes == 1000


def test_weights_are_in_the_file_and_paths_are_not(exported):
    content = exported.read_bytes()
    assert len(content) > 25_000_000 * 4
    assert b"site-packages" not in content
    assert list(exported.parent.iterdir()) == [exported]


@pytest.mark.timeout(600)  # Starts torch and exports again, which a busy machine takes minutes for.
def test_same_seed_gives_the_same_file_in_another_process(exported, tmp_path):
    script = (
        "import pathlib, sys\n"
        "from model_build import export, optimise\n"
        "plain, optimised = map(pathlib.Path, sys.argv[1:])\n"
        "export.export_onnx(export.untrained(0).module, plain)\n"
        "optimise.optimise(plain, optimised)\n"
    )
    plain, optimised, here = (tmp_path / name for name in ("plain.onnx", "optimised.onnx", "here.onnx"))
    subprocess.run([sys.executable, "-c", script, plain, optimised], cwd=Path(__file__).parents[2], check=True)
    assert manifest.file_sha256(plain) == manifest.file_sha256(exported)
    optimise.optimise(exported, here)
    assert manifest.file_sha256(optimised) == manifest.file_sha256(here)


def test_seed_decides_the_weights(network):
    state = torch.random.get_rng_state()
    again, other = export.untrained(0), export.untrained(1)
    assert again.weights == network.weights
    assert other.weights.sha256 != network.weights.sha256
    assert other.weights.name == "untrained, seed 1"
    assert torch.equal(torch.random.get_rng_state(), state)  # The caller's generator is left alone.


def test_description_comes_from_torchvision(network):
    assert not network.trained
    assert network.preprocessing == manifest.Preprocessing()
    assert len(network.categories) == 1000
    assert network.categories[207] == "golden retriever"


def test_weights_file_is_loaded(network, weights_file):
    loaded = export.trained(weights_file)
    assert loaded.trained
    assert loaded.weights == manifest.Weights(name="own.pth", sha256=manifest.file_sha256(weights_file))
    assert loaded.version == loaded.weights.sha256[:12]
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], tensor)


def test_published_weights_are_recognised_by_digest():
    members = export.torchvision.models.ResNet50_Weights
    assert export._published(weights.RESNET50.sha256) is members.IMAGENET1K_V2
    assert export._published("0676ba61" + "0" * 56) is members.IMAGENET1K_V1  # resnet50-0676ba61.pth
    # For the default the whole digest is known, so its first digits are not enough.
    assert export._published(weights.RESNET50.sha256[:8] + "0" * 56) is None


def test_weights_that_are_not_what_their_name_announces_are_refused(weights_file, tmp_path):
    path = tmp_path / weights.RESNET50.name
    path.symlink_to(weights_file)
    with pytest.raises(WeightsError, match="its name announces SHA-256 11ad3fa6"):
        export.trained(path)


def test_truncated_weights_are_refused(weights_file, tmp_path):
    path = shutil.copyfile(weights_file, tmp_path / "cut.pth")
    with path.open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        export.trained(path)


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(10, 2048)}, torch.zeros(3), "text"])
def test_other_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not hold the weights"):
        export.trained(tmp_path / "other.pth")


class Payload:
    """Pickles to a call of `print`: what a malicious weights file would do with worse."""

    def __reduce__(self):
        return print, ("weights files must not run code",)


def test_weights_that_run_code_are_refused(tmp_path, capsys):
    torch.save({"fc.weight": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError):
        export.trained(tmp_path / "evil.pth")
    assert "weights files must not run code" not in capsys.readouterr().out
