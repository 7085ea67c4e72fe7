"""The int8 variant of a model: what it is, what its manifest says of it, and when there is none."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rfc8785
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import model_build
from model_build import agreement, function, images, integers, manifest, onnx_file, session
from model_build.cli import main
from model_build.contract import Classifier
from model_build.errors import AgreementError
from model_build.precision import Agreement, Precision
from model_build.synthetic import pictures
from photo_classifier.decode import decode
from photo_classifier.transform import Preprocessing
from tests.support.networks import write_network


@pytest.fixture(scope="module", autouse=True)
def few_drawn():
    """Half of them are compared: as few as 98 % means something for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "DRAWN", 100)
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """100 files in two folders, of three kinds, one of them turned by its EXIF tag."""
    folder = tmp_path_factory.mktemp("photos")
    for index, picture in enumerate(pictures(100, seed=7)):
        place = folder / ("a" if index % 2 else "b")
        place.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if index == 3 else 1
        picture.crop((0, 0, 256, 200)).save(place / f"{index:03}.{('jpg', 'png', 'webp')[index % 3]}", exif=exif)
    return folder


@pytest.fixture(scope="module")
def quantised(network, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("int8") / "model"
    assert main(["quantise", "--model", str(network), "--out", str(out), "--images", str(photos)]) == 0
    return out


def operators(path) -> Counter:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": inputs})[0]


def test_weights_have_a_scale_for_each_channel_and_activations_are_unsigned(quantised):
    described = manifest.read(quantised)
    graph = onnx.load(quantised / described.onnx.file).graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 6
    for node in convolutions:
        weight, data = made[node.input[1]], made[node.input[0]]
        assert (weight.op_type, data.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert held[weight.input[0]].data_type == onnx.TensorProto.INT8
        assert list(held[weight.input[1]].dims) == [64]
        assert held[data.input[2]].data_type == onnx.TensorProto.UINT8


def test_the_runtime_computes_its_layers_with_integers(quantised, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(quantised / manifest.read(quantised).onnx.file), options, providers=["CPUExecutionProvider"]
    )
    found = operators(tmp_path / "optimised.onnx")
    assert found["QLinearConv"] == 6
    assert not {"Conv", "FusedConv"} & found.keys()


def test_the_manifest_states_what_a_second_measurement_finds(network, quantised, photos):
    described = manifest.read(quantised)
    source = manifest.read(network)
    stated = described.precision
    assert (described.format, stated.name, stated.of) == ("blindsight-model/2", "int8", source.onnx.sha256)
    assert (stated.weights, stated.activations, stated.float) == ("int8", "uint8", ())
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    assert (stated.calibration.images, stated.calibration.set) == (50, "given")
    others = np.concatenate([Preprocessing().tensor(decode(path.read_bytes())) for path in files[1::2]])
    expected = run(network / source.onnx.file, others)
    found = run(quantised / described.onnx.file, others)
    best, seen = np.argsort(-expected, axis=1), np.argsort(-found, axis=1)
    assert len(set(best[:, 0])) > 2, "pictures of one class prove nothing"
    top5 = np.mean([len({*a[:5]} & {*b[:5]}) / 5 for a, b in zip(best, seen, strict=True)])
    spread = np.ptp(expected, axis=1, keepdims=True)
    assert stated.agreement.model_dump() == {
        "images": 50,
        "set": "given",
        "top1": pytest.approx(np.mean(best[:, 0] == seen[:, 0]), abs=1e-4),
        "top5": pytest.approx(top5, abs=1e-4),
        "logits": pytest.approx(np.max(np.abs(found - expected) / spread), abs=1e-3),
        "speed": 1.5,
    }
    assert described.notice is None
    assert (described.weights, described.facts) == (source.weights, source.facts)
    assert described.labels.sha256 == source.labels.sha256


def test_the_directory_passes_the_check(quantised, capsys):
    assert main(["check", str(quantised)]) == 0
    assert "int8 (best class as in float32 on " in capsys.readouterr().out


def test_the_same_model_and_images_give_the_same_digest(network, photos, quantised, tmp_path):
    assert main(["quantise", "--model", str(network), "--out", str(tmp_path / "m"), "--images", str(photos)]) == 0
    assert (tmp_path / "m" / "model.json").read_bytes() == (quantised / "model.json").read_bytes()


def test_synthetic_calibration_is_told_wherever_the_model_is(network, tmp_path, capsys):
    assert main(["quantise", "--model", str(network), "--out", str(tmp_path / "m")]) == 0
    described = manifest.read(tmp_path / "m")
    assert described.precision.calibration.set == described.precision.agreement.set == "synthetic"
    assert "CALIBRATED ON SYNTHETIC PICTURES" in described.notice
    assert "synthetic images" in capsys.readouterr().out


def test_a_fragile_layer_stays_float32(tmp_path):
    source, made = write_network(tmp_path / "source", layers=8, outlier=1e4) / "network.onnx", tmp_path / "int8.onnx"
    facts = Classifier(source).facts
    calibrating = list(images.drawn(source.parent, facts.input).calibrating())
    said = []
    kept = integers.quantise(source, made, facts, calibrating, activations="uint8", say=said.append)
    assert said[0].startswith("All of 9 layers in int8: same best class on ")
    assert kept == ("layer1", "layer2")
    graph = onnx.load(made).graph
    from_integers = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type == "Conv":
            assert (node.input[1] in from_integers) is (node.name not in kept)
    inputs = np.concatenate(calibrating)
    agreed = run(made, inputs).argmax(axis=1) == run(source, inputs).argmax(axis=1)
    assert agreed.mean() >= 0.98


def test_what_stays_float32_is_computed_in_float32(tmp_path):
    """ONNX Runtime turns float weights between integer layers into integers by itself, unless that is turned off."""
    source = write_network(tmp_path / "source", layers=4)
    facts = Classifier(source / "network.onnx").facts
    calibrating = list(images.drawn(source, facts.input).calibrating())
    search = integers._Search(source / "network.onnx", tmp_path, facts, calibrating, "uint8")
    search.write(tmp_path / "two.onnx", ("layer2",))
    search.write(tmp_path / "all.onnx", ())
    model = onnx.load(tmp_path / "two.onnx")
    changed = 0
    for tensor in model.graph.initializer:
        if tensor.name == "weight2":
            # Next to one great weight, 8 bits would leave nothing of the others.
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[0, 0, 0, 0] = 1e3
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, "weight2"))
            changed += 1
    assert changed == 1
    onnx.save(model, tmp_path / "great.onnx")
    inputs = calibrating[0][:4]
    unoptimised = onnxruntime.SessionOptions()
    unoptimised.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    literal = onnxruntime.InferenceSession(
        str(tmp_path / "great.onnx"), unoptimised, providers=["CPUExecutionProvider"]
    ).run(["output"], {"input": inputs})[0]
    found = Classifier(tmp_path / "great.onnx").logits(inputs)
    assert np.abs(found - literal).max() < 0.02 * np.ptp(literal)


