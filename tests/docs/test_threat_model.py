"""docs/threat-model.md and SECURITY.md: what they name exists, and no attacker lacks a part."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "docs" / "threat-model.md"
SECURITY = REPOSITORY / "SECURITY.md"

ATTACKERS = (
    "The caller", "Another tenant", "The gateway's operator", "The host of the enclave", "The network",
    "The model's maker", "The package's maker",
)  # fmt: skip
HEADER = "| attack | defence | test |"
NOT_CLAIMED = "**Not claimed**"

_REFERENCE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def references(text: str) -> list[tuple[str, str]]:
    """Each test that `text` names: its file, and the function or nothing."""
    return list(dict.fromkeys(_REFERENCE.findall(text)))


@cache
def names_in(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def missing(file: str, function: str) -> str | None:
    """What of a reference there is not."""
    path = REPOSITORY / file
    if not path.is_file():
        return f"there is no {file}"
    if not names_in(path):
        return f"{file} has no test"
    return f"{file} has no {function}" if function and function not in names_in(path) else None


def sections(text: str) -> dict[str, str]:
    """The page's sections by heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """The cells of the attacker's table, without its head."""
    lines = section.partition(f"{HEADER}\n|---|---|---|\n")[2].splitlines()
    table = lines[: next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def faults(section: str) -> list[str]:
    """What an attacker's section lacks."""
    found = []
    table = rows(section)
    if len(table) < 5:
        found.append("a table of what it can do")
    for row in table:
        if len(row) != 3 or not all(row):
            found.append(f"a part of {row}")
        elif not references(row[2]):
            found.append(f"a test of {row[0]!r}")
    claims, _, disclaimed = section.partition(NOT_CLAIMED)
    if not claims.strip() or len(re.findall(r"^- \S", disclaimed, re.MULTILINE)) < 3:
        found.append("what is not claimed")
    return found


PAGES = {page.name: page.read_text(encoding="utf-8") for page in (MODEL, SECURITY)}
NAMED = references("".join(PAGES.values()))


@pytest.mark.parametrize(("file", "function"), NAMED, ids=["::".join(filter(None, each)) for each in NAMED])
def test_a_test_that_is_named_exists(file: str, function: str) -> None:
    assert missing(file, function) is None


@pytest.mark.parametrize("page", PAGES)
def test_tests_are_named_in_one_form(page: str) -> None:
    """So that the test above sees each, and a search for a file that moves does, too."""
    without = _REFERENCE.sub("", PAGES[page])
    assert "tests/" not in without
    assert ".py::" not in without


def test_each_attacker_has_its_section() -> None:
    assert [heading for heading in sections(PAGES[MODEL.name]) if heading.startswith(("The ", "Another "))] == list(
        ATTACKERS
    )


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_a_section_has_all_four_parts(attacker: str) -> None:
    assert faults(sections(PAGES[MODEL.name])[attacker]) == []


@pytest.mark.parametrize("page", [MODEL, SECURITY], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in _LINK.findall(text):
        file, _, anchor = target.partition("#")
        other = page.parent / file if file else page
        assert other.is_file(), target
        assert not anchor or anchor in anchors(other), target


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_a_private_way_to_report() -> None:
    report = sections(PAGES[SECURITY.name])["Report a vulnerability"]
    assert "in private" in report
    assert "*Report a vulnerability*" in report
    assert not re.search(r"TODO|FIXME|example\.(?:com|org)", PAGES[SECURITY.name])


def test_the_checks_find_what_they_look_for() -> None:
    here = "tests/docs/test_threat_model.py"
    assert references(f"`{here}`, `{here}::test_x` and {here}") == [(here, ""), (here, "test_x")]
    assert missing("tests/docs/test_nothing.py", "") == "there is no tests/docs/test_nothing.py"
    assert missing(here, "test_nothing") == f"{here} has no test_nothing"
    assert missing("tests/conftest.py", "") == "tests/conftest.py has no test"
    assert missing(here, "test_there_is_a_private_way_to_report") is None
    row = f"| a | b | `{here}` |\n"
    good = f"Who.\n\n{HEADER}\n|---|---|---|\n{row * 5}\n{NOT_CLAIMED}\n\n- one\n- two\n- three\n"
    assert faults(good) == []
    assert faults(good.replace(row * 5, row * 4)) == ["a table of what it can do"]
    assert faults(good.replace(row, "| a | b | seen |\n", 1)) == ["a test of 'a'"]
    assert faults(good.replace(row, row.replace("b", ""), 1)) == [f"a part of {['a', '', f'`{here}`']}"]
    assert faults(good.replace("- three\n", "")) == ["what is not claimed"]
