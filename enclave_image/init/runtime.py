"""The command that the image was built for, from its measured settings, and waiting for its end."""

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
    """What `/etc/blindsight/enclave.json` says: a module of ours and its arguments. Nothing in it is secret."""

    module: str
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, file: Path = SETTINGS) -> Self:
        """Raises `OSError`, and `ValueError` for settings of another format."""
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        match found:
            case {"format": "blindsight-enclave/1", "module": str(module), "arguments": [*arguments]} if all(
                isinstance(argument, str) for argument in arguments
            ):
                return cls(module, tuple(arguments))
        raise ValueError(f"{file} is not of the format {FORMAT}")

    @property
    def command(self) -> list[str]:
        """By the path of `boot.py`, which believes no compiled file."""
        boot = "/app/enclave_runtime/boot.py"
        return [PYTHON, "-I", "-S", "-B", boot, self.module, *self.arguments]


def run(command: list[str]) -> int:
    """Run it, reap whatever else ends meanwhile, and return its exit status (128 + signal, if one ended it)."""
    child = os.posix_spawn(command[0], command, ENVIRONMENT, setsid=True)

    def end(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    # The kernel keeps other signals from the first process.
    signal.signal(signal.SIGTERM, end)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
