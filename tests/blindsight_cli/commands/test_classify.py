"""`blindsight classify` of what is not a photo, and at what is no gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import blindsight
from tests.support.images import plain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_device_without_an_end_is_no_photo(tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "/dev/zero")
    assert done.returncode == 1
    assert "The file is not a photo. It is not a regular file." in done.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", ""])
def test_what_is_no_address_is_said(tmp_path: Path, url: str) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "check --url" in done.stderr
