"""Results as tables. A table is a list of rows of text; the first row is the head."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import OURS
from benchmarks.figures import OURS as OUR_LANES

Table = list[list[str]]
Results = dict[str, Any]

OWN_BEST = "of best peer, same precision"
"""Title of the column with the ratio to the best peer that runs at the row's own precision."""

_MIB = 2**20


def markdown(table: Table) -> str:
    """The table in Markdown; all columns except the first are right-aligned."""
    head, *body = table
    lines = [head, ["---"] + ["---:" for _ in head[1:]], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text(table: Table) -> str:
    """The table for a terminal."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)


def throughput(results: Results) -> Table:
    """Throughput in images per second, ratios, and latency percentiles in milliseconds."""
    compared = ["of bare loop", "of plain FastAPI", OWN_BEST, best_peer_column(results)]
    table = [["precision", "contender", "callers", "images/s", *compared, "p50 ms", "p95 ms", "p99 ms"]]
    for row in results["throughput"]["rows"]:
        ratios = [interval(row[name]) for name in ("of_bare", "of_plain", "of_best_own", "of_best")]
        latencies = [f"{row[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms")]
        table.append(
            [*_who(row), str(row["callers"]), f"{row['images_per_second']['median']:.2f}", *ratios, *latencies]
        )
    return table


def best_peer_column(results: Results) -> str:
    """Title of the column with the ratio to the best peer, which runs at the first precision."""
    return f"of best peer, {next(iter(results['models']))}"


def best_peers(results: Results) -> list[tuple[int, str]]:
    """The best peer for each number of callers."""
    found = {row["callers"]: row["best"] for row in results["throughput"]["rows"] if row["best"]}
    return sorted(found.items())


def processor_time(results: Results) -> Table:
    """Processor time per image in milliseconds, by process."""
    table = [["precision", "contender", "callers", "by process", "sum", "generator, not included"]]
    for row in results["throughput"]["rows"]:
        parts = ", ".join(f"{role} {value:.1f}" for role, value in row["cpu_ms"].items() if value >= 0.05)
        generator = row["generator_cpu_ms"]
        apart = "" if generator is None else f"{generator:.1f}"
        table.append([*_who(row), str(row["callers"]), parts, f"{sum(row['cpu_ms'].values()):.1f}", apart])
    return table


def stages(results: Results) -> Table:
    """Stages of an answer in milliseconds. Only our plain lane reports them."""
    names = ["seal", "decode", "preprocess", "run", "open"]
    around = _head("waiting and transport in the enclave|gateway, network and caller|p50")
    table = [["precision", "callers", *names, *around]]
    for row in results["throughput"]["rows"]:
        if row["contender"] == OURS:
            spent = row["stages_ms"]
            outside = spent["outside"] - spent["seal"] - spent["open"]
            values = [*(spent[name] for name in names), spent["inside"], outside, row["p50_ms"]]
            table.append([row["precision"], str(row["callers"]), *(f"{value:.1f}" for value in values)])
    return table


def peak_memory(results: Results) -> Table:
    """Peak memory in MiB over a contender's turns, by process."""
    peaks: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in results["throughput"]["rows"]:
        if row["kind"] == OUR_LANES and row["contender"] != OURS:
            continue  # The same processes again.
        known = peaks.setdefault(_who(row), {})
        for role, memory in row["memory"].items():
            if role.startswith("function ") or (known.get(role, {"rss_peak": -1})["rss_peak"] > memory["rss_peak"]):
                continue
            known[role] = memory
    table = [["precision", "contender", "process", "peak resident MiB", "proportional MiB"]]
    for who, roles in peaks.items():
        shown = {role: memory for role, memory in roles.items() if memory["rss_peak"] >= 16 * _MIB}
        table += [[*who, role, _mib(memory["rss_peak"]), _mib(memory["pss"])] for role, memory in shown.items()]
        if len(roles) > 1 and all(memory["pss"] is not None for memory in roles.values()):
            table.append([*who, "all", "", _mib(sum(memory["pss"] for memory in roles.values()))])
    return table


def sealing(results: Results) -> Table:
    """Latency of a single caller in milliseconds, by lane."""
    table = [["lane", "p50 ms", "added ms"]]
    for name, lane in results["sealing"]["lanes"].items():
        table.append([name, f"{lane['p50_ms']:.2f}", interval(lane["added_ms"], signed=True)])
    return table


def sizes(results: Results) -> Table:
    """Latency, processor time and stages in milliseconds, by photo."""
    head = ["photo", "pixels", "KB", "precision", "contender", "p50 ms", "processor ms", "decode ms", "preprocess ms"]
    table = [head]
    for size in results["sizes"]:
        photo = size["photo"]
        facts = [photo["size"], f"{photo['width']}x{photo['height']}", f"{photo['bytes'] / 1000:.0f}"]
        for row in size["rows"]:
            spent = [
                f"{row['stages_ms'][name]:.1f}" if name in row["stages_ms"] else "" for name in ("decode", "preprocess")
            ]
            table.append([*facts, *_who(row), f"{row['p50_ms']:.1f}", f"{sum(row['cpu_ms'].values()):.1f}", *spent])
    return table


def storm(results: Results) -> Table:
    """Throughput, latencies in milliseconds and refusals per second under overload."""
    head = _head("contender|callers that, after a refusal,|callers|images/s|of the highest|p50 ms|p99 ms|bound ms")
    table = [head + _head("refused/s|other/s|answers/s to callers that wait")]
    places = results["storm"]["places"]
    for row in results["storm"]["rows"]:
        rate = row["images_per_second"]["median"]
        bound = f"{1000 * places / rate:.0f}" if row["contender"] == OURS else ""
        table.append(
            [row["contender"], row["behaviour"], str(row["callers"]), f"{rate:.2f}", interval(row["of_most"]),
             f"{row['p50_ms']:.0f}", f"{row['p99_ms']:.0f}", bound,
             f"{row['refused_per_second']['median']:.1f}", f"{row['other_per_second']['median']:.1f}",
             "" if (few := row["to_those_who_wait"]) is None else f"{few['median']:.2f}"]
        )  # fmt: skip
    return table


def noop(results: Results) -> Table:
    """Requests per second and processor time per request in milliseconds, of the function that answers at once."""
    head = [
        "lane",
        "bytes",
        "requests/s",
        "gateway ms",
        "runtime ms",
        "worker ms",
        "generator ms",
        "seal ms",
        "open ms",
    ]
    table = [[*head, "requests/s per core of gateway and runtime"]]
    for row in results["noop"]:
        spent = row["cpu_ms"]
        own = [f"{spent.get(name, 0.0):.2f}" for name in ("gateway", "enclave runtime", "workers")]
        steps = [f"{row['stages_ms'][name]:.2f}" if name in row["stages_ms"] else "" for name in ("seal", "open")]
        rate = f"{row['images_per_second']['median']:.0f}"
        generator = f"{row['generator_cpu_ms']:.2f}"
        per_core = interval(row["per_core"], digits=0)
        table.append([row["lane"], str(row["bytes"]), rate, *own, generator, *steps, per_core])
    return table


def memory(results: Results) -> Table:
    """Proportional set in MiB and its growth."""
    table = [["unit", "peak proportional MiB", f"growth over {results['memory']['requests']} requests, MiB"]]
    for unit, found in results["memory"]["units"].items():
        table.append([unit, f"{found['pss']:.0f}", f"{found['growth']:+.1f}"])
    return table


def start(results: Results) -> Table:
    """Seconds from the start to the first answer."""
    head = ["precision", "started", "seconds to the first answer"]
    return [head, *([*_who(row), interval(row["seconds"])] for row in results["start"])]


def interval(spread: dict[str, float] | None, *, signed: bool = False, digits: int = 2) -> str:
    """A median with its interval in brackets; empty for None, and without interval if both limits are equal."""
    if spread is None:
        return ""
    sign = "+" if signed else ""
    middle, low, high = (f"{spread[name]:{sign}.{digits}f}" for name in ("median", "low", "high"))
    if spread["low"] == spread["high"]:
        return middle
    return f"{middle} ({low}..{high})"


def _head(names: str) -> list[str]:
    return names.split("|")


def _who(row: dict[str, Any]) -> tuple[str, str]:
    return row["precision"], row["contender"]


def _mib(size: int | None) -> str:
    return "" if size is None else f"{size / _MIB:.0f}"
