"""Commands, run as users run them, with little memory and little room for files."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from tests.support import preloaded
from tests.support.processes import environment

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_MEMORY = 2 << 30


def run(
    folder: Path, *arguments: object, file_bytes: int | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` in `folder`, with 2 GiB of memory. No file may grow beyond `file_bytes`.

    `given` is its standard input. Raises `subprocess.TimeoutExpired` after half a minute.
    """

    return preloaded.run_text(
        str(arguments[0]),
        arguments[1:],
        cwd=folder,
        # Without compiled files: Python keeps those that it could write only in part.
        env={**environment(folder), "COLUMNS": "250", "PYTHONDONTWRITEBYTECODE": "1"},
        given=given,
        timeout=30,
        limits={resource.RLIMIT_AS: _MEMORY} | ({} if file_bytes is None else {resource.RLIMIT_FSIZE: file_bytes}),
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said as it refused: one line, or one and a next step. It failed and printed no traceback."""
    assert done.returncode in {1, 2}, (done.returncode, done.stderr[-600:])
    assert "Traceback" not in done.stderr, done.stderr[-600:]
    return done.stderr
