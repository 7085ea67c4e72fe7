"""Commands, run as users run them, with little memory and little room for files."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

_MEMORY = 2 << 30


def run(
    folder: Path, *arguments: object, file_bytes: int | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` in `folder`, with 2 GiB of memory. No file may grow beyond `file_bytes`.

    `given` is its standard input. Raises `subprocess.TimeoutExpired` after half a minute.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        # Without compiled files: Python keeps those that it could write only in part.
        env={**environment(folder), "COLUMNS": "250", "PYTHONDONTWRITEBYTECODE": "1"},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=limit,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said as it refused: one line, or one and a next step. It failed and printed no traceback."""
    assert done.returncode in {1, 2}, (done.returncode, done.stderr[-600:])
    assert "Traceback" not in done.stderr, done.stderr[-600:]
    return done.stderr
