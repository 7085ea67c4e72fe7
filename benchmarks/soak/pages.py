"""The result file of a soak, and its section in docs/performance.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks import docs, tables
from benchmarks.soak import plot

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "benchmarks/results/soak.json"
PAGE = "docs/performance.md"
NAME = "soak"

Result = dict[str, Any]


def write(result: Result, root: Path) -> None:
    """Store `result` in the source tree `root`, and write the page and its plot. Raises `OSError`."""
    (root / RESULTS).write_text(dumped(result))
    page = root / PAGE
    page.write_text(docs.replaced(page.read_text("utf-8"), section(result), PAGE, NAME), "utf-8")
    plot.write(result, root / "docs")


def dumped(result: Result) -> str:
    """The text of the result file: one line for each member, and for each process's samples."""
    samples = result["samples"]["processes"]
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items() if name != "samples"]
    each = [f"   {json.dumps(role)}: {json.dumps(series)}" for role, series in samples.items()]
    seconds = json.dumps(result["samples"]["seconds"])
    lines.append(f' "samples": {{\n  "seconds": {seconds},\n  "processes": {{\n{_joined(each)}\n  }}\n }}')
    return f"{{\n{_joined(lines)}\n}}\n"


def _joined(lines: list[str]) -> str:
    return ",\n".join(lines)


def table(result: Result) -> tables.Table:
    """Memory, descriptors and threads of each process after the warm-up and at the end."""
    found = [["process", "MiB after warm-up", "MiB at the end", "growth", "descriptors", "threads"]]
    for row in result["rows"]:
        first, last = row["memory_mib"]
        flat = [f"{row[name][0]:g}, {row[name][1]:g}" for name in ("descriptors", "threads")]
        found.append([row["role"], f"{first:.1f}", f"{last:.1f}", f"{last / first - 1:+.1%}", *flat])
    return found


def text(result: Result) -> str:
    """The table and the counts for a terminal."""
    return f"{tables.text(table(result))}\n\n{_counts(result)}"


def section(result: Result) -> str:
    """The Markdown of the page's section."""
    plan, where = result["plan"], result["machine"]
    callers = sum(plan["crowd"].values())
    measures = {row["measure"] for row in result["rows"]}
    memory = "proportional set size" if measures == {"pss"} else "proportional or resident set size"
    kept = "No bound was broken." if not result["breaches"] else f"**Broken: {'; '.join(result['breaches'])}.**"
    return "\n\n".join(
        [
            (
                f"Measured {result['date'][:10]} with `{result['command']}` on {where['processors']} processors"
                f" ({where['processor']}), with {result['model']['name']} {result['model']['version']} and"
                f" {plan['photos']} photos. {callers} callers sent their next request after each answer, more than the"
                f" gateway's 64 places: {_crowd(plan['crowd'])}."
            ),
            f"![Memory of each process]({plot.NAME})",
            tables.markdown(table(result)),
            (
                f"Memory ({memory}), descriptors and threads were sampled every {plan['every']:g} s; the figures are"
                f" medians of the {plan['window']:g} s after a warm-up of {plan['warm_up']:g} s and of the last"
                f" {plan['window']:g} s. {_counts(result)} {kept}"
            ),
        ]
    )


def _crowd(crowd: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in crowd.items())


def _counts(result: Result) -> str:
    refusals = ", ".join(f"{count} `{code}`" for code, count in result["refusals"].items()) or "none"
    faults = sum(result["faults"].values())
    return (
        f"{result['images']} images were classified in {result['seconds']:.0f} s, each compared with the function's own"
        f" answer; wrong answers and undocumented errors: {faults}; refusals because the service was full: {refusals};"
        f" workers that ended: {result['worker_restarts']}; the slowest answer took {result['slowest_seconds']:.1f} s."
    )
