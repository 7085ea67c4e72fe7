"""A photo for the commands that classify one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.images import plain

if TYPE_CHECKING:
    from pathlib import Path

CLASS = 717
"""The colour model's class for the photo."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    file.write_bytes(plain(CLASS))
    return file
