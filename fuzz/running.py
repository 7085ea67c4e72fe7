"""Runs harnesses one after the other, each in its own process, and records what was run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from fuzz import registry
from fuzz.target import check, check_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Record:
    """One run of a harness. `edges` and `features` are those that libFuzzer reports as covered at the end."""

    processor_seconds: float
    executions: int
    edges: int
    features: int
    finding: bool


PROCESS_SECONDS: Final = 300.0
"""Maximum processor time of one process. The engine keeps about 20 bytes for each execution, which reach the process's
memory limit after twelve million; the harnesses keep nothing."""


def run(names: Iterable[str], seconds: float) -> bool:
    """Run each harness for `seconds` of processor time, or until it finds something. Returns whether all were clean."""
    clean = True
    for name in names:
        left = seconds
        while left > 0:
            record = _run(name, min(left, PROCESS_SECONDS))
            print(f"{name}: {_told(record)}", flush=True)
            if record.finding:
                clean = False
                break
            left -= PROCESS_SECONDS
    return clean


def table() -> str:
    """All recorded runs as a Markdown table, for docs/fuzzing.md."""
    lines = ["| harness | processor seconds | executions | edges | features | findings |", "|---|---|---|---|---|---|"]
    for name in registry.NAMES:
        records = _records(name)
        found = len(registry.files(registry.FINDINGS, name))
        spent, executions = sum(each.processor_seconds for each in records), sum(each.executions for each in records)
        edges, features = (max((getattr(each, of) for each in records), default=0) for of in ("edges", "features"))
        lines.append(f"| `{name}` | {spent:.0f} | {executions} | {edges} | {features} | {found or '–'} |")
    return "\n".join(lines)


def _run(name: str, seconds: float) -> Record:
    registry.CORPUS.mkdir(exist_ok=True)
    log, count = (registry.CORPUS / f"{name}.{suffix}" for suffix in ("log", "count"))
    count.unlink(missing_ok=True)
    with log.open("wb") as sink:
        ended = subprocess.run(
            [sys.executable, "-m", "fuzz.engine", name, str(seconds)], stdout=sink, stderr=sink, check=False
        )
    text = log.read_text("utf-8", errors="replace")
    covered = _COVERAGE.findall(text)
    edges, features = map(int, covered[-1]) if covered else (0, 0)
    counted = json.loads(count.read_text()) if count.exists() else {"processor_seconds": 0.0, "executions": 0}
    record = Record(**counted, edges=edges, features=features, finding=ended.returncode != 0 or not _in_bounds(name))
    if ended.returncode:
        print("\n".join(text.splitlines()[-40:]), file=sys.stderr)
    with (registry.CORPUS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record)) + "\n")
    return record


def _in_bounds(name: str) -> bool:
    """Check the memory of every input in the corpus; an input that exceeds the bound is stored as a finding."""
    target = registry.load(name)
    for path in registry.files(registry.SEEDS, name):
        check(target, path.read_bytes())  # Fills caches, whose memory is not due to any single input.
    try:
        for path in registry.files(registry.CORPUS, name):
            check_memory(target, data := path.read_bytes())
    except Exception as error:  # noqa: BLE001 -- any error is a finding
        (registry.FINDINGS / name / path.name).write_bytes(data)
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _records(name: str) -> list[Record]:
    path = registry.CORPUS / f"{name}.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [Record(**json.loads(line)) for line in lines]


def _told(record: Record) -> str:
    found = ", A FINDING" if record.finding else ""
    return f"{record.processor_seconds} s, {record.executions} executions, {record.edges} edges{found}"
