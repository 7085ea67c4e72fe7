"""The deployed function in a process of its own (`python -m enclave_function`): this unit imports no other."""

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
    """What the command `python -m enclave_function` with these `arguments` prints, as it runs.

    Raises `ModelBuildError` with its last line at the end of the block if it failed. A block that ends by an exception
    ends the command.
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
