"""The figures of docs/planning.md, computed from the committed results of the benchmarks.

`python -m benchmarks.planning` writes them into the page; a test computes them again.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import docs, tables
from benchmarks.processes import ROOT
from benchmarks.scale.pages import RESULTS as SCALE
from benchmarks.scale.pages import idle_ms
from blindsight.wire.protocol import MAX_KEY_IDS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/planning.md"
NAME = "planned"

RATES = (10, 1000, 100_000)
"""Images a second."""
PHOTO_BYTES = 94_000
"""Of a typical photo: 1200 x 602 pixels."""
UTILISATION = 0.7
"""Share of each processor that is planned for; the rest is for peaks and for what fails."""
WAITING = 2.0
"""Time to an answer, by its processor time: a request waits as long as it is worked on."""
ENCLAVE_CORES = 14
"""Of a machine with 16: two remain for its host system and for forwarding."""
HOPS = 2
"""A photo crosses the network to the gateway and from there to the enclave's machine."""
PLACES = 64
"""`BLINDSIGHT_MAX_IN_FLIGHT` by default."""
EVIDENCE_SECONDS, KEY_SECONDS = 120.0, 3600.0
"""Interval of evidence for each enclave and gateway; the lifetime of keys."""
IDS, IDS_OF_AN_ENCLAVE = MAX_KEY_IDS, 2
"""Key ids in one byte; each enclave publishes two."""

_CALLERS = 16


@dataclass(frozen=True)
class Costs:
    """Processor milliseconds of one image, and what else the measurements say."""

    gateway_ms: dict[str, float]
    """By lane, of a typical photo."""
    enclave_ms: dict[str, float]
    """Runtime and workers, by precision."""
    idle_ms: float
    """Of the gateway in a second for each enclave."""
    verification_ms: float

    def answer_seconds(self, precision: str, lane: str) -> float:
        """From a request to its answer: the processor time of one thread, and the time that it waits for it."""
        return (self.enclave_ms[precision] + self.gateway_ms[lane]) / 1000 * WAITING

    def most(self, lane: str) -> float:
        """Images a second of one gateway process."""
        return 1000 * UTILISATION / self.gateway_ms[lane]


def costs(scale: dict[str, Any], reference: dict[str, Any]) -> Costs:
    """From the result files `scale.json` and `reference.json`."""
    lanes = {row["lane"]: row["gateway_ms"]["median"] for row in scale["costs"] if row["bytes"] == PHOTO_BYTES}
    full = {
        row["precision"]: row["cpu_ms"]["enclave runtime"] + row["cpu_ms"]["workers"]
        for row in reference["throughput"]["rows"]
        if row["contender"] == "blindsight" and row["callers"] == _CALLERS
    }
    return Costs(
        gateway_ms={"gateway": max(lanes["form"], lanes["raw"]), "caller": lanes["sealed"]},
        enclave_ms=full,
        idle_ms=idle_ms(scale),
        verification_ms=scale["verification_ms"],
    )


@dataclass(frozen=True)
class Plan:
    """What one rate, precision and lane need."""

    rate: int
    precision: str
    lane: str
    gateways: int
    enclave_cores: int
    enclaves: int
    in_flight: float
    """Requests in progress at each gateway."""
    fleet: int
    """Enclaves of a group that has one gateway."""
    verifications: float
    """Of evidence, a second, by all gateways together, if each has its own group of enclaves."""
    all_to_all: float
    """The same, if each gateway has all enclaves."""
    gigabits: float


def plan(rate: int, precision: str, lane: str, found: Costs) -> Plan:
    """Compute one line of the page."""
    cores = rate * found.enclave_ms[precision] / 1000 / UTILISATION
    enclaves = max(math.ceil(cores / ENCLAVE_CORES), 2)  # So that one may fail, or be replaced.
    gateways = max(math.ceil(rate * found.gateway_ms[lane] / 1000 / UTILISATION), 2)
    fleet = max(math.ceil(enclaves / gateways), 2)
    each = 1 / EVIDENCE_SECONDS + 1 / KEY_SECONDS
    return Plan(
        rate,
        precision,
        lane,
        gateways,
        math.ceil(cores),
        enclaves,
        in_flight=rate / gateways * found.answer_seconds(precision, lane),
        fleet=fleet,
        verifications=gateways * fleet * each,
        all_to_all=gateways * enclaves * each,
        gigabits=rate * PHOTO_BYTES * 8 * HOPS / 1e9,
    )


