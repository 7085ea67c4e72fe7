"""CHANGELOG.md: its first heading is the version that the wheel has."""

from __future__ import annotations

import re
from pathlib import Path

import blindsight

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def test_the_newest_entry_is_of_this_version() -> None:
    headings = re.findall("^## (.*)$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(blindsight.__version__)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", headings[0])
