"""The result file of a campaign, and its section in docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import docs, tables
from benchmarks.soak import pages as soak

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "benchmarks/results/mutated.json"
PAGE = "docs/fuzzing.md"
NAME = "mutated"

Result = dict[str, Any]


def write(result: Result, root: Path) -> None:
    """Store `result` in the source tree `root`, and write the page. Raises `OSError`."""
    (root / RESULTS).write_text(dumped(result))
    page = root / PAGE
    page.write_text(docs.replaced(page.read_text("utf-8"), section(result), PAGE, NAME), "utf-8")


def dumped(result: Result) -> str:
    """The text of the result file."""
    return soak.dumped(result)


def by_outcome(result: Result) -> tables.Table:
    """Number and time of the images of each outcome, and their number by format."""
    formats = list(result["by_format"])
    found = [["outcome", "images", "p50 ms", "p99 ms", "most ms", *formats]]
    for name, row in (*result["outcomes"].items(), ("all", result["all"])):
        counts = [
            sum(each.values()) if name == "all" else each.get(name, 0)
            for each in (result["by_format"][each] for each in formats)
        ]
        times = [f"{row[column]:.0f}" for column in ("p50_ms", "p99_ms", "most_ms")]
        found.append([name, str(row["images"]), *times, *map(str, counts)])
    return found


def by_mutation(result: Result) -> tables.Table:
    """The outcomes of each mutation."""
    names = list(result["outcomes"])
    found = [["mutation", *names]]
    found += [
        [mutation, *(str(counts.get(name, 0)) for name in names)] for mutation, counts in result["by_mutation"].items()
    ]
    return found


def memory(result: Result) -> tables.Table:
    """Memory, descriptors and threads of each process after the warm-up and at the end."""
    found = [["process", "MiB after warm-up", "MiB at the end", "growth"]]
    for row in result["rows"]:
        first, last = row["memory_mib"]
        found.append([row["role"], f"{first:.1f}", f"{last:.1f}", f"{last / first - 1:+.1%}"])
    return found


def text(result: Result) -> str:
    """The tables for a terminal."""
    parts = [tables.text(made(result)) for made in (by_mutation, by_outcome, memory)]
    return "\n\n".join([*parts, _counts(result)])


def section(result: Result) -> str:
    """The Markdown of the page's section."""
    plan, where = result["plan"], result["machine"]
    kept = "No bound was broken." if not result["breaches"] else f"**Broken: {'; '.join(result['breaches'][:5])}.**"
    return "\n\n".join(
        [
            (
                f"Measured {result['date'][:10]} with `{result['command']}` on {where['processors']} processors:"
                f" {plan['images']} images from {plan['originals']} originals, seed `{plan['seed']}`,"
                f" {plan['callers']} callers. {_counts(result)} {kept}"
            ),
            tables.markdown(by_outcome(result)),
            (
                f"Memory between images, the tenth percentile of the {plan['window']} s after a warm-up of"
                f" {plan['warm_up']} s and of the last {plan['window']} s:"
            ),
            tables.markdown(memory(result)),
        ]
    )


def _counts(result: Result) -> str:
    return (
        f"{result['all']['images']} images in {result['seconds']:.0f} s; answers that are not documented for an image:"
        f" {len(result['faults'])}; workers that ended: {result['worker_restarts']}; the slowest image took"
        f" {result['all']['most_ms'] / 1000:.1f} s."
    )
