"""One version number: what states it besides `blindsight/__init__.py` states the same."""

from __future__ import annotations

import json
import re
import subprocess
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


def test_packages_for_javascript_have_this_version() -> None:
    """But for the page's, which is published nowhere and has none."""
    command = ["git", "ls-files", "*package.json"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert listed
    for path in listed:
        package = json.loads((REPOSITORY / path).read_text("utf-8"))
        if not package.get("private"):
            assert package["version"] == __version__, path
