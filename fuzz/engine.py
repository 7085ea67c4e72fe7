"""One harness under atheris, in a process of its own: `python -m fuzz.engine NAME SECONDS`.

It writes inputs that increase the coverage to `fuzz/corpus/NAME`, failing inputs to `fuzz/findings/NAME`, and processor
seconds and executions, as a JSON object, to `fuzz/corpus/NAME.count`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Final

import atheris

from fuzz import registry
from fuzz.target import MAX_DATA_BYTES, check, check_memory

if TYPE_CHECKING:
    from pathlib import Path

    from fuzz.target import Target

_INSTRUMENTED: Final = [
    "blindsight", "gateway", "enclave_runtime", "photo_classifier", "fuzz.targets", "jwt", "rfc8785", "json", "zipfile",
    "starlette.formparsers", "python_multipart",
]  # fmt: skip
"""Packages whose branches count as coverage: our own, and Python libraries that parse untrusted input."""

_HANG_SECONDS: Final = 60
"""Wall-clock seconds after which libFuzzer ends an input that never returns. `target.check` finds slow ones before."""

_MEMORY_EVERY: Final = 50
"""One of this many inputs runs with its memory traced, which takes several times as long. `fuzz/running.py` checks all
inputs of the corpus at the end."""


def main(name: str, seconds: float) -> None:
    """Fuzz the harness `name` for `seconds` of processor time. The process then exits, with 0 if nothing was found."""
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = registry.load(name)
    corpus, findings = registry.CORPUS / name, registry.FINDINGS / name
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    words = registry.CORPUS / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in (b"\x00", *target.words)))
    _limit_memory()
    run = _Run(target, seconds, registry.CORPUS / f"{name}.count")
    options = [
        f"-artifact_prefix={findings}/", f"-timeout={_HANG_SECONDS}", f"-max_len={target.max_bytes}", "-rss_limit_mb=0",
        "-reload=0", f"-dict={words}",
    ]  # fmt: skip
    seeds = registry.SEEDS / name
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], run.one)
    atheris.Fuzz()


class _Run:
    def __init__(self, target: Target, seconds: float, count: Path) -> None:
        self._count = count
        self._target = target
        self._begun = time.process_time()
        self._end = self._begun + seconds
        self._executions = 0

    def one(self, data: bytes) -> None:
        self._executions += 1
        try:
            if self._executions % _MEMORY_EVERY:
                check(self._target, data)
            else:
                check_memory(self._target, data)
        except BaseException:
            self._record()
            raise
        if time.process_time() > self._end:
            self._record()
            # libFuzzer offers no other way to stop from inside an input. It has written the corpus by now.
            os._exit(0)

    def _record(self) -> None:
        spent = round(time.process_time() - self._begun, 1)
        self._count.write_text(json.dumps({"processor_seconds": spent, "executions": self._executions}))


def _limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- not a user's file
        pages = int(file.read().split()[5])
    limit = pages * resource.getpagesize() + MAX_DATA_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
