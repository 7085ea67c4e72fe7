"""Every command that a page shows is typed by a test, or the page says why it is not.

A test types what `documented.commands_of` gives it. Two pages show scripts, and their tests look at every block.
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.documented import blocks, commands

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = {
    "docs/deploy-nitro.md": "tests/docs/test_deploy_nitro.py",
    "docs/eif.md": "tests/docs/test_eif_page.py",
}
"""Pages of blocks in `sh`, and the test of each."""


def pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@cache
def typed() -> frozenset[tuple[str, str | None]]:
    """Pages, and sections or None for all of a page, that a test types."""
    found = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "commands_of":
                values = [each.value if isinstance(each, ast.Constant) else ... for each in node.args]
                assert ... not in values, f"{path}: the page and the section are to be written out"
                found.add((values[0], values[1] if len(values) > 1 else None))
    return frozenset(found)


def untyped(name: str, text: str) -> list[str]:
    """The blocks with commands that are neither typed nor marked."""
    found = []
    for block in blocks(text):
        if not block.has_commands or block.is_marked:
            continue
        where = f"{name}:{block.line}"
        if name in SCRIPTS and block.language == "sh":
            continue
        if block.language != "console":
            found.append(f"{where}: a block of commands is called `console`, and each begins with a dollar sign")
        elif not {(name, None), (name, block.section)} & typed():
            found.append(f"{where}: no test types it, and it has no <!-- not-run: reason -->")
    return found


@pytest.mark.parametrize("name", pages())
def test_what_a_page_shows_is_typed_or_marked(name: str) -> None:
    assert untyped(name, (REPOSITORY / name).read_text("utf-8")) == []


@pytest.mark.parametrize("name", pages())
def test_no_mark_is_away_from_its_block(name: str) -> None:
    text = (REPOSITORY / name).read_text("utf-8")
    marked = [block for block in blocks(text) if block.is_marked]
    assert len(re.findall("<!-- not-run", text)) == len(marked)
    assert [block.line for block in marked if not block.has_commands] == []


def test_what_is_typed_is_there() -> None:
    assert len(typed()) > 10
    for name, section in typed():
        assert commands((REPOSITORY / name).read_text("utf-8"), section), (name, section)


@pytest.mark.parametrize(("name", "test"), SCRIPTS.items())
def test_pages_of_scripts_have_a_test_of_their_own(name: str, test: str) -> None:
    assert Path(name).name in (REPOSITORY / test).read_text("utf-8")


def test_a_block_that_is_forgotten_is_found() -> None:
    page = "# A\n\n```console\n$ blindsight doctor\n```\n"
    assert len(untyped("new.md", page)) == 1
    assert untyped("new.md", page.replace("```console", "<!-- not-run: it waits -->\n```console")) == []
    assert len(untyped("new.md", page.replace("```console", "<!-- not-run: -->\n```console"))) == 1
    assert len(untyped("new.md", page.replace("```console", "<!-- not-run: it waits -->\n\n```console"))) == 1
    for other in ("```", "```sh", "```bash"):
        assert len(untyped("new.md", page.replace("```console", other))) == 1
    assert (
        len(untyped("new.md", page.replace("$ blindsight", "PORT=1 .venv/bin/blindsight").replace("console", ""))) == 1
    )
    assert untyped("new.md", "```\nenclave ---> python3.11\n```\n```json\n{}\n```\n") == []
    assert len(untyped("new.md", "1. A\n\n   ```\n   make test\n   ```\n")) == 1
    assert untyped("README.md", page) == []
    assert untyped("examples/README.md", page) == [], "its beginning is typed"
    assert len(untyped("examples/README.md", page.replace("# A", "## A"))) == 1
