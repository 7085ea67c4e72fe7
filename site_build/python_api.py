"""The page of the Python client: the public names of `blindsight`, and the exceptions, by autodoc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import blindsight
import blindsight.errors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEAD: Final = """\
Python client
=============

.. automodule:: blindsight.client
   :no-members:
   :no-index:

The :doc:`guide </docs/from-an-app>` shows it in use.

"""


def write(folder: Path) -> None:
    """Write the page."""
    public = [name for name in blindsight.__all__ if not name.startswith("_")]
    errors = [name for name in public if issubclass(getattr(blindsight, name), Exception)]
    others = [name for name in blindsight.errors.__all__ if name not in errors and name[0].isupper()]
    clients = [name for name in public if name.endswith("Client")]
    page = folder / "reference" / "python.rst"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        _HEAD
        + _section("Clients", "blindsight", clients, inherited=True)
        + _section("Answers, policies and reports", "blindsight", (n for n in public if n not in {*clients, *errors}))
        + _section("Exceptions", "blindsight", errors, are_errors=True)
        + _section("Further exceptions", "blindsight.errors", others, are_errors=True),
        encoding="utf-8",
    )


def _section(
    title: str, module: str, names: Iterable[str], *, inherited: bool = False, are_errors: bool = False
) -> str:
    options = "   :members:\n   :undoc-members:\n"
    options += "   :inherited-members: object\n" if inherited else ""
    options += "   :show-inheritance:\n" if are_errors else ""
    return f"{title}\n{'-' * len(title)}\n\n" + "".join(
        f".. autoclass:: {module}.{name}\n{options}\n" for name in names
    )
