"""The exported graph, its manifest and its card, with untrained and hardly trained networks."""

import io
import json
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

from model_build import check, cli, manifest
from model_build.contract import relative_difference
from model_build.errors import ContractError, DifferenceError
from model_build.offline import card, data, evaluate, export, loop, record
from model_build.offline.network import Network, OfflineModel, eight_bits

CLASSES = ("cat", "dog", "horse")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(11)
    network = Network(len(CLASSES), widths=(8, 16, 24))
    network.fit_whitening(torch.randn(20, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    return out, *export.export([network], CLASSES, 11, out)


def test_network_gives_a_logit_a_class(network):
    with torch.inference_mode():
        assert network(torch.randn(4, 3, 32, 32)).shape == (4, len(CLASSES))


def test_whitening_makes_patches_uncorrelated():
    mixing = torch.tensor([[1.0, 0.5, 0.2], [0.0, 1.0, 0.7], [0.0, 0.0, 1.0]])
    pictures = torch.einsum("ij,njhw->nihw", mixing, torch.randn(400, 3, 32, 32))
    network = Network(2, widths=(8,))
    network.fit_whitening(pictures)
    with torch.inference_mode():
        half = network.whiten(pictures)[:, :12].permute(1, 0, 2, 3).reshape(12, -1)
    torch.testing.assert_close(torch.cov(half), torch.eye(12), atol=0.02, rtol=0)


def test_logits_are_those_of_six_views(network):
    small = torch.randn(2, 3, 32, 32)
    padded = torch.nn.functional.pad(small, (1, 1, 1, 1), mode="reflect")
    views = {"same": (small, 0.5), "up": (padded[..., :32, :32], 0.25), "down": (padded[..., 2:, 2:], 0.25)}
    with torch.inference_mode():
        expected = sum(weight * (network(view) + network(view.flip(-1))) / 2 for view, weight in views.values())
        torch.testing.assert_close(OfflineModel([network]).eval().logits(small), expected)


def test_folding_changes_no_more_than_rounding_does(network):
    torch.manual_seed(13)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_()
    pictures = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        assert relative_difference(network(pictures).numpy(), network.folded()(pictures).numpy()) < 2e-2
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.folded().modules())


def test_weights_are_stored_as_bytes_and_lose_nothing(network, exported):
    out, _, _ = exported
    stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(out / "offline.onnx").graph.initializer}
    levels = {name.removesuffix(".levels"): values for name, values in stored.items() if name.endswith(".levels")}
    weights = {tuple(p.shape): p.detach().numpy() for p in network.folded().parameters() if p.numel() >= 1024}
    large = {shape: values for shape, values in weights.items() if len(shape) == 4}
    assert {values.shape for values in levels.values()} == set(large)
    for name, values in levels.items():
        assert values.dtype == np.int8
        product = values.astype(np.float32) * stored[f"{name}.scales"]
        np.testing.assert_array_equal(product, large[values.shape])


def test_eight_bits_of_eight_bits_are_the_same():
    weights = np.random.default_rng(5).normal(0, 0.1, (40, 8, 3, 3)).astype(np.float32)
    weights[7] = 0
    levels, scales = eight_bits(weights)
    assert np.abs(levels).max(axis=(1, 2, 3)).tolist() == [0 if channel == 7 else 127 for channel in range(40)]
    assert np.abs(levels * scales - weights).max() <= scales.max() / 2 * 1.001
    again, same = eight_bits(levels * scales)
    np.testing.assert_array_equal(again * same, levels * scales)


