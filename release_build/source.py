"""The source tree that the release is of, and programs run in it without what the caller's account and shell set."""

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
"""What programs need to start. Everything else could reach the output: SOURCE_DATE_EPOCH, TZ, PIP_*, PYTHON*, HOME."""


def run(*arguments: str, where: Path = SOURCE) -> str:
    """What `python ARGUMENTS` prints, run in the source tree. Raises `ReleaseBuildError` with its own last line."""
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
    """Copy a regular file. Raises `OSError`."""
    with files.opened(path) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


def read(path: Path) -> bytes:
    """The bytes of an input. Raises `ReleaseBuildError`."""
    try:
        return files.read(path, _MAX_BYTES)
    except OSError as error:
        raise ReleaseBuildError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
