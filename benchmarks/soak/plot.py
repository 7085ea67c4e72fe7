"""The plot of a soak in SVG. The same result gives the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.plots import save, svg_pyplot

if TYPE_CHECKING:
    from pathlib import Path

NAME = "performance-soak.svg"


def write(result: dict[str, Any], folder: Path) -> None:
    """Write the memory of each process by minute, relative to the first window, to `folder`."""
    plan, samples = result["plan"], result["samples"]
    first = {row["role"]: row["memory_mib"][0] for row in result["rows"]}
    figure, axes = svg_pyplot().subplots(figsize=(9, 3.6), layout="constrained")
    for role, series in samples["processes"].items():
        if role not in first or "waiting" in role:
            continue
        minutes = [at / 60 for at in samples["seconds"][series["first"] :]]
        shares = [100 * each / 1024 / first[role] for each in series["memory_kib"]]
        axes.plot(minutes, shares, linewidth=1, label=f"{role}, {first[role]:.0f} MiB")
    axes.axhspan(95, 105, color="0.9", zorder=0)
    axes.axvline(plan["warm_up"] / 60, color="black", linewidth=0.7, linestyle=":")
    axes.set_ylim(80, 115)
    axes.set_xlabel("minutes")
    axes.set_ylabel("memory, % of after warm-up")
    axes.legend(fontsize="x-small")
    save(figure, folder / NAME)
