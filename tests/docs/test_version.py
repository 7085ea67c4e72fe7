"""One version number: what states it besides `blindsight/__init__.py` states the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blindsight import __version__

REPOSITORY = Path(__file__).parents[2]
NUMBER = r"(\d+\.\d+\.\d+)"
STATED = {
    "CHANGELOG.md": rf"\A(?:[^#]|#(?!#))*## {NUMBER}",
    "README.md": rf"Release blindsight {NUMBER}",
    "docs/release-file.md": rf'"version": "{NUMBER}"|blindsight_classify-{NUMBER}-py3',
    "docs/verify-it-yourself.md": rf"blindsight_classify-{NUMBER}-py3|Release {NUMBER} of|Release blindsight {NUMBER}",
}


@pytest.mark.parametrize("name", STATED)
def test_pages_state_this_version(name: str) -> None:
    found = re.findall(STATED[name], (REPOSITORY / name).read_text("utf-8"))
    stated = {number for match in found for number in ([match] if isinstance(match, str) else match) if number}
    assert stated == {__version__}
