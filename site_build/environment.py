"""The environment in which the references are made: the same for every user, on every machine."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ: Final = ("BLINDSIGHT_", "CAPE_", "XDG_", "OTEL_", "COLUMNS")
"""Variables that settings, defaults of options and help texts depend on, by their beginnings."""


@contextlib.contextmanager
def neutral() -> Iterator[None]:
    """Within it no variable of this user's is read, and their home is `$HOME`, as readers know it."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_READ)}
    with mock.patch.dict(os.environ, {**kept, "HOME": "$HOME"}, clear=True):
        yield
