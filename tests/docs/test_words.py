"""Prose names who is meant: callers, owners, operators, other processes. Pages keep to plain technical English."""

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
RIDDLES = re.compile(
    r"the way of one photo|nobody's debugger|before the sun burns out|the enclave's side of it all", re.IGNORECASE
)
ABOUT = {"tests/docs/test_words.py"}
MANNERED = {
    "write: is not a": r"(?<!there )\bis no (?!longer\b|more\b)\w+",
    "name the actor, in the active voice": r"\b(?:Taken|Refused|Verified|Said|Measured) (?:are|is|though)\b",
    "name the actor: who does it": r"(?:^|[.;:,(] )who (?:has|may|wants|can|does|must|had)\b",
    "name the text or the message": r"(?:'s|\bown) words?\b",
    "write: trusts, accepts": r"\bbeliev(?:es?|ed|ing)\b",
    "write: a third party, an attacker": r"\b(?:strangers?|thief|thieves)\b",
    "write: options": r"(?<!the )\bknobs\b",
    "write: if present, available": r"\b(?:at hand|is there|are there)\b",
    "write: unlimited, indefinitely": r"\bfor ever\b",
    "write: except": r"\bbut for\b",
    "write: exactly, only": r"\band nothing else\b(?! \|)",
    "write: by default": r"\bof its own accord\b",
    "write: depends on, relies on": r"\brests? on\b",
    "write: contains, has": r"\bstands? (?:there|beside|in)\b",
}
"""Patterns in pages, by what to write instead."""
NOT_PAGES = ("CHANGELOG.md", "docs/performance.md", "model_build/", "fuzz/findings/", "node_modules/")
"""What was done, and what other tools or measurements write."""
WITH_USERS = "tests/"
"""`nobody` is a user of the system there."""


def _vague(text: str, name: str = "") -> list[str]:
    words = [match[0].lower() for pattern in (VAGUE, RIDDLES) for match in pattern.finditer(text)]
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


def _mannered(text: str) -> list[str]:
    return [
        f"{match[0].strip()!r}: {instead}"
        for instead, pattern in MANNERED.items()
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
    ]


def test_pages_are_plain() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    pages = [name for name in listed.stdout.split("\0") if name and not any(part in name for part in NOT_PAGES)]
    assert "README.md" in pages
    found = {name: _mannered((REPOSITORY / name).read_text("utf-8")) for name in pages if (REPOSITORY / name).exists()}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


def test_a_mannered_phrase_is_found() -> None:
    assert len(_mannered("Taken are JPEGs. The file is no image. It holds for ever, and nothing else.")) == 4
    assert _mannered("There is no image, and the old one is no longer valid.") == []


def test_such_a_word_is_found() -> None:
    assert _vague("Whoever calls it, nobody answers.") == ["whoever", "nobody"]
    assert _vague("The way of one photo.") == ["the way of one photo"]
