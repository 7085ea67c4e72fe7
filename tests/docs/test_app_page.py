"""docs/from-an-app.md: its programs are short, its numbers are the code's. test_from_an_app.py runs the programs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from blindsight import Client
from blindsight.problems import CATALOGUE
from gateway.errors import RETRY_AFTER_SECONDS
from gateway.settings import Settings
from tests.support.apps import PAGE

LINES = 10
LINES_WITH_RETRIES = 17
TRANSPORT = (Path(__file__).resolve().parents[2] / "clients" / "js" / "src" / "transport.ts").read_text("utf-8")
DEFAULT_TIMEOUT = inspect.signature(Client).parameters["timeout"].default
DEADLINE = Settings.model_fields["deadline"].default
PROGRAMS = [
    (f"{heading} {number}", text)
    for heading, section in (part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
    for number, text in enumerate(re.findall(r"^```(?!console)\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
]

_IMPORT = re.compile(r"(import|from|package|using) ")
_IMPORTS = re.compile(r"^import \(.*?^\)$", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"(public |static |async )*(class|struct|function|func|fun|def|void|Task) .*[{:]")


def counted(text: str) -> list[str]:
    """The lines of a program that say what it does: all but blank ones, imports, headers of classes and functions, and
    lines of brackets alone. A statement in several lines counts as several."""
    lines = [line.strip() for line in _IMPORTS.sub("", text).splitlines()]
    return [
        line
        for line in lines
        if re.search(r"\w", line) and line != "<?php" and not _IMPORT.match(line) and not _HEADER.fullmatch(line)
    ]


@pytest.mark.parametrize(("name", "text"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_a_program_has_ten_lines(name: str, text: str) -> None:
    lines = counted(text)
    assert 4 <= len(lines) <= (LINES_WITH_RETRIES if name.startswith("Retries") else LINES), lines


@pytest.mark.parametrize(("name", "text"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
def test_a_program_waits_longer_than_the_gateway(name: str, text: str) -> None:
    """As *Timeouts* advises. `Client` does so by default."""
    waits = {float(number) for number in re.findall(r"\b(60)(?:_000)?\b", text)}
    assert waits or "new Client(" in text, name
    assert min(waits, default=DEFAULT_TIMEOUT) > DEADLINE


def test_the_timeouts_are_those_of_the_code() -> None:
    section = " ".join(PAGE.partition("\n## Timeouts\n")[2].partition("\n## ")[0].split())
    for words in (
        f"(`BLINDSIGHT_DEADLINE`, {DEADLINE:g} seconds by default)",
        f"The sealing clients wait {DEFAULT_TIMEOUT:g} seconds for each exchange",
        f"answers {CATALOGUE['overloaded'].status} `overloaded` at once",
        f"answers {CATALOGUE['deadline_exceeded'].status} `deadline_exceeded`",
    ):
        assert words in section, words
    assert f"\nexport const DEFAULT_TIMEOUT = {DEFAULT_TIMEOUT:g}_000;\n" in TRANSPORT
    assert Settings.model_config["env_prefix"] + "DEADLINE" == "BLINDSIGHT_DEADLINE"


def test_the_first_delay_is_that_of_the_gateway() -> None:
    section = " ".join(PAGE.partition("\n## Retries\n")[2].partition("\n## ")[0].split())
    assert RETRY_AFTER_SECONDS == 1
    assert "The delay starts with one second, which is the `Retry-After` of this release's gateways." in section
