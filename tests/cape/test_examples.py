"""The scripts in `examples/`, as their README says to run them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from photo_classifier.transform import Preprocessing
from tests.support.cape_host import FUNCTIONS, require_pycape

if TYPE_CHECKING:
    from tests.support.cape_host import Deployed, Done, Person

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public sample photo of a cat."""
    import skimage  # heavy, and only its sample pictures are wanted

    source = Path(skimage.__file__).parent / "data" / "chelsea.png"
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    path.write_bytes(source.read_bytes())
    return path


@pytest.fixture
def settings(ada: Person, classifier: Deployed) -> dict[str, str | None]:
    require_pycape()
    return {"FUNCTION_ID": classifier.id, "FUNCTION_CHECKSUM": classifier.checksum, "TOKEN": ada.token()}


def example(person: Person, name: str, *arguments: str, **changes: Any) -> Done:
    return person.python_script(EXAMPLES / name, *arguments, changes=changes)


@pytest.mark.parametrize("script", ["run_prediction.py", "run_encrypt.py"])
def test_predictions(ada: Person, settings: dict[str, str | None], photo: Path, script: str) -> None:
    done = example(ada, script, str(photo), **settings)
    assert done.status == 0, done.err
    lines = [re.fullmatch(r"(\w+): \d+\.\d%", line) for line in done.text.splitlines()]
    assert len(lines) == 5
    assert all(lines)
    assert lines[0] is not None
    assert lines[0][1] == "cat"


def test_another_checksum_sends_nothing(ada: Person, settings: dict[str, str | None], photo: Path) -> None:
    done = example(ada, "run_prediction.py", str(photo), **settings | {"FUNCTION_CHECKSUM": "0" * 64})
    assert done.status == 1
    assert "Returned checksum did not match provided" in done.err


@pytest.mark.parametrize(("arguments", "text"), [((), b"hello world"), (("grüß Gott",), "grüß Gott".encode())])
def test_encrypt(ada: Person, echo: Deployed, arguments: tuple[str, ...], text: bytes) -> None:
    require_pycape()
    assert opened(example(ada, "encrypt.py", *arguments), ada, echo) == text


def test_encrypt_for_user(ada: Person, bob: Person, echo: Deployed) -> None:
    require_pycape()
    assert opened(example(bob, "encrypt_for_user.py", "ada"), ada, echo) == b"hi ada"


def opened(done: Done, person: Person, echo: Deployed) -> bytes:
    """What a function of this person's finds in the value that the script has printed."""
    assert done.status == 0, done.err
    value = done.text.removeprefix("Encrypted: ")
    assert value.startswith("cape:")
    return person.cape("run", echo.id, "-f", "-", stdin=value.encode()).out.removesuffix(b"\n")


def test_deploy(ada: Person) -> None:
    require_pycape()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = example(ada, "deploy.py", str(FUNCTIONS / "isprime"), PATH=path)
    assert done.status == 0, done.err
    exports = dict(re.findall(r"^export (\w+)=(\S+)$", done.text, re.MULTILINE))
    assert list(exports) == ["FUNCTION_ID", "FUNCTION_CHECKSUM", "TOKEN"]
    run = ada.cape(
        "run", exports["FUNCTION_ID"], "7", "-t", exports["TOKEN"], "--function-checksum", exports["FUNCTION_CHECKSUM"]
    )
    assert run.text == "7 is prime\n"


def test_convert_resnet_to_onnx() -> None:
    script = [sys.executable, str(EXAMPLES / "convert_resnet_to_onnx.py"), "--help"]
    done = subprocess.run(script, capture_output=True, text=True, check=True, cwd=EXAMPLES.parent)
    assert "--untrained" in done.stdout
    assert "--out DIR" in done.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "usage"),
    [
        ("encrypt_for_user.py", (), "encrypt_for_user.py NAME"),
        ("encrypt.py", ("two", "words"), "encrypt.py [TEXT]"),
        ("run_prediction.py", ("a.jpeg", "b.jpeg"), "run_prediction.py [IMAGE]"),
        ("deploy.py", ("a", "b"), "deploy.py [FOLDER]"),
    ],
)
def test_usage(ada: Person, script: str, arguments: tuple[str, ...], usage: str) -> None:
    require_pycape()
    done = example(ada, script, *arguments)
    assert (done.status, usage in done.text) == (2, True)


@pytest.mark.parametrize("size", [(500, 333), (333, 500), (224, 224), (232, 232), (301, 300), (240, 1001), (97, 64)])
def test_the_preprocessing_is_the_functions_own(tmp_path: Path, size: tuple[int, int]) -> None:
    spec = importlib.util.spec_from_file_location("example_preprocess", EXAMPLES / "preprocess.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "noise.png")
    assert module.tensor(str(tmp_path / "noise.png")) == Preprocessing().tensor(picture).tobytes()
