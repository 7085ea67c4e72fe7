"""Commands of the documentation: what a reader types, and what the page shows of its output."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"^(?:(?P<before>[^\n]*)\n)?```console\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not-run: [a-zA-Z][^>]+ -->")


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


def commands(page: str) -> list[Command]:
    """Those of all blocks of a page that are not marked `<!-- not-run: reason -->`, in their order."""
    found: list[tuple[str, list[str]]] = []
    for block in _BLOCK.finditer(page):
        if _NOT_RUN.fullmatch(block["before"] or ""):
            continue
        for line in block["text"].replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return [Command(typed, tuple(shown)) for typed, shown in found]
