"""Plots of the results in SVG. The same results give the same files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.contenders import CAPE, OURS
from benchmarks.figures import BARE

if TYPE_CHECKING:
    from pathlib import Path

THROUGHPUT, STORM = "performance.svg", "performance-storm.svg"


def write(results: dict[str, Any], folder: Path) -> list[str]:
    """Write one plot for each part that has one to `folder`. Returns their file names."""
    found = []
    if "throughput" in results:
        _throughput(results["throughput"]["rows"], folder / THROUGHPUT)
        found.append(THROUGHPUT)
    if "storm" in results:
        _storm(results["storm"]["rows"], folder / STORM)
        found.append(STORM)
    return found


def _throughput(rows: list[dict[str, Any]], path: Path) -> None:
    """Images per second and 95th percentile by number of callers, for each contender except the Cape lane."""
    shown = [row for row in rows if row["kind"] != BARE and row["contender"] != CAPE]
    names = list(dict.fromkeys((row["precision"], row["contender"]) for row in shown))
    callers = sorted({row["callers"] for row in shown})
    pyplot = svg_pyplot()
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    width = 0.85 / len(names)
    for index, (precision, contender) in enumerate(names):
        own = {row["callers"]: row for row in shown if (row["precision"], row["contender"]) == (precision, contender)}
        places = [callers.index(count) + (index - (len(names) - 1) / 2) * width for count in own]
        spreads = [row["images_per_second"] for row in own.values()]
        whiskers = [[spread["median"] - spread["low"] for spread in spreads],
                    [spread["high"] - spread["median"] for spread in spreads]]  # fmt: skip
        colour = f"C{index}"
        rates.bar(places, [spread["median"] for spread in spreads], width=width, yerr=whiskers, capsize=1,
                  error_kw={"linewidth": 0.7}, color=colour, label=f"{precision}: {contender}")  # fmt: skip
        latencies.bar(places, [row["p95_ms"] for row in own.values()], width=width, color=colour)
    for number, row in enumerate(row for row in rows if row["kind"] == BARE):
        rates.axhline(row["images_per_second"]["median"], color="black", linewidth=1, linestyle=("--", ":")[number % 2],
                      label=f"{row['precision']}: {row['contender']}, 1 caller")  # fmt: skip
    rates.set_ylabel("images a second")
    latencies.set_ylabel("p95 latency, ms")
    latencies.set_yscale("log")
    for axes in (rates, latencies):
        axes.set_xticks(range(len(callers)), [str(count) for count in callers])
        axes.set_xlabel("callers")
    figure.legend(loc="outside lower center", ncols=3, fontsize="x-small")
    save(figure, path)


def _storm(rows: list[dict[str, Any]], path: Path) -> None:
    """Good answers per second and their 99th percentile by number of callers, for each behaviour."""
    pyplot = svg_pyplot()
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for behaviour in dict.fromkeys(row["behaviour"] for row in rows if row["contender"] == OURS):
        own = [row for row in rows if (row["contender"], row["behaviour"]) == (OURS, behaviour)]
        callers = [row["callers"] for row in own]
        rates.plot(callers, [row["images_per_second"]["median"] for row in own], marker="o", label=behaviour)
        latencies.plot(callers, [row["p99_ms"] for row in own], marker="o")
    rates.set_ylabel("good answers a second")
    rates.set_ylim(bottom=0)
    latencies.set_ylabel("p99 latency of good answers, ms")
    latencies.set_yscale("log")
    for axes in (rates, latencies):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("callers")
    figure.legend(loc="outside lower center", ncols=2, fontsize="x-small")
    save(figure, path)


def svg_pyplot() -> Any:  # noqa: ANN401 -- a module
    """matplotlib's module, with a backend that writes SVG."""
    import matplotlib as mpl  # noqa: PLC0415 -- half a second that only this needs

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "blindsight"  # The same figures give the same file.
    from matplotlib import pyplot  # noqa: PLC0415 -- after the backend is chosen

    return pyplot


def save(figure: Any, path: Path) -> None:  # noqa: ANN401 -- matplotlib's
    figure.savefig(path, metadata={"Date": None})
    svg_pyplot().close(figure)
