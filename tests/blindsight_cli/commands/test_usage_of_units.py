"""Commands that a unit carries out speak of the command that was typed, and units by themselves of their own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import blindsight
from tests.support.command_tree import PASSED_ON
from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("command", PASSED_ON, ids=" ".join)
def test_help_and_misuse_name_the_command_that_was_typed(tmp_path: Path, command: tuple[str, ...]) -> None:
    typed = f"blindsight {' '.join(command)}"
    done = blindsight(tmp_path, *command, "--help")
    assert done.stdout.startswith(f"usage: {typed} "), done.stdout
    assert "python -m" not in done.stdout.partition("\n\n")[0]
    done = blindsight(tmp_path, *command, "--no-such-option", "--out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {typed} "), done.stderr
    assert f"\n{typed}: error: " in done.stderr


@pytest.mark.parametrize(
    "command",
    [("enclave_image", "build"), ("enclave_function", "bundle", "build"), ("release_build", "make"), ("evil_gateway",)],
    ids=" ".join,
)
def test_a_unit_that_was_started_by_itself_names_itself(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=tmp_path, env=environment(tmp_path), capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith(f"usage: python -m {' '.join(command)} ")


def test_a_refusal_of_the_demonstration_has_no_name_of_a_package(tmp_path: Path) -> None:
    done = blindsight(tmp_path, "demo", "evil-gateway", "--serve", "--photo", "x")
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["error: --photo has no effect with --serve: the browser has its own", "next:  leave it out"],
    )
