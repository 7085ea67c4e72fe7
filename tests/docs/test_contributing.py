"""CONTRIBUTING names what is there, and its commands do what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:[a-z_]+/)+[a-z_.]*|[a-z_]+/[a-z_/]+)`", PAGE))))
def test_what_it_points_to_is_there(path: str) -> None:
    assert (REPOSITORY / path).exists()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/releasing.md"])
def test_its_targets_of_make_are_there(page: str) -> None:
    targets = set(
        re.findall(r"(?:^|\$ |`| {3})make ([a-z][a-z-]+)", (REPOSITORY / page).read_text("utf-8"), re.MULTILINE)
    )
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    assert targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_one_test_runs_alone() -> None:
    one = "tests/blindsight/test_problems.py"
    command = [
        "make",
        "--no-print-directory",
        "--assume-old=.venv/installed-dev",
        "quick",
        f"T={one} -p no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


def test_a_commit_is_checked_as_make_checks() -> None:
    """The hooks start what `make check` starts."""
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    checked = {
        " ".join(line.split()[:3])
        for line in re.findall(r"^\t\$\(BIN\)/((?:ruff|mypy|lint-imports).*)$", makefile, re.MULTILINE)
    }
    hooks = (REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8")
    entries = {
        entry.removesuffix(" --force-exclude") for entry in re.findall(r"entry: \.venv/bin/(.+)$", hooks, re.MULTILINE)
    }
    assert entries == checked