def test_the_logits_are_the_mean_over_the_networks(network):
    torch.manual_seed(14)
    other = Network(len(CLASSES), widths=(8, 8)).eval()
    pictures = torch.randn(3, 3, 224, 224)
    with torch.inference_mode():
        alone = [OfflineModel([each]).eval()(pictures) for each in (network, other)]
        torch.testing.assert_close(OfflineModel([network, other]).eval()(pictures), (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_onnxruntime_computes_what_torch_computes(network, exported, count):
    _, _, classifier = exported
    pictures = torch.randn(count, 3, 224, 224)
    with torch.inference_mode():
        reference = OfflineModel([network.folded()]).eval()(pictures).numpy()
    assert relative_difference(reference, classifier.logits(pictures.numpy())) < 1e-4


def test_manifest_describes_the_model_directory(network, exported):
    out, made, _ = exported
    assert check.check_directory(out) == made
    assert (out / "model.json").read_bytes() == made.canonical()
    content = json.loads((out / "model.json").read_bytes())
    assert content["format"] == "blindsight-model/1"
    assert (content["name"], content["version"], content["trained"]) == ("offline-cifar10", "2", True)
    assert content["weights"] == {
        "name": "offline-cifar10-seed11",
        "sha256": export.state_sha256(OfflineModel([network.folded()])),
    }
    assert content["onnx"]["file"] == "offline.onnx"
    assert content["output"] == {"name": "output", "shape": ["N", 3], "activation": "softmax"}
    assert content["labels"]["file"] == "cifar10_classes.txt"
    assert (out / "cifar10_classes.txt").read_text() == "cat\ndog\nhorse\n"
    assert set(content["versions"]) == {"onnx", "onnxruntime", "onnxscript", "torch"}


def test_the_same_network_gives_the_same_files(network, exported, tmp_path):
    out, made, _ = exported
    again, _ = export.export([network], CLASSES, 11, tmp_path)
    assert again.digest() == made.digest()
    assert (tmp_path / "offline.onnx").read_bytes() == (out / "offline.onnx").read_bytes()


def test_a_graph_that_computes_something_else_is_refused(exported):
    _, _, classifier = exported
    torch.manual_seed(12)
    other = OfflineModel([Network(len(CLASSES), widths=(8, 16, 24))]).eval()
    with pytest.raises(DifferenceError):
        export.compare_with_torch(other, classifier)


def test_a_graph_too_large_for_the_repository_leaves_no_manifest(exported, network, tmp_path, monkeypatch):
    graph = (exported[0] / "offline.onnx").read_bytes()
    (tmp_path / manifest.FILE_NAME).write_text("of the model before")
    monkeypatch.setattr(export, "export_onnx", lambda _module, path: path.write_bytes(graph))
    monkeypatch.setattr(export, "LARGEST_ONNX", 10_000)
    with pytest.raises(ContractError, match="more than 10000"):
        export.export([network], CLASSES, 11, tmp_path)
    assert not (tmp_path / manifest.FILE_NAME).exists()


def test_evaluation_counts_answers_by_class(exported):
    _, _, classifier = exported
    generator = np.random.default_rng(4)
    pixels = generator.integers(0, 256, (60, 224, 224, 3), dtype=np.uint8)  # More than a batch.
    answers = np.concatenate([classifier.logits(evaluate.normalise(p[np.newaxis])) for p in pixels]).argmax(1)
    labels = generator.integers(0, 3, 60)
    expected = np.zeros((3, 3), dtype=int)
    np.add.at(expected, (labels, answers), 1)
    found = evaluate.evaluate_crops(classifier, zip(pixels, labels, strict=True))
    assert found.confusion == tuple(map(tuple, expected.tolist()))
    assert found.pictures == 60
    assert found.accuracy == pytest.approx((labels == answers).mean())
    assert found.class_accuracies == pytest.approx(expected.diagonal() / expected.sum(axis=1))


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "shades.zip"
    generator = np.random.default_rng(8)
    with zipfile.ZipFile(path, "w") as file:
        for split, count in (("train", 20), ("test", 4)):
            for name, level in (("dark", 50), ("light", 200)):
                for number in range(count):
                    pixels = generator.normal(level, 15, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                    picture = io.BytesIO()
                    Image.fromarray(pixels).save(picture, "JPEG")
                    file.writestr(f"{split}/{name}/{number}.jpg", picture.getvalue())
    return path


def test_command_goes_from_an_archive_to_a_model_with_a_card(archive, tmp_path, capsys):
    out, work = tmp_path / "model", tmp_path / "work"
    options = ["--data", str(archive), "--out", str(out), "--work", str(work), "--epochs", "2", "--device", "cpu"]
    assert cli.main(["train-offline", *options, "--seed", "7"]) == 0
    made = check.check_directory(out)
    assert made.onnx.bytes <= 5_000_000
    lines = capsys.readouterr().err
    assert lines.count("epoch 2/2") == len(loop.MEMBERS)
    assert made.digest().hex() in lines

    measured = json.loads((work / record.FILE_NAME).read_text())
    assert measured["seed"] == 7
    assert measured["model_digest"] == made.digest().hex()
    assert sum(map(sum, measured["evaluation"]["confusion"])) == 8
    assert measured["archive_sha256"] == manifest.file_sha256(archive)
    text = (out / card.FILE_NAME).read_text()
    for fact in (
        measured["model_digest"],
        measured["archive_sha256"],
        f"**{measured['accuracy']:.2%}** of 8 test pictures",
        "--seed 7",
        "40 pictures train",
        measured["hardware"],
        f"| light | {measured['class_accuracies']['light']:.1%} |",
        "| dark | " + " | ".join(map(str, measured["evaluation"]["confusion"][0])) + " |",
    ):
        assert fact in text, fact


@pytest.mark.parametrize(
    ("option", "reason"),
    [(["--data", "missing.zip"], "missing.zip cannot be read"), (["--device", "abacus"], "abacus is not a device")],
)
def test_command_explains_what_it_cannot_do(archive, tmp_path, capsys, option, reason):
    options = ["--data", str(archive), "--out", str(tmp_path / "model"), "--work", str(tmp_path / "work"), *option]
    assert cli.main(["train-offline", *options]) == 1
    lines = capsys.readouterr().err
    assert reason in lines
    assert "next:" in lines
    assert "Traceback" not in lines
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("epochs", ["0", "-1", "many"])
def test_command_refuses_a_senseless_number_of_epochs(archive, capsys, epochs):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train-offline", "--data", str(archive), f"--epochs={epochs}"])
    assert caught.value.code == 2
    assert "is not a whole number above 0" in capsys.readouterr().err


def test_preprocessing_is_what_the_manifest_says():
    assert manifest.Preprocessing() == data.PREPROCESSING
    assert data.SIDE == 32
