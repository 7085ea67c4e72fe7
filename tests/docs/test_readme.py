"""README's commands are typed as they stand, in their order, in one shell; what it shows of their output is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.reader import Reader, reading
from tests.support.documented import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def reader(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if not (REPOSITORY / ".venv" / "installed-run").exists():
        pytest.skip("there is no .venv made by make, and this test installs none")
    yield from reading(tmp_path_factory.mktemp("reader"), assets)


def test_its_commands_do_what_it_shows(reader: Reader) -> None:
    assert len(commands(README)) > 5
    assert reader.types(README) == []


def test_the_ways_of_its_table_work(reader: Reader) -> None:
    """Each command of the table, as a line of its own."""
    table = re.findall(r"^\| (?:\*\*)?[a-z][^|]*\| `([^`]+)`", README.partition("## Use it")[2], re.MULTILINE)
    typed = [line for line in table if line.split()[0] in {"curl", ".venv/bin/blindsight"}]
    assert len(typed) >= 5
    page = "```console\n" + "".join(f"$ {line}\n" for line in typed) + "```\n"
    assert reader.types(page) == []


def test_a_wrong_line_would_be_noticed(reader: Reader) -> None:
    page = '```console\n$ curl -F file=@dog.jpeg localhost:8000/classify\n{"predictions":"tabby", …}\n```\n'
    assert len(reader.types(page)) == 1
    assert len(reader.types("```console\n$ ls dog.jpeg\ncat.jpeg\n```\n")) == 1
    assert "ended the shell" in reader.types("```console\n$ false\n$ true\n```\n")[0]
