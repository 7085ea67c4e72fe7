"""The source tree of the release: reads and copies of files, and programs run in it with a fixed environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from blindsight import files
from release_build.errors import ReleaseBuildError

SOURCE: Final = Path(__file__).resolve().parents[1]

_MAX_BYTES: Final = 64 << 20
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
"""Variables that programs need to start. Others could change the output: SOURCE_DATE_EPOCH, TZ, PIP_*, PYTHON*."""


def run(*arguments: str, where: Path = SOURCE) -> str:
    """Run `python ARGUMENTS` in the folder `where`, and return its standard output.

    Raises `ReleaseBuildError` if the exit status is not 0, with the last line of its standard error as the message.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"`python {' '.join(arguments)}` failed"])[-1]
        raise ReleaseBuildError(last.removeprefix("error: "), "Correct that, then make the release again.")
    return done.stdout


def copy(path: Path, target: Path) -> None:
    """Copy the regular file `path` to `target`. Raises `OSError`, also if `target` exists."""
    with files.opened(path) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


def read(path: Path) -> bytes:
    """The content of an input, at most 64 MiB. Raises `ReleaseBuildError` if it cannot be read."""
    try:
        return files.read(path, _MAX_BYTES)
    except OSError as error:
        raise ReleaseBuildError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
