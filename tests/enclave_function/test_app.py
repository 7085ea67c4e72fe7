"""The function's contract: Cape's handler, the gateway's form, batches."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from photo_classifier.manifest import ModelError
from photo_classifier.problems import InputProblem
from photo_classifier.transform import Preprocessing
from tests.support.models import BROKEN_CLASS, colour_of, write_colour_model

TENSOR_BYTES = 602112


def tensor_of(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((1, 3, 224, 224)) + random.standard_normal((1, 3, 1, 1))).astype(np.float32)


def expected_top(tiny, tensor: np.ndarray, top_k: int = 5) -> list[tuple[str, float]]:
    scores = tiny.scores(tensor)[0]
    return [(tiny.labels[index], scores[index]) for index in np.argsort(-scores)[:top_k]]


def test_a_tensor_is_answered_as_in_capes_example(app, tiny):
    tensor = tensor_of(1)
    assert app.TENSOR_BYTES == len(tensor.tobytes()) == TENSOR_BYTES
    answer = app.cape_handler(tensor.tobytes())
    assert isinstance(answer, str)
    expected = expected_top(tiny, tensor)
    assert list(json.loads(answer)) == [label for label, _ in expected]
    assert list(json.loads(answer).values()) == pytest.approx([score for _, score in expected], abs=1e-6)


def test_a_picture_is_answered_like_its_tensor(app, photo, encode):
    tensor = Preprocessing().tensor(photo)
    assert app.cape_handler(encode(photo, "PNG")) == app.cape_handler(tensor.tobytes())


@pytest.mark.parametrize("count", [2, 3, 32])
def test_several_tensors_are_answered_in_order(app, count):
    tensors = [tensor_of(seed).tobytes() for seed in range(count)]
    answers = json.loads(app.cape_handler(b"".join(tensors)))
    singles = [json.loads(app.cape_handler(tensor)) for tensor in tensors]
    assert [list(answer) for answer in answers] == [list(single) for single in singles]
    for answer, single in zip(answers, singles, strict=True):
        assert list(answer.values()) == pytest.approx(list(single.values()), abs=1e-6)


@pytest.mark.parametrize("length", [TENSOR_BYTES - 1, TENSOR_BYTES + 1, 33 * TENSOR_BYTES])
def test_other_lengths_are_no_tensors(app, length):
    with pytest.raises(InputProblem) as caught:
        app.cape_handler(bytes(length))
    assert caught.value.code == "not_an_image"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_a_picture_of_a_tensors_length_is_a_picture(app, photo, encode, image_format):
    data = encode(photo, image_format).ljust(TENSOR_BYTES, b"\0")
    assert app.classify(data)["image"] == {"width": 90, "height": 60}


def test_no_photos_tensor_begins_like_a_picture(app):
    preprocessing = Preprocessing()
    from PIL import Image

    for level in range(256):
        assert not app.looks_encoded(preprocessing.tensor(Image.new("RGB", (224, 224), (level, 0, 0))).tobytes()[:12])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_tensor_without_a_finite_answer_is_refused(app, value):
    tensor = tensor_of(2)
    tensor[:] = value
    with pytest.raises(InputProblem) as caught:
        app.cape_handler(tensor.tobytes())
    assert caught.value.code == "invalid_tensor"


def test_a_bad_tensor_among_several_is_named(app):
    bad = tensor_of(2)
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(InputProblem) as caught:
        app.cape_handler(tensor_of(1).tobytes() + bad.tobytes())
    assert (caught.value.code, caught.value.limits["index"]) == ("invalid_tensor", 1)


def test_the_gateways_form(app, tiny, photo, encode):
    result = app.classify(encode(photo, "PNG"), top_k=3)
    assert set(result) == {"predictions", "image", "timings_ms"}
    expected = expected_top(tiny, Preprocessing().tensor(photo), 3)
    assert [(p["rank"], p["label"], p["class_id"]) for p in result["predictions"]] == [
        (place, label, tiny.labels.index(label)) for place, (label, _) in enumerate(expected, start=1)
    ]
    assert result["image"] == {"width": 90, "height": 60}
    assert set(result["timings_ms"]) == {"decode", "preprocess", "run"}
    assert all(0 <= value < 60_000 for value in result["timings_ms"].values())
    assert json.loads(json.dumps(result)) == result


def test_the_size_is_that_of_the_upright_picture(app, photo, encode):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    assert app.classify(encode(photo, "JPEG", exif=exif))["image"] == {"width": 60, "height": 90}
    assert app.classify(tensor_of(1).tobytes())["image"] is None


def test_top_k_of_all_classes(app):
    predictions = app.classify(tensor_of(1).tobytes(), top_k=1000)["predictions"]
    assert sorted(p["class_id"] for p in predictions) == list(range(1000))
    assert sum(p["score"] for p in predictions) == pytest.approx(1)
    scores = [p["score"] for p in predictions]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("top_k", [0, -1, 1001])
def test_top_k_out_of_range(app, top_k):
    with pytest.raises(InputProblem) as caught:
        app.classify(b"never looked at", top_k=top_k)
    assert (caught.value.code, caught.value.limits) == ("invalid_top_k", {"limit_top_k": 1000})


def test_a_batch_keeps_order_and_isolates_bad_items(app, photo, encode):
    items = [encode(photo, "PNG"), b"junk", tensor_of(3).tobytes(), b"", encode(photo.rotate(180), "PNG")]
    results = app.classify_batch(items, top_k=2)
    assert [result.get("problem", {}).get("code") for result in results] == [
        None,
        "not_an_image",
        None,
        "empty_body",
        None,
    ]
    for item, result in zip(items, results, strict=True):
        if "problem" not in result:
            assert_same_predictions(result, app.classify(item, top_k=2))


def test_a_batch_is_one_model_run(app, photo, encode, monkeypatch):
    runs = []
    logits = app._model.logits
    monkeypatch.setattr(
        app._model, "logits", lambda tensors, *, threads: runs.append(len(tensors)) or logits(tensors, threads=threads)
    )
    app.classify_batch([encode(photo, "PNG")] * 7)
    assert runs == [7]


def test_a_batch_of_bad_items_needs_no_run(app):
    assert [result["problem"]["code"] for result in app.classify_batch([b"", b"x"])] == ["empty_body", "not_an_image"]
    assert app.classify_batch([]) == []


def test_a_photo_without_a_finite_answer_does_not_affect_the_others(tmp_path, load_app, encode):
    """The model is at fault, but not for these: a float16 graph may overflow on one photo of a batch."""
    colours = load_app(write_colour_model(tmp_path).folder)
    items = [encode(Image.new("RGB", (224, 224), colour_of(each)), "PNG") for each in (123, BROKEN_CLASS, 456)]
    first, broken, last = colours.classify_batch(items)
    assert [each["predictions"][0]["class_id"] for each in (first, last)] == [123, 456]
    assert broken == {
        "problem": {"code": "internal", "detail": "the model has no finite answer for an image", "limits": {}}
    }
    with pytest.raises(Exception, match="the model has no finite answer for an image"):
        colours.classify(items[1])


def test_nor_does_one_whose_scores_are_none(tmp_path, load_app, encode, monkeypatch):
    """As `answer.rank` says of a graph whose scores are outside of 0..1."""
    colours = load_app(write_colour_model(tmp_path).folder)
    rank = colours.answer.rank

    def refuse_one(logits, *given):
        if logits.argmax() == 123:
            raise ModelError("the model's scores are not between 0 and 1")
        return rank(logits, *given)

    monkeypatch.setattr(colours.answer, "rank", refuse_one)
    items = [encode(Image.new("RGB", (224, 224), colour_of(each)), "PNG") for each in (123, 456)]
    broken, other = colours.classify_batch(items)
    assert broken["problem"]["code"] == "internal"
    assert other["predictions"][0]["class_id"] == 456


def test_too_many_items(app):
    with pytest.raises(InputProblem) as caught:
        app.classify_batch([b""] * 33)
    assert (caught.value.code, caught.value.limits) == ("too_many_images", {"limit_images": 32})


def test_ten_classes_and_a_name_that_repeats(make_model, load_app):
    labels = ["crane", "b", "c", "d", "crane", "f", "g", "h", "i", "j"]
    bias = np.array([5, 0, 1, 2, 6, 3, 0, 0, 0, 0], dtype=np.float32)
    ten = load_app(make_model(10, labels=labels, weights=np.zeros((10, 3)), bias=bias).folder)
    answer = json.loads(ten.cape_handler(bytes(TENSOR_BYTES)))
    assert list(answer) == ["crane", "crane (0)", "f", "d", "c"]
    with pytest.raises(InputProblem, match="1 to 10"):
        ten.classify(bytes(TENSOR_BYTES), top_k=11)


def test_what_is_ready(app):
    assert app.ready() == {
        "model": {"name": "tiny", "version": "1", "trained": True, "precision": "float32"},
        "classes": 1000,
        "formats": ["jpeg", "png", "webp"],
        "threads": [1],
    }
    assert app.MODEL["format"] == "blindsight-model/1"


def test_threads_are_chosen_from_the_environment(tiny, load_app, photo, encode):
    both = load_app(tiny.folder, BLINDSIGHT_THREADS="2,1")
    assert both.ready()["threads"] == [1, 2]
    used = []
    for count, session in both._model._sessions.items():
        both._model._sessions[count] = Recorder(session, count, used)
    for threads in (1, 2, 3, 0):
        both.classify(encode(photo, "PNG"), threads=threads)
    assert used == [1, 2, 2, 1]


@pytest.mark.parametrize("text", ["", "0", "1,", "two", "-1", "1.5"])
def test_a_bad_thread_list_stops_the_start(tiny, load_app, text):
    with pytest.raises(ModelError, match="BLINDSIGHT_THREADS"):
        load_app(tiny.folder, BLINDSIGHT_THREADS=text)


def test_standard_output_stays_clean(app, photo, encode, capfd):
    app.classify(encode(photo, "JPEG"))
    with pytest.raises(InputProblem):
        app.classify(io.BytesIO(encode(photo, "JPEG")).read(200))
    assert capfd.readouterr() == ("", "")


class Recorder:
    def __init__(self, session, count, used):
        self._session, self._count, self._used = session, count, used

    def run(self, *arguments):
        self._used.append(self._count)
        return self._session.run(*arguments)


def assert_same_predictions(first: dict, second: dict) -> None:
    assert [p["class_id"] for p in first["predictions"]] == [p["class_id"] for p in second["predictions"]]
    for one, other in zip(first["predictions"], second["predictions"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)
