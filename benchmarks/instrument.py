"""A process that performs turns on request: the load generator or the bare loop. One JSON object per line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.processes import ROOT, StackError, source_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Instrument:
    """The process, with its input and output lines."""

    def __init__(self, process: psutil.Popen, name: str) -> None:
        self.process = process
        self._name = name

    def turn(self, spec: dict[str, Any], begin: Callable[[], None], end: Callable[[], None]) -> dict[str, Any]:
        """Perform the turn `spec`. `begin` and `end` are called at the begin and the end of the counted time.

        Returns the JSON object that the process prints. Raises `StackError`.
        """
        self.process.stdin.write(json.dumps(spec) + "\n")
        self.process.stdin.flush()
        self.expect("begin")
        begin()
        self.expect("end")
        end()
        return self._answer(self._line())

    def expect(self, word: str) -> None:
        """Read one line. Raises `StackError` unless it is `word`."""
        line = self._line()
        if line != word:
            self._answer(line)
            raise StackError(f"{self._name} says {line[:80]} instead of {word}")

    def _line(self) -> str:
        line = str(self.process.stdout.readline()).strip()
        if not line:
            raise StackError(f"{self._name} ended early; its message stands above")
        return line

    def _answer(self, line: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise StackError(f"{self._name}: {result['error']}")
        return result


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[Instrument]:
    """`python -m benchmarks.MODULE`, which ends with the block."""
    process = psutil.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env=os.environ | source_paths(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Instrument(process, module)
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()
