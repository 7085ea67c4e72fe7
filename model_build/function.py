"""Runs the deployed function in a separate process (`python -m enclave_function`), as this unit imports no other."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from model_build.errors import ModelBuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE: Final = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def output(*arguments: str) -> Iterator[IO[bytes]]:
    """Yield the standard output of `python -m enclave_function` with these `arguments` while it runs.

    If the command fails, raises `ModelBuildError` with the last line of its standard error at the end of the block. If
    the block raises an exception, the command is killed.
    """
    command = [sys.executable, "-m", "enclave_function", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_SOURCE), os.environ.get("PYTHONPATH", "")])}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment) as process,
    ):
        try:
            yield cast("IO[bytes]", process.stdout)  # Not None, since it is a pipe.
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"]
            raise ModelBuildError(lines[-1].removeprefix("error: "), "check the images")
