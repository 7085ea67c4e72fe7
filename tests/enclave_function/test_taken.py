"""The manifest, which is attested, settles which decoders an image can reach; the host's settings do not."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from photo_classifier import problems
from photo_classifier.manifest import ModelError
from photo_classifier.problems import InputProblem

SOURCE = Path(__file__).resolve().parents[2] / "enclave_function"

DEFAULT = ["jpeg", "png", "webp"]


@pytest.fixture
def model_taking(tiny, tmp_path):
    """Write the tiny model's directory with these `formats` in its manifest; none for an old manifest."""

    def write(formats: object) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny.folder, folder)
        manifest = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(
            json.dumps(manifest if formats is None else {**manifest, "formats": formats})
        )
        return folder

    return write


def test_a_manifest_without_formats_takes_the_three(model_taking, load_app, photo, encode):
    app = load_app(model_taking(None))
    assert app.ready()["formats"] == DEFAULT
    for image_format in ("JPEG", "PNG", "WEBP"):
        assert len(app.classify(encode(photo, image_format))["predictions"]) == 5
    assert refusal(app, encode(photo, "AVIF")).code == problems.UNSUPPORTED_MEDIA_TYPE


def test_avif_for_those_who_asked_for_it(model_taking, load_app, photo, encode):
    app = load_app(model_taking(["avif", "jpeg"]))
    assert app.ready()["formats"] == ["jpeg", "avif"]
    assert app.classify(encode(photo, "AVIF"))["image"] == {"width": 90, "height": 60}
    assert "takes JPEG and AVIF" in refusal(app, encode(photo, "PNG")).detail
    assert "takes JPEG and AVIF" in refusal(app, encode(photo, "WEBP")).detail


@pytest.mark.parametrize("formats", [[], ["heic"], ["jpeg", "gif"], "jpeg", ["JPEG"], [1], {"jpeg": True}, [["jpeg"]]])
def test_what_cannot_be_kept_is_refused_at_the_start(model_taking, load_app, formats):
    with pytest.raises(ModelError, match="formats"):
        load_app(model_taking(formats))


PROGRAM = """
import io, json, sys
sys.path.insert(0, sys.argv[1])
import app
from photo_classifier.problems import InputProblem
for path in sys.argv[2:]:
    try:
        app.classify(open(path, "rb").read())
    except InputProblem as problem:
        print(problem.code, file=sys.stderr)
print(json.dumps(sorted(name for name in sys.modules if name.startswith("PIL."))))
"""

EXCLUDED = ("Avif", "Bmp", "Gif", "Ico", "Jpeg2K", "Mpo", "Pdf", "Ppm", "Tiff", "Eps", "Psd", "Fits", "Tga")


def decoders_of(folder: Path, photo, encode, tmp_path: Path, **environment: str) -> tuple[set[str], list[str]]:
    """What of Pillow a fresh process has loaded after pictures of many formats, and its refusals."""
    for part in ("app.py", "photo_classifier"):
        copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copy
        copy(SOURCE / part, folder / part)
    files = []
    for image_format in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "PDF", "EPS", "ICO"):
        files.append(tmp_path / f"photo.{image_format}")
        files[-1].write_bytes(encode(photo, image_format))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *map(str, files)],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if "enclave_function" not in path), **environment},
    )
    return set(json.loads(done.stdout)), done.stderr.split()


def test_no_other_decoder_is_loaded(model_taking, photo, encode, tmp_path):
    loaded, refusals = decoders_of(model_taking(None), photo, encode, tmp_path)
    assert refusals == [problems.UNSUPPORTED_MEDIA_TYPE] * 9
    assert {"PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.WebPImagePlugin"} <= loaded
    assert not {f"PIL.{name}ImagePlugin" for name in EXCLUDED} & loaded
    assert "PIL._avif" not in loaded


def test_no_setting_of_the_host_adds_one(model_taking, photo, encode, tmp_path):
    names = ("FORMATS", "IMAGE_FORMATS", "BLINDSIGHT_FORMATS", "BLINDSIGHT_IMAGE_FORMATS", "BLINDSIGHT_TAKEN")
    everything = dict.fromkeys(names, "jpeg,png,webp,avif,gif,tiff")
    loaded, refusals = decoders_of(model_taking(None), photo, encode, tmp_path, **everything)
    assert refusals == [problems.UNSUPPORTED_MEDIA_TYPE] * 9
    assert "PIL._avif" not in loaded


def test_the_function_reads_no_other_variables():
    """Names are told apart by what reads them, so that a new one must come here to be argued for."""
    read = set()
    for path in [SOURCE / "app.py", *(SOURCE / "photo_classifier").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get" | "setdefault")):
                    read.add(ast.literal_eval(node.args[0]))
                case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=name)):
                    read.add(name)
                case ast.Attribute(attr="getenv"):
                    read.add(ast.unparse(node))
    assert read == {
        "BLINDSIGHT_THREADS", "BLINDSIGHT_SHARED_WEIGHTS",
        "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY",
    }  # fmt: skip


def refusal(app, data: bytes) -> InputProblem:
    with pytest.raises(InputProblem) as caught:
        app.classify(data)
    return caught.value
