"""Commands of the documentation: what a reader types, and what the page shows of its output."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(
    r"^(?:(?P<before>[^\n]*)\n)?(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_NOT_RUN = re.compile(r" *<!-- not-run: [a-zA-Z][^>]+ -->")
_SHELLS = {"console", "sh", "bash", "shell"}
_PROGRAM = re.compile(
    r"^ *(?:\$ )?(?:sudo )?(?:[A-Z_]+=\S* )*(?:\S*/)?"
    r"(?:blindsight|cape|make|python3?|pip|curl|docker|git|npm|npx|openssl|aws|nitro-cli|qemu-system-x86_64) ",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: the heading of second level that it is below, its language, text and first line."""

    section: str
    language: str
    text: str
    line: int
    is_marked: bool

    @property
    def has_commands(self) -> bool:
        """Whether it shows what to type: by its language, or, without one, by a line that begins with a program."""
        return self.language in _SHELLS or (not self.language and bool(_PROGRAM.search(self.text)))


@dataclass(frozen=True)
class Command:
    """A command, and the lines that the page shows of its output; an ellipsis stands for anything."""

    typed: str
    shown: tuple[str, ...]

    def missing(self, output: str) -> list[str]:
        """The shown lines that are in no line of `output`, in their order. Spaces and the layout of JSON may differ."""
        if self.shown and self.shown[0].startswith("{"):
            form = ".*".join(map(re.escape, "".join("".join(self.shown).split()).split("…")))
            return [] if re.fullmatch(form, "".join(output.split())) else list(self.shown)
        lines, missing = (" ".join(line.split()) for line in output.splitlines()), []
        for shown in self.shown:
            form = ".*".join(map(re.escape, " ".join(shown.split()).split("…")))
            if shown.strip() != "…" and not any(re.fullmatch(form, line) for line in lines):
                missing.append(shown)
        return missing


def blocks(page: str) -> Iterator[Block]:
    """All fenced blocks of a page, in their order."""
    for found in _BLOCK.finditer(page):
        before = page[: found.start()]
        headings = re.findall(r"^## (.+)$", _BLOCK.sub("", before), re.MULTILINE)
        yield Block(
            headings[-1] if headings else "",
            found["language"],
            textwrap.dedent(found["text"]),
            before.count("\n") + 2,
            bool(_NOT_RUN.fullmatch(found["before"] or "")),
        )


def commands(page: str, section: str | None = None) -> list[Command]:
    """Those of all console blocks of a page, or of a section, that are not marked `<!-- not-run: reason -->`."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks(page):
        if block.language != "console" or block.is_marked or section not in {None, block.section}:
            continue
        for line in block.text.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return [Command(typed, tuple(shown)) for typed, shown in found]


def commands_of(name: str, section: str | None = None) -> list[Command]:
    """`commands` of a page of this project. Its caller types them: tests/docs/test_commands.py looks for calls."""
    return commands((REPOSITORY / name).read_text("utf-8"), section)
