"""The table of docs/cape-compatibility.md, made from the docstrings of the conformance tests.

`python -m tests.support.conformance_table` writes it anew. A docstring is `Statement. (clients: how it is tested)`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cape-compatibility.md"
TESTS = Path(__file__).resolve().parents[1] / "cape"
BEGIN = "<!-- generated: python -m tests.support.conformance_table -->\n"
END = "<!-- end of the generated table -->\n"

_NAME = re.compile(r"test_(\d\d)_\w+")
_DOCSTRING = re.compile(r"(?s)(.+)\. \(([^()]+): ([^():]+)\)")


def statements() -> list[tuple[int, str, str, str]]:
    """Number, statement, clients and how it is tested, by number. Raises `ValueError` for another form of docstring."""
    found = []
    for file in sorted(TESTS.glob("test_conformance_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (name := _NAME.fullmatch(node.name)):
                parts = _DOCSTRING.fullmatch(ast.get_docstring(node) or "")
                if parts is None:
                    raise ValueError(f"the docstring of {node.name} is no row of the table")
                found.append((int(name[1]), *parts.groups()))
    return sorted(found)


def table() -> str:
    rows = [f"| {number} | {text} | {clients} | {how} | passes |\n" for number, text, clients, how in statements()]
    return "| | statement | client | tested with | state |\n|---|---|---|---|---|\n" + "".join(rows)


def generated(page: str) -> str:
    """What stands between the marks of `page`."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(head + BEGIN + table() + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
