"""The result file of the scaling measurement, and its section in docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import docs, tables

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "benchmarks/results/scale.json"
PAGE = "docs/performance.md"
NAME = "scale"
LEAST_EFFICIENCY = 0.9

Result = dict[str, Any]


def write(result: Result, root: Path) -> None:
    """Store `result` in the source tree `root`, and write the page. Raises `OSError`."""
    (root / RESULTS).write_text(docs.dumped(result))
    page = root / PAGE
    page.write_text(docs.replaced(page.read_text("utf-8"), section(result), PAGE, NAME), "utf-8")


def breaches(result: Result) -> list[str]:
    """The fleets whose throughput grew less than their size."""
    return [
        f"{row['enclaves']} enclaves: {row['efficiency']['median']:.2f} of linear"
        for row in result["fleets"]
        if row["efficiency"]["median"] < LEAST_EFFICIENCY
    ]


def fleets(result: Result) -> tables.Table:
    """Throughput and efficiency by size of the fleet."""
    found = [
        ["enclaves", "callers", "requests/s", "of linear", "p50 ms", "p99 ms", "gateway, of a core", "idle, of a core"]
    ]
    for row in result["fleets"]:
        rate = row["requests_per_second"]["median"]
        busy, idle = rate * row["gateway_ms"]["median"] / 1000, result["idle"][str(row["enclaves"])] / 1000
        found.append(
            [
                str(row["enclaves"]),
                str(row["callers"]),
                f"{rate:.2f}",
                _spread(row["efficiency"], 3),
                f"{row['p50_ms']:.0f}",
                f"{row['p99_ms']:.0f}",
                f"{busy:.1%}",
                f"{idle:.1%}",
            ]
        )
    return found


def costs(result: Result) -> tables.Table:
    """Processor time of a request in the gateway."""
    found = [["lane", "photo, bytes", "gateway ms", "runtime ms", "requests/s"]]
    found += [
        [
            row["lane"],
            str(row["bytes"]),
            _spread(row["gateway_ms"], 2),
            _spread(row["runtime_ms"], 2),
            f"{row['requests_per_second']['median']:.0f}",
        ]
        for row in result["costs"]
    ]
    return found


def text(result: Result) -> str:
    """The tables for a terminal."""
    return f"{tables.text(fleets(result))}\n\n{tables.text(costs(result))}\n\n{_idle(result)}"


def section(result: Result) -> str:
    """The Markdown of the page's section."""
    plan, where = result["plan"], result["machine"]
    others = min(max(row["others_share"] for row in result["fleets"]), 1.0)
    busy = f" {docs.NOT_QUIET}" if others > docs.QUIET_SHARE else ""
    return "\n\n".join(
        [
            (
                f"Measured {result['date'][:10]} with `{result['command']}` on {where['processors']} processors"
                f" ({where['processor']}): {plan['rounds']} interleaved rounds of {plan['seconds']:g} s, medians with"
                f" 95 % intervals. The function waits for {1000 * plan['sleep']:g} ms. Other processes had at most"
                f" {others:.0%} of the machine.{busy}"
            ),
            tables.markdown(fleets(result)),
            '"Of linear" is the throughput, divided by the number of enclaves and by that of one in the same round.',
            (
                "Processor time of a request to a function that answers at once, with four callers; the gateway seals"
                " `form` and `raw`, the caller `sealed`:"
            ),
            tables.markdown(costs(result)),
            _idle(result),
        ]
    )


def idle_ms(result: Result) -> float:
    """Processor milliseconds of the gateway in a second for each enclave without requests."""
    sizes = sorted(int(size) for size in result["idle"])
    least, most = sizes[0], sizes[-1]
    return float(result["idle"][str(most)] - result["idle"][str(least)]) / (most - least)


def _idle(result: Result) -> str:
    return (
        f"Without requests, each further enclave costs the gateway {idle_ms(result):.2f} ms a second: its status every"
        f" second. One verification of evidence takes {result['verification_ms']:.1f} ms, every two minutes for each"
        " enclave and at each change of its keys."
    )


def _spread(spread: dict[str, float], digits: int) -> str:
    median, low, high = (f"{spread[name]:.{digits}f}" for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}..{high})"
