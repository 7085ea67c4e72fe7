"""Ctrl-C in a unit's command: one line, exit status 130, and no draft is left."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

WAITING = ("bundle", "encrypt", "bundle.zip", "--key", "-", "--out", "out")
"""It waits for its key on standard input."""


def _unread(pipe: int) -> int:
    """Bytes in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("module", ["enclave_function", "blindsight_cli.main"])
def test_a_command_that_waits_for_a_key_ends(tmp_path: Path, module: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *WAITING],
        cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        stdin = process.stdin
        assert stdin is not None
        stdin.write("{")
        stdin.flush()
        wait_until("the command reads its key", lambda: not _unread(stdin.fileno()))
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said.strip()) == (130, "error: interrupted.")
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


def test_a_library_that_makes_an_error_of_its_own_of_ctrl_c(tmp_path: Path) -> None:
    """As those in C do whose loading is interrupted."""
    (tmp_path / "library.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    signal.pause()\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('initialization failed') from error\n"
    )
    program = "import sys; from blindsight import interrupt; sys.exit(interrupt.run('library'))"
    variables = environment(tmp_path)
    variables["PYTHONPATH"] += f":{tmp_path}"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False, timeout=20
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stderr) == (130, "error: interrupted.\n")
