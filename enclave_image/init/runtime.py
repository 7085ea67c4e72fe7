"""Runs the command that the image's measured settings state, and waits for its end."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import FrameType

SETTINGS: Final = Path("/etc/blindsight/enclave.json")
FORMAT: Final = "blindsight-enclave/1"
PYTHON: Final = "/usr/bin/python3.11"
ENVIRONMENT: Final = {"HOME": "/", "LANG": "C.UTF-8", "PATH": "/usr/bin"}


@dataclass(frozen=True)
class Settings:
    """The content of `/etc/blindsight/enclave.json`: a module of the runtime and its arguments. Not secret."""

    module: str
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, file: Path = SETTINGS) -> Self:
        """Read the settings. Raises `OSError`, and `ValueError` for another format."""
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        match found:
            case {"format": "blindsight-enclave/1", "module": str(module), "arguments": [*arguments]} if all(
                isinstance(argument, str) for argument in arguments
            ):
                return cls(module, tuple(arguments))
        raise ValueError(f"{file} is not of the format {FORMAT}")

    @property
    def command(self) -> list[str]:
        """The command line. It starts `boot.py` by its path, because that ignores compiled files (ADR 15)."""
        boot = "/app/enclave_runtime/boot.py"
        return [PYTHON, "-I", "-S", "-B", boot, self.module, *self.arguments]


def run(command: list[str]) -> int:
    """Run `command` and reap all other processes that end meanwhile, as the first process must.

    Returns the exit status, or 128 plus the number of the signal that ended it. Raises `OSError`.
    """
    child = os.posix_spawn(command[0], command, ENVIRONMENT, setsid=True)

    def end(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    # The first process of a machine gets only signals for which it has a handler.
    signal.signal(signal.SIGTERM, end)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
