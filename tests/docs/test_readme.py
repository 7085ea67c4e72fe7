"""Commands of README, and of pages that go on from its stack, are typed as they stand, in their order, in one shell.

What a page shows of their output is there.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.docs.reader import Reader, reading
from tests.support.cape_host import require_pycape
from tests.support.documented import Command, blocks, commands, commands_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
PHOTOS = (REPOSITORY / "docs" / "photos.md").read_text("utf-8")

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def reader(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if not (REPOSITORY / ".venv" / "installed-run").exists():
        pytest.skip("there is no .venv made by make, and this test installs none")
    yield from reading(tmp_path_factory.mktemp("reader"), assets)


def test_its_commands_do_what_it_shows(reader: Reader) -> None:
    found = commands_of("README.md")
    assert len(found) > 5
    assert reader.types(found) == []


def test_the_ways_of_its_table_work(reader: Reader) -> None:
    """Each command of the table, as a line of its own."""
    table = re.findall(r"^\| (?:\*\*)?[a-z][^|]*\| `([^`]+)`", README.partition("## Use it")[2], re.MULTILINE)
    typed = [line for line in table if line.split()[0] in {"curl", ".venv/bin/blindsight"}]
    assert len(typed) >= 5
    page = "```console\n" + "".join(f"$ {line}\n" for line in typed) + "```\n"
    assert reader.types(commands(page)) == []


def test_capes_page(reader: Reader) -> None:
    """The variables are those that the banner says to export."""
    (reader.folder / "pycape").symlink_to(require_pycape().parent.parent)
    exports, *found = commands_of("docs/cape.md")
    names = re.findall(r"(\w+)=", exports.typed)
    assert exports.typed.startswith("export ")
    assert set(names) <= set(reader.exports())
    assert reader.types(found, **{name: reader.exports()[name] for name in names}) == []


def test_the_page_on_operations(reader: Reader) -> None:
    assert reader.types(commands_of("docs/operations.md")) == []
    # Made and revoked by the page.
    assert (reader.folder / "tokens").read_text() == ""


def test_the_page_on_hardware(reader: Reader) -> None:
    (reader.folder / "policy.json").write_bytes((reader.folder / ".blindsight" / "policy.json").read_bytes())
    assert reader.types(commands_of("docs/hardware.md"), PATH=with_commands()) == []


def test_the_page_on_photos(reader: Reader, assets: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    (reader.folder / "model.onnx").write_bytes((assets / "models" / "mobilenet_v2_imagenet.onnx").read_bytes())
    with Image.open(reader.folder / "dog.jpeg") as dog:
        heif.from_pillow(dog.convert("RGB")).save(reader.folder / "IMG_0001.HEIC", quality=95)
    assert reader.types(commands_of("docs/photos.md"), PATH=with_commands()) == []
    (program,) = [block.text for block in blocks(PHOTOS) if block.language == "python"]
    (reader.folder / "program.py").write_text(reader.here(program))
    shown = Command("python program.py", ("golden retriever",))
    assert reader.types([shown], PATH=with_commands()) == []


def test_the_page_on_release_files(reader: Reader, colour_model: TinyModel) -> None:
    """In a folder with the model that it names."""
    (reader.folder / "release-model").symlink_to(colour_model.folder)
    found = [replace(each, typed=each.typed.replace("--model model", "--model release-model"))
             for each in commands_of("docs/release-file.md")]  # fmt: skip
    assert reader.types(found, PATH=with_commands()) == []


def with_commands() -> str:
    """A PATH on which the project's commands come first, as in an environment that is activated."""
    return f"{REPOSITORY / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"


def test_a_wrong_line_would_be_noticed(reader: Reader) -> None:
    page = '```console\n$ curl -F file=@dog.jpeg localhost:8000/classify\n{"predictions":"tabby", …}\n```\n'
    assert len(reader.types(commands(page))) == 1
    assert len(reader.types([Command("ls dog.jpeg", ("cat.jpeg",))])) == 1
    assert reader.types([Command("ls dog.jpeg >&2", ("dog.jpeg",))]) == []
    assert "ended the shell" in reader.types([Command("false", ()), Command("true", ())])[0]
