"""The command reference: one page for each program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from site_build.markdown import cell, code, fenced, prose, table
from site_build.pages import toctree
from site_build.programs import programs

if TYPE_CHECKING:
    from pathlib import Path

    from site_build.programs import Command

_INTRODUCTION = """\
# Commands

`blindsight` and `cape` are the commands of the wheel. The others belong to units, and run in a clone of the repository.
These pages are made from the programs' own parsers.

"""


def write(folder: Path) -> None:
    """Write the list of programs, and below it their pages."""
    trees = programs()
    pages = folder / "reference" / "commands"
    pages.mkdir(parents=True, exist_ok=True)
    names = {tree.name: tree.name.rpartition(" ")[2].replace("_", "-") for tree in trees}
    rows = [(f"[`{tree.name}`](commands/{names[tree.name]}.md)", cell(_first(tree.summary))) for tree in trees]
    text = (
        _INTRODUCTION + table(("program", "purpose"), rows) + toctree([f"commands/{each}" for each in names.values()])
    )
    (folder / "reference" / "commands.md").write_text(text, encoding="utf-8")
    for tree in trees:
        (pages / f"{names[tree.name]}.md").write_text(_page(tree), encoding="utf-8")


def _page(tree: Command) -> str:
    parts = [f"# {tree.name}\n\n", _body(tree)]
    for command in list(tree.walk())[1:]:
        parts += [f"## {command.name}\n\n", _body(command)]
    return "".join(parts)


def _body(command: Command) -> str:
    summary = f"{prose(command.summary)}\n\n" if command.summary else ""
    rows = [(code(option.spelling), cell(option.meaning)) for option in command.options]
    children = [(f"`{child.name}`", cell(_first(child.summary))) for child in command.children]
    return (
        summary
        + fenced(command.usage, "text")
        + table(("option or argument", "meaning"), rows)
        + table(("command", "purpose"), children)
    )


def _first(text: str) -> str:
    return text.partition("\n\n")[0]
