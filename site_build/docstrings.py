"""A Sphinx extension: the project's docstrings, which are plain text with code between backticks, for autodoc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_CODE = re.compile(r"`([^`]+)`")


def converted(lines: list[str]) -> list[str]:
    """`lines` as reStructuredText: spans of code, and indented parts as literal blocks."""
    found: list[str] = []
    in_block = False
    for line in lines:
        is_indented = line.startswith("    ")
        if is_indented and not in_block:
            found += ["", ".. code-block:: text", ""]
        in_block = is_indented or (in_block and not line.strip())
        found.append(line if in_block else _spans(line))
    return found


def _spans(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(
        f"``{part}``" if index % 2 else re.sub(r"([\\*|_])", r"\\\1", part) for index, part in enumerate(parts)
    )


def _process(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:  # noqa: ANN401 -- Sphinx's event
    lines[:] = converted(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
