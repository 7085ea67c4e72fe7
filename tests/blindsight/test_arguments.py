"""Numbers on the units' command lines: what makes no sense is refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import preloaded
from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

SERVE = ("enclave_runtime", "serve", "--bundle", "none.zip", "--state", "none")
BUILD = ("enclave_image", "build", "--bundle", "none.zip", "--out", "none.eif")
FORWARD = ("gateway", "forward", "--listen", "tcp://127.0.0.1:0", "--to", "example.org:443")
STAND_IN = (
    "kms_standin", "serve", "--state", "none", "--key", "k", "--policy", "none", "--root", "none", "--role", "r"
)  # fmt: skip
EVIL = ("evil_gateway", "--serve", "--trick", "other-code")
CASES = [
    (BUILD, "--workers", ("0", "-1", "x")),
    (BUILD, "--call-seconds", ("0", "-5", "nan", "inf", "x")),
    (SERVE, "--workers", ("0", "-1")),
    (SERVE, "--queue", ("0",)),
    (SERVE, "--call-seconds", ("-5", "nan")),
    (SERVE, "--key-seconds", ("0",)),
    (SERVE, "--handler-seconds", ("inf",)),
    (SERVE, "--handler-memory", ("0",)),
    (SERVE, "--bundle-memory", ("-1",)),
    (SERVE, "--confined-memory", ("0",)),
    (FORWARD, "--connections", ("0",)),
    (FORWARD, "--idle-seconds", ("-1", "nan")),
    (STAND_IN, "--max-document-age", ("0",)),
    (STAND_IN, "--port", ("65536", "-1", "x")),
    (STAND_IN, "--metadata-port", ("65536",)),
    (EVIL, "--port", ("65536", "99999", "-1", "x")),
]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [(command, option, value) for command, option, values in CASES for value in values],
)
def test_a_number_that_makes_no_sense_is_refused(
    command: tuple[str, ...], option: str, value: str, tmp_path: Path
) -> None:
    module, *words = command
    done = preloaded.run_text(module, [*words, f"{option}={value}"], cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 2, done.stderr
    assert f"argument {option}: {value} is not" in done.stderr
