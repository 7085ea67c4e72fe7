"""Results as text, as the tables of docs/performance.md, and as its plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures
from benchmarks.figures import BARE, OURS, PLAIN

if TYPE_CHECKING:
    from pathlib import Path

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"

Row = list[str]


def text_table(results: dict[str, Any]) -> str:
    """The main table for a terminal."""
    rows = _throughput_rows(figures.summarise(results["turns"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def write_docs(results: dict[str, Any], docs: Path) -> None:
    """Replace the measured part of performance.md in `docs`, and the plot beside it."""
    page = docs / "performance.md"
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise OSError(f"{page} has no lines {_BEGIN} and {_END} to write between")
    page.write_text(f"{before}{begin}\n{markdown(results)}\n{end}{after}")
    plot(results, docs / "performance.svg")


def markdown(results: dict[str, Any]) -> str:
    rows = figures.summarise(results["turns"])
    parts = [
        _description(results, rows),
        "![Throughput and latency](performance.svg)",
        "### Throughput and latency",
        _markdown_table(_throughput_rows(rows)),
        "### Processor time of one image, milliseconds",
        _markdown_table(_cpu_rows(rows)),
        "### Where an answer's time goes, milliseconds",
        _markdown_table(_stage_rows(rows)),
        "### Memory, MiB",
        _markdown_table(_memory_rows(results["turns"])),
    ]
    return "\n\n".join(parts)


def plot(results: dict[str, Any], path: Path) -> None:
    """Throughput and p95 by number of callers, as SVG. The whiskers are the least and the greatest round."""
    import matplotlib as mpl  # noqa: PLC0415 -- half a second that only this needs

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "blindsight"  # The same figures give the same file.
    from matplotlib import pyplot  # noqa: PLC0415 -- after the backend is chosen

    rows = figures.summarise(results["turns"])
    callers = results["plan"]["callers"]
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for contender, shift in ((PLAIN, -0.2), (OURS, 0.2)):
        own = [
            next(row for row in rows if (row["contender"], row["callers"]) == (contender, count)) for count in callers
        ]
        places = [index + shift for index in range(len(callers))]
        middle = [row["images_per_second"]["median"] for row in own]
        below = [row["images_per_second"]["median"] - row["images_per_second"]["least"] for row in own]
        above = [row["images_per_second"]["greatest"] - row["images_per_second"]["median"] for row in own]
        rates.bar(places, middle, width=0.4, yerr=[below, above], capsize=3, label=contender)
        latencies.bar(places, [row["p95_ms"] for row in own], width=0.4, label=contender)
    bare = rows[0]["images_per_second"]["median"]
    rates.axhline(bare, color="black", linewidth=1, linestyle="--", label=f"{BARE}, 1 caller")
    rates.set_ylabel("images a second")
    latencies.set_ylabel("p95 latency, ms")
    latencies.set_yscale("log")
    for axes in (rates, latencies):
        axes.set_xticks(range(len(callers)), [str(count) for count in callers])
        axes.set_xlabel("callers")
        axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _description(results: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    machine, photo, model, plan = (results[name] for name in ("machine", "photo", "model", "plan"))
    untrained = "" if model["trained"] else ", untrained weights (their values do not change the cost)"
    others = max(row["others_share"]["greatest"] for row in rows)
    lines = [
        (
            f"Measured {results['date'][:10]} with `{results['command']}`: {plan['rounds']} rounds,"
            f" {plan['seconds']:g} s a turn after {plan['warm_up']:g} s of warm-up."
        ),
        "",
        (
            f"- machine: {machine['processors']} processors ({machine['processor']}),"
            f" {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}"
        ),
        f"- versions: {', '.join(f'{name} {version}' for name, version in results['versions'].items())}",
        (
            f"- model: {model['name']} {model['version']}{untrained}, {model['onnx']['bytes'] / 1e6:.1f} MB,"
            f" SHA-256 `{model['onnx']['sha256'][:16]}`"
        ),
        (
            f"- photo: {photo['name']}, {photo['width']}x{photo['height']}, {photo['bytes']} bytes,"
            f" SHA-256 `{photo['sha256'][:16]}`"
        ),
        f"- what else ran on the machine took at most {others:.0%} of it during any turn",
    ]
    return "\n".join(lines)


def _throughput_rows(rows: list[dict[str, Any]]) -> list[Row]:
    table = [["contender", "callers", "images/s", "of plain", "of bare", "p50 ms", "p95 ms", "p99 ms"]]
    for row in rows:
        latencies = [f"{row[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms")]
        comparisons = [_with_range(row["to_plain"]), _with_range(row["to_bare"])]
        table.append(
            [
                row["contender"],
                str(row["callers"]),
                f"{row['images_per_second']['median']:.2f}",
                *comparisons,
                *latencies,
            ]
        )
    return table


def _cpu_rows(rows: list[dict[str, Any]]) -> list[Row]:
    table = [["contender", "callers", "by process", "sum", "generator, apart"]]
    for row in rows:
        spent = dict(row["cpu_ms"])
        generator = spent.pop("generator", None)
        parts = ", ".join(f"{role} {value:.1f}" for role, value in spent.items())
        total = f"{sum(spent.values()):.1f}"
        table.append(
            [row["contender"], str(row["callers"]), parts, total, "" if generator is None else f"{generator:.1f}"]
        )
    return table


def _stage_rows(rows: list[dict[str, Any]]) -> list[Row]:
    """Ours only: the other contenders do not say."""
    ours = [row for row in rows if row["contender"] == OURS]
    names = ["seal", "decode", "preprocess", "run", "open"]
    table = [["callers", *names, "waiting and carrying in the enclave", "in gateway, network and caller", "p50"]]
    for row in ours:
        stages = row["stages_ms"]
        inside = stages["enclave"] - stages["decode"] - stages["preprocess"] - stages["run"]
        outside = row["p50_ms"] - stages["enclave"] - stages["seal"] - stages["open"]
        values = [*(stages[name] for name in names), inside, outside, row["p50_ms"]]
        table.append([str(row["callers"]), *(f"{value:.1f}" for value in values)])
    return table


def _memory_rows(turns: list[figures.Turn]) -> list[Row]:
    table = [["process", "peak resident", "proportional (pages shared by n count 1/n)"]]
    for role, peak in figures.peak_memory(turns).items():
        proportional = peak["pss"]
        table.append(
            [
                role,
                f"{(peak['rss_peak'] or 0) / 2**20:.0f}",
                "" if proportional is None else f"{proportional / 2**20:.0f}",
            ]
        )
    return table


def _with_range(spread: dict[str, float] | None) -> str:
    if spread is None:
        return ""
    if spread["least"] == spread["greatest"] == 1:
        return "1"  # Compared with itself.
    return f"{spread['median']:.2f} ({spread['least']:.2f}..{spread['greatest']:.2f})"


def _markdown_table(rows: list[Row]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["---:" for _ in head[1:]], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
