"""Prose names who is meant: callers, owners, operators, other processes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
VAGUE = re.compile(r"\b(nobody|somebody|whoever|anybody|everybody)\b", re.IGNORECASE)
FOREIGN = (
    "gateway/static/",
    "tests/vectors/",
    "vectors/",
    "requirements/",
    "gateway/web/package-lock.json",
    "clients/js/package-lock.json",
    "fuzz/findings/",
)
MANNERED = re.compile(
    r"the way of one photo|nobody's debugger|before the sun burns out|the enclave's side of it all", re.IGNORECASE
)
ABOUT = {"tests/docs/test_words.py"}
WITH_USERS = "tests/"
"""`nobody` is a user of the system there."""


def _vague(text: str, name: str = "") -> list[str]:
    words = [match[0].lower() for pattern in (VAGUE, MANNERED) for match in pattern.finditer(text)]
    return [word for word in words if not (word == "nobody" and name.startswith(WITH_USERS))]


def test_nothing_speaks_of_an_unnamed_person() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = {}
    for name in listed.stdout.split("\0"):
        if not name or name in ABOUT or name.startswith(FOREIGN):
            continue
        try:
            words = _vague((REPOSITORY / name).read_text("utf-8"), name)
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        if words:
            found[name] = words
    assert found == {}


def test_such_a_word_is_found() -> None:
    assert _vague("Whoever calls it, nobody answers.") == ["whoever", "nobody"]
    assert _vague("The way of one photo.") == ["the way of one photo"]
