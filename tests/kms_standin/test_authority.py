"""The stand-in's authority is kept in its folder: measured settings pin it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kms_standin import authority

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_another_start_has_the_same_authority(tmp_path: Path) -> None:
    authority.server_tls(tmp_path, "localhost")
    pinned = (tmp_path / authority.CERTIFICATE).read_bytes()
    authority.server_tls(tmp_path, "localhost")
    assert (tmp_path / authority.CERTIFICATE).read_bytes() == pinned


def test_one_that_ends_soon_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.server_tls(tmp_path, "localhost")
    pinned = (tmp_path / authority.CERTIFICATE).read_bytes()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz or UTC) + timedelta(days=364, hours=1)

    monkeypatch.setattr(authority, "datetime", Later)
    authority.server_tls(tmp_path, "localhost")
    assert (tmp_path / authority.CERTIFICATE).read_bytes() != pinned
