"""The Markdown of the repository, copied for Sphinx. The copies have the same paths, so most links stay as they are.

Links to files that are no pages lead to copies of these files; links to folders become the folder's name.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from site_build import navigation
from site_build.errors import SiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FENCE: Final = re.compile(r"^(?P<indent> *)```.*?^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)")
_COMMENT: Final = re.compile(r"^ *<!--.*?-->\n", re.DOTALL | re.MULTILINE)
_README: Final = "README.md"


def of_repository(repository: Path) -> list[str]:
    """The Markdown files that become pages, by their paths in the repository, README among them.

    Raises `SiteError` for a page of `docs/` that is in no section.
    """
    docs = [str(PurePosixPath(path.relative_to(repository))) for path in sorted((repository / "docs").rglob("*.md"))]
    others = [page for page in navigation.listed() if page.endswith(".md") and (repository / page).is_file()]
    for page in docs:
        navigation.require_place(page)
    return [_README, *sorted({*docs, *others})]


def write(repository: Path, folder: Path) -> None:
    """Copy all pages, and the files to which they lead, below `folder`. Raises `SiteError`."""
    pages = of_repository(repository)
    copier = _Copier(repository, folder, frozenset(pages))
    for page in pages:
        text = (repository / page).read_text(encoding="utf-8")
        if page == _README:
            first, separator, rest = text.partition("\n## ")
            if not separator:
                raise SiteError("README.md has no section: the site's start page is what precedes the first")
            copier.write(navigation.START, page, _start(first))
            copier.write(navigation.QUICK_START, page, f"# Quick start\n\n## {rest}")
        else:
            copier.write(page, page, text)
    adr = folder / "docs" / "adr" / _README
    decisions = sorted(path.stem for path in adr.parent.glob("0*.md"))
    adr.write_text(adr.read_text(encoding="utf-8") + toctree(decisions), encoding="utf-8")


def toctree(entries: list[str], caption: str = "") -> str:
    """A hidden list of pages for the navigation, in MyST's notation."""
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"\n```{{toctree}}\n{options}\n" + "\n".join(entries) + "\n```\n"


def _start(first: str) -> str:
    rows = [f"| [{section.title}]({section.pages[0]}) | {section.summary} |\n" for section in navigation.SECTIONS]
    contents = "\n## Contents\n\n| section | contents |\n|---|---|\n" + "".join(rows)
    trees = [toctree([_entry(page) for page in section.pages], section.title) for section in navigation.SECTIONS]
    return first.rstrip() + "\n" + contents + "".join(trees)


def _entry(page: str) -> str:
    name = str(PurePosixPath(page).with_suffix(""))
    return f"{navigation.TITLES[page]} <{name}>" if page in navigation.TITLES else name


class _Copier:
    def __init__(self, repository: Path, folder: Path, pages: frozenset[str]) -> None:
        self._repository = repository
        self._folder = folder
        self._pages = pages

    def write(self, place: str, source: str, text: str) -> None:
        """Write `text`, from the file `source`, as the page `place`."""

        def linked(match: re.Match[str]) -> str:
            return self._linked(match, place, source)

        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_outside_fences(_COMMENT.sub("", text), lambda part: _LINK.sub(linked, part)), encoding="utf-8")

    def _linked(self, match: re.Match[str], place: str, source: str) -> str:
        """A link as it is to be on the page `place`."""
        text, target = match["text"], match["target"]
        name, hash_sign, anchor = target.partition("#")
        if re.match(r"[a-z][a-z+.-]*:", target) or (not name and source != _README):
            return match[0]
        aimed = _normal(PurePosixPath(source).parent / name) if name else source
        if (self._repository / aimed).is_dir():
            if f"{aimed}/{_README}" not in self._pages:
                return f"{text.strip('[]')} (a folder of the repository)"
            aimed = f"{aimed}/{_README}"
        if aimed == _README:
            aimed = navigation.QUICK_START if anchor else navigation.START
        elif aimed not in self._pages and (self._repository / aimed).is_file():
            (self._folder / aimed).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._repository / aimed, self._folder / aimed)
        return f"{text}({_relative(aimed, place)}{hash_sign}{anchor})"


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if is_code else change(part) for part, is_code in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for match in _FENCE.finditer(text):
        yield text[end : match.start()], False
        yield match[0], True
        end = match.end()
    yield text[end:], False


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _relative(aimed: str, place: str) -> str:
    return "/".join([".."] * (len(PurePosixPath(place).parts) - 1) + [aimed])