def test_too_little_agreement_is_refused(tmp_path, capsys):
    source = write_network(tmp_path / "source", layers=3, outlier=1e5)
    assert main(["quantise", "--model", str(source), "--out", str(tmp_path / "m")]) == 1
    error, step = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("error: the int8 graph names the best class of float32 on ")
    assert error.endswith("of 50 synthetic images, less than 98%")
    assert "--images DIR" in step
    assert "`make run` with IMAGES=DIR" in step
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("kind", "proposed"), [("synthetic", "at least 100 photos"), ("given", "other or more photos")]
)
def test_the_next_step_knows_what_was_calibrated_on(kind, proposed):
    """Photos of their own are what helps those who gave none; others have to hear more than that."""
    with pytest.raises(AgreementError) as refused:
        agreement.require(Agreement(images=50, set=kind, top1=0.5, top5=0.5, logits=1, speed=1.5))
    assert proposed in refused.value.next_step
    assert "serve float32" in refused.value.next_step


def test_a_graph_that_is_not_faster_is_refused_unless_built_for_elsewhere(tiny, tmp_path, capsys):
    source, out = tmp_path / "float32", tmp_path / "m"
    assert main(["build", "--onnx", str(tiny(classes=1000)), "--out", str(source)]) == 0
    assert main(["quantise", "--model", str(source), "--out", str(out)]) == 1
    assert "times as fast as float32 on this machine, less than 1.5" in capsys.readouterr().err
    assert not out.exists()
    assert main(["quantise", "--model", str(source), "--out", str(out), "--no-speed-test"]) == 0
    assert manifest.read(out).precision.agreement.speed == "unmeasured"


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "has 0 different JPEG, PNG and WebP files"), (99, "has 99 different JPEG, PNG and WebP files")],
)
def test_too_few_photos_are_refused(network, tmp_path, count, message, capsys):
    (tmp_path / "photos").mkdir()
    for index in range(count):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / "photos" / f"{index}.png")
    arguments = ["--model", str(network), "--out", str(tmp_path / "m"), "--images", str(tmp_path / "photos")]
    assert main(["quantise", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def flat(photos, folder):
    """The photos in one folder, by their numbers."""
    folder.mkdir()
    for path in photos.rglob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_photo_that_cannot_be_used_is_left_out_and_named(network, photos, tmp_path, capsys, monkeypatch):
    """One damaged file among thousands is no reason to begin again."""
    monkeypatch.setattr(agreement, "LEAST_AGREEMENT", 0.9)
    folder = flat(photos, tmp_path / "photos")
    (folder / "050.webp").write_bytes(b"no photo")
    (folder / "052.png").write_bytes((folder / "052.png").read_bytes()[:300])
    (folder / "big.png").write_bytes(b"\x89PNG" + bytes(20 << 20))
    arguments = ["--model", str(network), "--out", str(tmp_path / "m"), "--images", str(folder)]
    assert main(["quantise", *arguments]) == 0
    said = capsys.readouterr().err
    left_out = [line for line in said.splitlines() if line.startswith("Left out: ")]
    assert len(left_out) == len({*left_out}) == 3, said
    assert any("050.webp: These bytes are not" in line for line in left_out)
    assert any("big.png" in line and str(20 << 20) in line for line in left_out)
    stated = manifest.read(tmp_path / "m").precision
    assert stated.calibration.images + stated.agreement.images == len(list(folder.iterdir())) - 3


def test_too_few_photos_that_can_be_used_are_refused(network, photos, tmp_path, capsys):
    folder = flat(photos, tmp_path / "photos")
    for index, path in enumerate(sorted(folder.iterdir())):
        if index % 2 and index < 30:
            path.write_bytes(b"no photo %d" % index)
    arguments = ["--model", str(network), "--out", str(tmp_path / "m"), "--images", str(folder)]
    assert main(["quantise", *arguments]) == 1
    error, step = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: only 35 different images are left to compare on, of 100"
    assert "give at least 100 photos" in step
    assert not (tmp_path / "m").exists()


def test_a_picture_in_two_files_counts_once(network, photos, quantised, tmp_path, capsys):
    """Copies would stand on both sides: agreement would be measured on pictures that were used for calibration."""
    folder = shutil.copytree(photos, tmp_path / "photos")
    for index, path in enumerate(sorted(photos.rglob("*.*"))[:31]):
        (folder / f"z{index}{path.suffix}").write_bytes(path.read_bytes())
    arguments = ["--model", str(network), "--out", str(tmp_path / "m"), "--images", str(folder)]
    assert main(["quantise", *arguments]) == 0
    assert (tmp_path / "m" / "model.json").read_bytes() == (quantised / "model.json").read_bytes()
    assert "Left out: 31 files that are copies of others" in capsys.readouterr().err


def test_copies_do_not_make_up_for_too_few_photos(network, photos, tmp_path, capsys):
    folder = shutil.copytree(photos, tmp_path / "photos")
    first, *others = sorted(path for path in folder.rglob("*.*") if path.suffix == ".png")
    others[0].write_bytes(first.read_bytes())
    (folder / "copy.png").write_bytes(first.read_bytes())
    arguments = ["--model", str(network), "--out", str(tmp_path / "m"), "--images", str(folder)]
    assert main(["quantise", *arguments]) == 1
    assert "has 99 different JPEG, PNG and WebP files" in capsys.readouterr().err


def test_a_picture_stored_differently_is_not_on_both_sides(network, photos, tmp_path):
    """Other metadata or another lossless format make another file of the same pixels."""
    folder = flat(photos, tmp_path / "photos")
    for index, path in enumerate(sorted(folder.glob("*.png"))[:10]):
        with Image.open(path) as image:
            text = PngInfo()
            text.add_text("Comment", "another file")
            image.save(folder / f"again{index}.png", pnginfo=text)
            image.convert("RGB").save(folder / f"webp{index}.webp", lossless=True)
    chosen = images.given(folder, network, manifest.read(network).facts.input)
    calibrating = list(chosen.calibrating())
    sides = [[each.tobytes() for batch in side for each in batch] for side in (calibrating, chosen.others(calibrating))]
    assert len({*sides[0], *sides[1]}) == len(sides[0]) + len(sides[1]) == 100


def test_an_int8_model_is_not_quantised_again(quantised, tmp_path, capsys):
    assert main(["quantise", "--model", str(quantised), "--out", str(tmp_path / "m")]) == 1
    assert "computes in int8 already" in capsys.readouterr().err


def test_a_graph_without_layers_is_refused(tmp_path, classifier, capsys):
    model = classifier(classes=3)
    del model.graph.node[3:], model.graph.initializer[:]
    model.graph.node[2].output[0] = "output"
    onnx.save(model, tmp_path / "three.onnx")
    (tmp_path / "imagenet_classes.txt").write_text("a\nb\nc\n")
    assert main(["build", "--onnx", str(tmp_path / "three.onnx"), "--out", str(tmp_path / "m")]) == 0
    assert main(["quantise", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "q")]) == 1
    assert "no convolution and no matrix product" in capsys.readouterr().err


def test_building_with_a_precision_is_building_and_quantising(network, photos, quantised, tmp_path):
    arguments = ["--directory", str(network), "--precision", "int8", "--images", str(photos)]
    assert main(["build", *arguments, "--formats", "jpeg", "--out", str(tmp_path / "m")]) == 0
    described = manifest.read(tmp_path / "m")
    assert described.formats == ("jpeg",)
    assert described.precision == manifest.read(quantised).precision
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize("option", [["--images", "x"], ["--activations", "int8"], ["--no-speed-test"]])
def test_options_of_int8_without_it_are_refused(tmp_path, option, capsys):
    with pytest.raises(SystemExit):
        main(["build", "--out", str(tmp_path / "m"), *option])
    assert "needs --precision int8" in capsys.readouterr().err


def test_signed_activations_on_request(network, photos, tmp_path):
    arguments = ["--images", str(photos), "--activations", "int8", "--no-speed-test"]
    assert main(["quantise", "--model", str(network), "--out", str(tmp_path / "m"), *arguments]) == 0
    described = manifest.read(tmp_path / "m")
    assert described.precision.activations == "int8"
    graph = onnx.load(tmp_path / "m" / described.onnx.file).graph
    held = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kinds = {held[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert kinds == {onnx.TensorProto.INT8}


def test_an_imported_int8_graph_says_so_and_claims_nothing(quantised, tmp_path, capsys):
    (tmp_path / "alone").mkdir()
    source = tmp_path / "alone" / "foreign.onnx"
    source.write_bytes((quantised / "network.int8.onnx").read_bytes())
    arguments = ["--onnx", str(source), "--labels", str(quantised / "labels.txt"), "--out", str(tmp_path / "m")]
    assert main(["build", *arguments]) == 0
    assert json.loads((tmp_path / "m" / "model.json").read_bytes())["precision"] == {"name": "int8"}
    assert "trained, int8, model digest" in capsys.readouterr().out


def rebuilt(folder, *options, by, tmp_path):
    """The precision in the manifest of `folder` after it was built again with `options`."""
    graph = str(folder / manifest.read(folder).onnx.file)
    given = ["--onnx", graph] if by == "--onnx" else ["--directory", str(folder)]
    assert main(["build", *given, *options, "--out", str(tmp_path / "again")]) == 0
    return json.loads((tmp_path / "again" / "model.json").read_bytes())["precision"]


@pytest.mark.parametrize("by", ["--onnx", "--directory"])
@pytest.mark.parametrize("measured", [None, False, True])
@pytest.mark.parametrize("options", [[], ["--dct-scaling"], ["--no-dct-scaling"]], ids=["", "with", "without"])
def test_another_decoding_leaves_nothing_of_the_agreement(quantised, tmp_path, *, by, measured, options, capsys):
    """It was measured with the decoding that its manifest states, which is that of every photo in full by default."""
    folder = shutil.copytree(quantised, tmp_path / "m")
    described = json.loads((folder / "model.json").read_bytes())
    described.pop("decoding", None)
    if measured is not None:
        described["decoding"] = {"dct_scaling": measured}
    (folder / "model.json").write_bytes(rfc8785.dumps(described))
    found = rebuilt(folder, *options, "--formats", "jpeg", by=by, tmp_path=tmp_path)
    made = manifest.read(tmp_path / "again")
    now = made.decoding is not None and made.decoding.dct_scaling
    assert found == (described["precision"] if now is bool(measured) else {"name": "int8"})
    said = capsys.readouterr().err
    assert ("the agreement with float32 was measured with another decoding or transform" in said) is ("of" not in found)


@pytest.mark.parametrize(
    "options",
    [
        ["--normalisation", "half"], ["--resize", "224x224"], ["--interpolation", "bicubic"], ["--channels", "BGR"],
        ["--activation", "sigmoid"], ["--scale", "1/128"], ["--std", "0.3"], ["--mean", "0.1"], ["--batch", "1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_option_that_changes_pixels_or_answers_leaves_the_agreement(quantised, tmp_path, options, capsys):
    assert rebuilt(quantised, *options, by="--onnx", tmp_path=tmp_path) == {"name": "int8"}
    assert "the agreement with float32 was measured with another decoding or transform" in capsys.readouterr().err


def test_names_and_labels_leave_it_as_it_is(quantised, tmp_path):
    (tmp_path / "other.txt").write_text("".join(f"other {index}\n" for index in range(7)))
    options = ["--labels", str(tmp_path / "other.txt"), "--name", "other", "--version", "2", "--no-dct-scaling"]
    expected = json.loads((quantised / "model.json").read_bytes())["precision"]
    assert rebuilt(quantised, *options, by="--onnx", tmp_path=tmp_path) == expected


def test_weights_stored_in_eight_bits_are_float32_arithmetic():
    path = Path(model_build.__file__).with_name("offline_model") / "offline.onnx"
    assert onnx_file.computes_with_integers(path) is False


@pytest.mark.parametrize("said", [None, {"name": "int8"}], ids=["int8 not told", "int8 told of float32"])
def test_the_check_refuses_a_manifest_of_another_precision(network, quantised, tmp_path, said, capsys):
    source = quantised if said is None else network
    folder = tmp_path / "m"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((folder / "model.json").read_bytes())
    content.pop("precision", None)
    described = manifest.read(source)
    precision = Precision(**said) if said else None
    kept = {name: content[name] for name in ("name", "version", "trained", "versions")}
    changed = manifest.of_facts(
        described.facts, described.labels, onnx=described.onnx, weights=described.weights, precision=precision, **kept
    )
    (folder / "model.json").write_bytes(changed.canonical())
    assert main(["check", str(folder)]) == 1
    assert "the precision is" in capsys.readouterr().err


@pytest.fixture
def asked(monkeypatch):
    """The commands of the deployed function that the builder runs."""
    commands = []
    run = function.output
    monkeypatch.setattr(function, "output", lambda *command, **more: commands.append(command) or run(*command, **more))
    return commands


def test_speed_is_that_of_the_deployed_function(network, photos, tmp_path, asked, capsys):
    """Whose sessions are slower on a processor that would saturate sums, and may have other options, too."""
    out = tmp_path / "m"
    assert main(["quantise", "--model", str(network), "--out", str(out), "--images", str(photos)]) == 0
    (command,) = [command for command in asked if command[0] == "times"]
    assert command[:3] == ("times", "--model", str(network))
    assert command[3] == "--model"
    assert Path(command[4]).parent == tmp_path.resolve(), "the int8 variant, before it replaces what is in its folder"
    assert "times as fast as float32 on one thread" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_the_float32_layers_are_chosen_with_exact_products(network, photos, tmp_path, monkeypatch):
    """Else a builder's processor that saturates sums would choose other layers, and measure other answers."""
    made = []
    create = session.Session.__init__

    def record(self, path, *, threads=0, exact=False):
        if path.name.endswith("int8.onnx") and threads:
            made.append(exact)
        create(self, path, threads=threads, exact=exact)

    monkeypatch.setattr(session.Session, "__init__", record)
    assert main(["quantise", "--model", str(network), "--out", str(tmp_path / "m"), "--images", str(photos)]) == 0
    assert made
    assert all(made)


def test_the_slow_exact_product_and_the_fast_one_with_vnni_give_the_same_logits(quantised):
    """So agreement that is measured with the one holds for the other; without VNNI only the slow one is used."""
    path = quantised / manifest.read(quantised).onnx.file
    inputs = np.random.default_rng(0).standard_normal((3, 3, 224, 224), dtype=np.float32)
    if "avx512_vnni" not in Path("/proc/cpuinfo").read_text() and platform.machine() == "x86_64":
        pytest.skip("this processor has no VNNI")
    exact = Classifier(path, threads=1, exact=True).logits(inputs)
    assert np.array_equal(exact, Classifier(path, threads=1).logits(inputs))
    assert np.array_equal(exact, Classifier(path, threads=2).logits(inputs))
