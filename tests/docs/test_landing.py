"""README's beginning: what it is, who sees what, a question with its answer, five terms; its pictures."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
FIRST = README.partition("\n## ")[0]
TERMS = ("enclave", "measurement", "evidence", "policy", "sealed")
BOXES = ("your app", "the gateway", "the enclave", "the host")


def test_the_first_screen_has_its_parts() -> None:
    """Before the first heading: in 40 lines, question, answer and picture among them."""
    assert len(FIRST.splitlines()) <= 40
    assert re.search(r"^\$ curl .*localhost:8000/classify$", FIRST, re.MULTILINE)
    assert '"predictions":[{"rank":1,' in FIRST
    assert "Blindsight is for " in FIRST
    (alternative, picture) = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", FIRST)[0]
    assert (REPOSITORY / picture).is_file()
    assert all(box in alternative for box in BOXES)


def test_five_terms_are_defined_in_a_line_each() -> None:
    defined = dict(re.findall(r"^\| \*\*(\w+)\*\* \| (.+) \|$", FIRST, re.MULTILINE))
    assert tuple(defined) == TERMS
    assert all(len(text) <= 120 for text in defined.values())


def test_what_hardware_stands_behind_it_is_said_there() -> None:
    """Until a report of Nitro's is in docs/hardware.md, whose test says when."""
    (line,) = re.findall(r"^\*\*Hardware:\*\* (.+?)(?:\n\n|\n?\Z)", FIRST, re.MULTILINE | re.DOTALL)
    assert "Blindsight has never run on AWS hardware" in " ".join(line.split())
    assert "simulates" in line


def test_capes_part_is_a_page_of_its_own() -> None:
    section = README.partition("\n## Cape's clients\n")[2].partition("\n## ")[0]
    assert len(section.split()) < 60
    assert "](docs/cape.md)" in section


def test_every_picture_is_taken_by_one_command() -> None:
    taken = set(
        re.findall(r'keep\(page, "([\w.-]+)"', (REPOSITORY / "tests/browser/screenshots.py").read_text("utf-8"))
    )
    assert {path.name for path in (REPOSITORY / "docs" / "images").glob("*.png")} == taken
    assert set(re.findall(r"\(docs/images/([\w.-]+\.png)\)", README)) == taken


def test_the_command_for_pictures_starts() -> None:
    """As far as it goes without something to take pictures of."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--assume-old=.venv/installed-dev", "screenshots"],
        cwd=REPOSITORY, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.startswith("error: the pictures need "), done.stderr
    assert done.stdout.strip() == ".venv/bin/python -m tests.browser.screenshots"


def test_the_pictures_are_of_parts_that_the_page_has() -> None:
    source = (REPOSITORY / "tests/browser/screenshots.py").read_text("utf-8")
    page = (REPOSITORY / "gateway/web/page.html").read_text("utf-8")
    parts = set(re.findall(r'"#([a-z-]+)"', source))
    assert {"file", "badge", "seen", "answer-title"} <= parts
    # Swagger UI makes the name of a tag and of an operation.
    assert [part for part in parts if f'id="{part}"' not in page] == ["operations-classify-classify"]
    assert ">What was checked<" in page


def test_the_knobs_are_the_makefiles() -> None:
    (line,) = re.findall(r"^\$ make run ([A-Z].+)$", README, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    defaults = dict(re.findall(r"^([A-Z_]+) \?= ?(.*)$", makefile, re.MULTILINE))
    shown = dict(word.split("=", 1) for word in line.split())
    assert {"PORT", "TLS_PORT", "METRICS_PORT", "STATE", "MODEL"} == set(shown)
    for name in ("PORT", "TLS_PORT", "STATE"):
        assert shown[name] == defaults[name]
    # Without a default there: what is taken where nothing was asked for.
    assert (defaults["METRICS_PORT"], shown["METRICS_PORT"]) == ("", "9000")
    assert defaults["MODEL"] == ""