def most_enclaves() -> int:
    """The number of a gateway's enclaves that have key ids of their own, even if all replace their keys together."""
    return IDS // (2 * IDS_OF_AN_ENCLAVE)


def plan_table(found: Costs) -> tables.Table:
    """Machines for each rate, precision and lane."""
    plans = [
        plan(rate, precision, lane, found)
        for rate in RATES
        for precision in found.enclave_ms
        for lane in found.gateway_ms
    ]
    head = ["images/s", "precision", "sealed by", "enclave cores", "enclaves", "gateways", "in progress at each"]
    head += ["enclaves for each", "verifications/s", "with all enclaves at all gateways", "Gbit/s"]
    return [
        head,
        *(
            [f"{each.rate:,}", each.precision, each.lane]
            + [f"{number:,}" for number in (each.enclave_cores, each.enclaves, each.gateways)]
            + [f"{each.in_flight:.0f}", str(each.fleet), f"{each.verifications:.2f}", f"{each.all_to_all:,.2f}"]
            + [f"{each.gigabits:,.2f}"]
            for each in plans
        ),
    ]


def section(scale: dict[str, Any], reference: dict[str, Any]) -> str:
    """The Markdown between the page's marks."""
    found = costs(scale, reference)
    per_core = " and ".join(f"{1000 / each:.1f} ({name})" for name, each in found.enclave_ms.items())
    lanes = " and ".join(f"{each:.2f} ms sealed by the {name}" for name, each in found.gateway_ms.items())
    most = {lane: found.most(lane) for lane in found.gateway_ms}
    slow = max(found.enclave_ms, key=lambda name: found.enclave_ms[name])
    waiting = most["gateway"] * found.answer_seconds(slow, "gateway")
    for_statuses = 10 * UTILISATION / found.idle_ms if found.idle_ms else math.inf
    facts = [
        (
            f"An enclave core classifies {per_core} images a second with ResNet50 (runtime and workers, {_CALLERS}"
            " callers)."
        ),
        f"A photo of {PHOTO_BYTES:,} bytes costs the gateway {lanes}.",
        (
            f"One gateway process is one core. At {UTILISATION:.0%} of it, it takes {most['gateway']:,.0f} images a"
            f" second that it seals, or {most['caller']:,.0f} that callers seal."
        ),
        (
            f"With {slow} it then has {waiting:.0f} requests in progress if each waits as long as it is worked on. The"
            f" default of `BLINDSIGHT_MAX_IN_FLIGHT` is {PLACES}."
        ),
        (
            f"Each enclave costs each of its gateways {found.idle_ms:.2f} ms a second without requests, so"
            f" {for_statuses:,.0f} enclaves take a hundredth of that. A verification costs"
            f" {found.verification_ms:.1f} ms."
        ),
        f"Up to {most_enclaves()} enclaves of one gateway have key ids of their own.",
    ]
    return "\n\n".join(
        [
            f"From [scale.json](../{SCALE}) and [reference.json](../{docs.RESULTS}):",
            "\n".join(f"- {fact}" for fact in facts),
            "### Machines",
            tables.markdown(plan_table(found)),
        ]
    )


def write(root: Path) -> None:
    """Write the page of the source tree `root` from its result files. Raises `OSError`."""
    scale, reference = (json.loads((root / name).read_text("utf-8")) for name in (SCALE, docs.RESULTS))
    page = root / PAGE
    page.write_text(docs.replaced(page.read_text("utf-8"), section(scale, reference), PAGE, NAME), "utf-8")


if __name__ == "__main__":
    write(ROOT)
    sys.exit(0)
