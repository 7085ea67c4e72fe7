"""The text that README and docs/performance.md contain about the committed results, between two marks in each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks import plots, tables
from benchmarks.contenders import CAPE
from benchmarks.figures import OURS
from benchmarks.measure import without_latencies
from benchmarks.tables import markdown

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
RESULTS = "benchmarks/results/reference.json"
"""The committed results, relative to the source tree."""

Results = dict[str, Any]

QUIET_SHARE = 0.1
"""Share of the machine's processor time, 0..1, above which other processes have disturbed a turn."""

QUIET_TURNS = 0.05
"""Share of disturbed turns, 0..1, above which a run's figures are unreliable: medians of five rounds bear one each."""

NOT_QUIET = "**The machine was busy. These figures only show that the benchmark works.**"

_LINE_DEPTH = 2


def write(results: Results, root: Path) -> None:
    """Store `results` as the committed results of the source tree `root`, and write the pages and plots from them.

    Raises `OSError` if a page lacks the marks.
    """
    kept = without_latencies(results)
    file = root / RESULTS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dumped(kept))
    for page, content in pages(kept).items():
        path = root / page
        path.write_text(replaced(path.read_text("utf-8"), content, page), "utf-8")
    plots.write(kept, root / "docs")


def pages(results: Results) -> dict[str, str]:
    """The text between the marks, by the page's path in the source tree."""
    return {"README.md": summary(results), "docs/performance.md": full(results)}


def replaced(page: str, content: str, name: str, measured: str = "measured") -> str:
    """`page` with `content` between its marks for what was `measured`. Raises `OSError` if it lacks them; `name` is for
    the message.
    """
    mark = [each.replace("measured", measured) for each in (BEGIN, END)]
    before, begin, rest = page.partition(mark[0])
    _, end, after = rest.partition(mark[1])
    if not begin or not end:
        raise OSError(f"{name} has no lines {mark[0]} and {mark[1]} to write between")
    return f"{before}{begin}\n{content}\n{end}{after}"


def dumped(results: Results) -> str:
    """The text of the results file, with one line for each turn and row, so that two runs can be compared."""
    return _laid_out(results, 0) + "\n"


