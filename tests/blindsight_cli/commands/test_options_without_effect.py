"""An option that would have no effect is refused: what it asks for would be missing, and unnoticed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import preloaded
from tests.support.command import blindsight
from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_policy_in_the_plain_lane(tiny_stack: Stack, photo: Path, tmp_path: Path) -> None:
    """The photo would go to a gateway that sees it, and to an enclave that the policy was never compared with."""
    done = blindsight(
        tmp_path, "classify", "--url", tiny_stack.gateway.url, "--policy", tiny_stack.policy_file, photo
    )  # fmt: skip
    assert done.returncode == 1, "the photo was sent"
    assert done.stdout == ""
    assert "--policy has no effect without --sealed" in done.stderr
    assert "next:  add --sealed, or leave --policy out" in done.stderr


def test_a_policy_of_the_environment_is_for_the_commands_that_use_one(
    tiny_stack: Stack, photo: Path, tmp_path: Path
) -> None:
    variables = environment(tmp_path, {"policy": tiny_stack.policy_file})
    command = ["classify", "--url", tiny_stack.gateway.url, photo]
    done = preloaded.run_text("blindsight_cli.main", command, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("release", "make", "--out", "new", "--bundle", "absent.zip", "--emulated"),
         "--emulated has no effect without --eif"),
        (("model", "check", "absent", "--check-images", "."), "--check-images has no effect without --weights"),
        (("demo", "evil-gateway", "--port", "8667"), "--port has no effect without --serve"),
        (("demo", "evil-gateway", "--serve", "--photo", "a.png"), "--photo has no effect with --serve"),
        (("demo", "evil-gateway", "--serve", "--policy", "p.json"), "--policy has no effect with --serve"),
    ],
)  # fmt: skip
def test_siblings(tmp_path: Path, command: tuple[str, ...], said: str) -> None:
    done = blindsight(tmp_path, *command)
    assert said in done.stderr
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("enclave_image", "packages", "--cache", "folder"), "--cache has no effect without --fetch"),
        (("enclave_runtime", "serve", "--bundle", "absent.zip", "--state", "state", "--insecure-open-port",
          "--gateway-secret", "secret"), "--gateway-secret has no effect with --insecure-open-port"),
    ],
)  # fmt: skip
def test_siblings_in_units(tmp_path: Path, command: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert said in done.stderr
    assert done.returncode != 0
