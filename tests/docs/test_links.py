"""Links between the pages of the documentation lead somewhere, to the paragraph too; lists of pages are whole."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.split() if (REPOSITORY / name).is_file()]


@cache
def _text(path: Path) -> str:
    return FENCE.sub("", path.read_text("utf-8"))


@cache
def _anchors(path: Path) -> frozenset[str]:
    """As GitHub makes them of headings."""
    seen: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", _text(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.add(anchor if anchor not in seen else f"{anchor}-{seen[anchor]}")
        seen[anchor] = seen.get(anchor, 0) + 1
    return frozenset(anchors)


def _broken(page: Path) -> list[str]:
    broken = []
    for match in LINK.finditer(_text(page)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("name", _pages())
def test_links_lead_somewhere(name: str) -> None:
    assert _broken(REPOSITORY / name) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One word\n\n[a](#one-word) [b](#another) [c](missing.md) [d](page.md#one-word) ![e](none.png)\n")
    assert _broken(page) == ["#another", "missing.md", "none.png"]


def test_every_decision_is_in_the_list() -> None:
    folder = REPOSITORY / "docs" / "adr"
    titles = {path.name: path.read_text("utf-8").splitlines()[0].removeprefix("# ") for path in folder.glob("0*.md")}
    listed = dict(
        re.findall(r"^- \[(.+)\]\((0\d{3}.*\.md)\)$", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    )
    assert {name: title for title, name in listed.items()} == titles


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs" / "adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_parts(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.match(rf"# {int(path.name[:4])}\. .+\n\nDate: 20\d\d-\d\d-\d\d\b.*Status: (accepted|replaced by)", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Options", "Decision", "Consequences"]
    options = text.partition("\n## Options\n")[2].partition("\n## ")[0]
    rows = [row for row in re.findall(r"^\|([^|]+)\|[^|]+\|", options, re.MULTILINE) if set(row.strip()) - {"-"}]
    assert rows[0].strip() in {"option", "part"}
    assert len(rows[1:]) >= 2, "an option alone is no choice"
