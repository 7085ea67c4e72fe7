"""A Sphinx extension: captions of the navigation are headings, and state their level as ARIA requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_TREE = "furo_navigation_tree"


def _level(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    if _TREE in context:
        context[_TREE] = context[_TREE].replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    # After the theme, which makes the tree at the same event.
    app.connect("html-page-context", _level, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