def _laid_out(value: Any, depth: int) -> str:  # noqa: ANN401 -- JSON
    if depth > _LINE_DEPTH or not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    indent = " " * (depth + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_laid_out(each, depth + 1)}" for name, each in value.items()]
    else:
        items = [_laid_out(each, depth + 3) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + indent + f",\n{indent}".join(items) + "\n" + " " * depth + closing


def summary(results: Results) -> str:
    """README's table: our lanes, relative to the bare loop and the peers."""
    if "throughput" not in results:
        return ""
    best = tables.best_peer_column(results)
    table = [
        ["precision", "callers", "sealed by", "images/s", "of bare loop", "of plain FastAPI", tables.OWN_BEST, best]
    ]
    for row in results["throughput"]["rows"]:
        if row["kind"] == OURS and row["contender"] != CAPE:
            who = "caller" if "caller" in row["contender"] else "gateway"
            compared = [_middle(row[name]) for name in ("of_bare", "of_plain", "of_best_own", "of_best")]
            rate = f"{row['images_per_second']['median']:.1f}"
            table.append([row["precision"], str(row["callers"]), who, rate, *compared])
    machine = results["machine"]
    where = f"{machine['processors']} cores, {machine['processor']}, {results['date'][:10]}"
    mark = f" {NOT_QUIET}" if _was_busy(results) else ""
    return f"{markdown(table)}\n\n{_named(results)} {where}; {_best(results)}.{mark}"


def full(results: Results) -> str:
    """The measured section of docs/performance.md: conditions, and the tables of each part."""
    parts = [_description(results)]
    for name, sections in _SECTIONS.items():
        if name in results:
            parts += [piece for section in sections for piece in section(results)]
    return "\n\n".join(parts)


def _throughput(results: Results) -> list[str]:
    return [
        "### Throughput and latency",
        f"![Throughput and latency]({plots.THROUGHPUT})",
        markdown(tables.throughput(results)),
        f"{_best(results)[0].upper()}{_best(results)[1:]}.",
    ]


def _titled(title: str, table: str) -> Any:  # noqa: ANN401 -- a function
    return lambda results: [f"### {title}", markdown(getattr(tables, table)(results))]


def _storm(results: Results) -> list[str]:
    storm = results["storm"]
    return [
        "### When it is full",
        f"![Overload]({plots.STORM})",
        markdown(tables.storm(results)),
        (
            f'"Bound" is {storm["places"]} divided by the throughput: the gateway has {storm["places"]} places, so an'
            ' accepted request waits for at most that many others. "Of the highest" is the ratio to the highest'
            " throughput of blindsight in the same round."
        ),
    ]


_SECTIONS: dict[str, list[Any]] = {
    "throughput": [
        _throughput,
        _titled("Processor time of one image, milliseconds", "processor_time"),
        _titled("Where an answer's time goes, milliseconds", "stages"),
        _titled("Memory of each contender", "peak_memory"),
    ],
    "sealing": [_titled("Sealed by the caller: latency of a lone caller", "sealing")],
    "sizes": [_titled("Photos of other sizes, one caller", "sizes")],
    "storm": [_storm],
    "noop": [_titled("A function that does nothing", "noop")],
    "memory": [_titled("Memory after thousands of requests", "memory")],
    "start": [_titled("From the start to the first answer", "start")],
}


def _description(results: Results) -> str:
    machine, photo, plan = (results[name] for name in ("machine", "photo", "plan"))
    lines = [
        (
            f"Measured {results['date'][:10]} in {results['minutes']:g} minutes with `{results['command']}`:"
            f" {_rounds(plan['rounds'])}, turns of {plan['seconds']:g} s after {plan['warm_up']:g} s of warm-up."
            " Figures are medians of the rounds, with 95 % intervals in brackets (bootstrap)."
        ),
        "",
        (
            f"- machine: {machine['processors']} processors ({machine['processor']};"
            f" {', '.join(machine['features']) or 'no known vector extensions'}),"
            f" {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}"
        ),
        f"- versions: {_listed(results['versions'])}",
        f"- peers: {_listed(results['peers']) or 'none'}",
        *(f"- missing: {name}: {reason}" for name, reason in results["missing"].items()),
        *(f"- {precision}: {_model(model)}" for precision, model in results["models"].items()),
        (
            f"- photo: {photo['name']}, {photo['width']}x{photo['height']}, {photo['bytes']} bytes,"
            f" SHA-256 `{photo['sha256'][:16]}`"
        ),
    ]
    if shares := _others(results):
        disturbed = sum(share > QUIET_SHARE for share in shares)
        lines.append(
            f"- other processes: at most {max(shares):.0%} of the machine's processor time in any turn; more than"
            f" {QUIET_SHARE:.0%} in {disturbed} of {len(shares)}"
        )
        if _was_busy(results):
            lines.append(f"- {NOT_QUIET}")
    return "\n".join(lines)


def _was_busy(results: Results) -> bool:
    shares = _others(results)
    return sum(share > QUIET_SHARE for share in shares) > QUIET_TURNS * len(shares)


def _others(results: Results) -> list[float]:
    """The shares of the machine, 0..1, that other processes had: in each turn of throughput, and in the turns of a row
    of other parts at most.
    """
    rows = [*results.get("throughput", {"turns": []})["turns"], *results.get("storm", {"rows": []})["rows"]]
    rows += [row for size in results.get("sizes", []) for row in size["rows"]]
    rows += [*results.get("noop", []), *([results["memory"]] if "memory" in results else [])]
    return [float(row["others_share"]) for row in rows]


def _model(model: dict[str, Any]) -> str:
    untrained = "" if model["trained"] else ", untrained weights (their values do not change the cost)"
    onnx = model["onnx"]
    agreement = model.get("precision", {}).get("agreement")
    agreed = (
        f", best class as in float32 on {agreement['top1']:.1%} of {agreement['images']} {agreement['set']} images"
        if agreement
        else ""
    )
    return (
        f"{model['name']} {model['version']}{untrained}, {onnx['bytes'] / 1e6:.1f} MB,"
        f" SHA-256 `{onnx['sha256'][:16]}`{agreed}"
    )


def _named(results: Results) -> str:
    return ", ".join(f"{name}: {model['name']}" for name, model in results["models"].items()) + ";"


def _best(results: Results) -> str:
    best = [
        f"{name} with {callers} callers" if callers > 1 else f"{name} with one caller"
        for callers, name in tables.best_peers(results)
    ]
    return f"best peers: {', '.join(best)}" if best else "no peer was measured"


def _middle(spread: dict[str, float] | None) -> str:
    return "" if spread is None else f"{spread['median']:.2f}"


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
