"""A campaign's results: the file, the summary in Markdown, and the page that holds it."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import machine_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAGE: Final = "docs/operations.md"
_STORES: Final = {"PostgreSQL with a Cape host": "cape", "Redis": "redis"}

Results = dict[str, Any]


def committed(scenario: str) -> str:
    """The path of the committed results, relative to the source tree."""
    return f"campaigns/results/{scenario}.json"


def dumped(results: Results) -> str:
    """The text of the results file, with one line for each fault."""
    shown = {name: value for name, value in results.items() if name not in {"faults", "left_out", "steps"}}
    rows = {name: results[name] for name in ("steps", "faults", "left_out") if name in results}
    text = json.dumps(shown, indent=1).removesuffix("\n}")
    for name, value in rows.items():
        lines = ",\n  ".join(json.dumps(row) for row in value)
        text += f',\n "{name}": [{lines and chr(10) + "  "}{lines}]'
    return text + "\n}\n"


def with_facts(results: Results, *, date: str, command: str, load: float) -> Results:
    """`results` with the facts of the machine. `load`: processes that wanted a processor before, for each processor."""
    return {"date": date, "command": command, "machine": machine_facts(), "load_before": round(load, 2)} | results


def summary(results: Results) -> str:
    """A paragraph, the table of faults or steps, and what failed."""
    machine, latency, cut = results["machine"], results["latency"], sum(results["cut"].values())
    refused = ", ".join(f"{count} `{code}`" for code, count in sorted(results["refused"].items())) or "none"
    kept = {kind: len(found) for kind, found in results["mistakes"].items()}
    stores = [name for name, switch in _STORES.items() if results[switch]]
    lines = [
        (
            f"{results['seconds']:g} s on {results['date']} with seed {results['seed']}: {results['callers']} callers,"
            f" {results['gateways']} gateways, {results['enclaves']} enclaves of one worker,"
            f" {' and '.join(stores) or 'no database'}; {machine['processors']} processors ({machine['processor']});"
            f" load before the run {results['load_before']:g} for each."
        ),
        "",
        f"- right answers: {_counted(results['right'])}; wrong answers: {kept['wrong answer']}",
        f"- documented refusals: {refused}",
        f"- requests lost with a killed or restarted gateway: {cut}",
        (
            f"- beyond the deadline of {results['deadline']:g} s by more than {results['margin']:g} s: {kept['late']};"
            f" undocumented errors: {kept['undocumented']}"
        ),
        (
            f"- seconds to a right answer: median {latency['p50']}, 95 % within {latency['p95']}, 99 % within"
            f" {latency['p99']}"
        ),
    ]
    if results["expected_refusals"]:
        lines.append(f"- refusals by a caller's own policy that had to be: {_counted(results['expected_refusals'])}")
    if results.get("faults"):
        lines.append(f"- faults: {len(results['faults'])}; left out: {len(results.get('left_out', ()))}")
        lines += ["", markdown(_faults(results["faults"]))]
    if results.get("steps"):
        lines += ["", markdown([["at, s", "step", "took, s"], *([str(row["at"]), row["step"], str(row["took"])]
                                                               for row in results["steps"])])]  # fmt: skip
    if not results["passed"]:
        lines += [
            "",
            f"**Not passed**: {sum(kept.values())} mistakes; {'; '.join(results['failures']) or 'nothing else'}.",
        ]
    return "\n".join(lines)


def write(results: Results, scenario: str, root: Path) -> None:
    """Store the results in the source tree `root`, and write the page. Raises `OSError` if it lacks the marks."""
    file = root / committed(scenario)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dumped(results))
    page = root / PAGE
    page.write_text(replaced(page.read_text("utf-8"), scenario, summary(results)), "utf-8")


def replaced(page: str, scenario: str, content: str) -> str:
    """`page` with `content` between the marks of the scenario. Raises `OSError` if it lacks them."""
    begin, end = f"<!-- {scenario}: begin -->", f"<!-- {scenario}: end -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise OSError(f"{PAGE} has no lines {begin} and {end} to write between")
    return f"{before}{begin}\n{content}\n{end}{after}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _faults(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    table = [["fault", "times", "whole again after, median s", "worst s", "promised s"]]
    for kind in sorted({row["kind"] for row in rows}):
        found = [row for row in rows if row["kind"] == kind]
        seconds = [row["recovery"] for row in found]
        table.append([kind, str(len(found)), f"{median(seconds):.1f}", f"{max(seconds):.1f}", f"{found[0]['limit']:g}"])
    return table


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
