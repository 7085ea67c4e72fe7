"""The measurement: turns of all fleets, interleaved; the cost of requests and of idle enclaves; the result."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

import rfc8785

from benchmarks import figures, inputs, instrument, machine, processes, sleeping
from benchmarks.scale import fleet
from benchmarks.turn import Contender
from blindsight.attestation.policy import Policy
from blindsight.attestation.recipient import verify_recipient
from blindsight.strict_base64 import decode as from_base64

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.instrument import Instrument
    from benchmarks.stack import Service

    Say = Callable[[str], None]

FORMAT = "blindsight-scale/1"
CALLERS_FOR_EACH = 2
"""Callers for each enclave: one whose request it answers, one whose request waits."""
_VERIFICATIONS = 50


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long. All times in seconds."""

    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    sleep: float = 0.2
    rounds: int = 5
    warm_up: float = 2.0
    seconds: float = 10.0
    bodies: tuple[tuple[str, int], ...] = (
        ("form", 13_000),
        ("raw", 13_000),
        ("sealed", 13_000),
        ("form", 94_000),
        ("raw", 94_000),
        ("sealed", 94_000),
    )
    """Lane, and bytes of the photo, of the requests whose cost is measured."""
    idle_seconds: float = 20.0


def measure(plan: Plan, model: Path, out: Path, say: Say) -> dict[str, Any]:
    """Measure; `out` is the folder for the processes' files. Raises `StackError`."""
    began = datetime.now(UTC)
    results: dict[str, Any] = {
        "format": FORMAT,
        "date": began.isoformat(timespec="seconds"),
        "machine": machine.machine_facts(),
        "versions": machine.versions(),
        "plan": asdict(plan),
    }
    with instrument.running("load") as generator:
        results |= _fleets(plan, model, out / "sleeping", generator, say)
        results["costs"] = _costs(plan, model, out / "answering", generator, say)
    results["minutes"] = round((datetime.now(UTC) - began).total_seconds() / 60, 1)
    return results


def _fleets(plan: Plan, model: Path, work: Path, generator: Instrument, say: Say) -> dict[str, Any]:
    """`fleets`: one row for each. `idle`: processor milliseconds of the gateway in a second without requests, by size
    of its fleet; `memory_mib` of the gateway likewise; `verification_ms`: processor time of one verification.
    """
    work.mkdir(parents=True, exist_ok=True)
    bundle = sleeping.bundled(model, plan.sleep, work / "bundle.zip")
    photo = inputs.made_bytes(work, plan.bodies[0][1])
    with contextlib.ExitStack() as stack:
        enclaves = fleet.Enclaves(bundle, work, max(plan.sizes), stack)
        say(f"{max(plan.sizes)} enclaves have started")
        services = {}
        for size in plan.sizes:
            services[size] = fleet.gateway(enclaves, size, work, stack)
            processes.freeze(services[size].everyone())
        turns: dict[int, list[dict[str, Any]]] = {size: [] for size in plan.sizes}
        for number in range(plan.rounds):
            # Each round begins with another size, so that none is always the first.
            order = plan.sizes[number % len(plan.sizes) :] + plan.sizes[: number % len(plan.sizes)]
            for size in order:
                record = _turn(services[size], size, generator, photo, plan)
                turns[size].append(record)
                say(f"{size:3} enclaves  {figures.throughput(record):7.2f} requests/s")
        alone = [figures.throughput(turn) for turn in turns[plan.sizes[0]]]
        return {
            "fleets": [_row(size, turns[size], alone, plan.sizes[0]) for size in plan.sizes],
            "idle": {str(size): _idle(services[size], size, plan.idle_seconds) for size in plan.sizes},
            "memory_mib": {str(size): _memory(services[size]) for size in plan.sizes},
            "verification_ms": _verification(services[plan.sizes[0]], plan.sizes[0], enclaves.policy),
        }


def _turn(service: Service, size: int, generator: Instrument, photo: Path, plan: Plan) -> dict[str, Any]:
    contender = Contender(fleet.NAME, figures.OURS, "", generator, service, "form")
    with fleet.awake(service, size):
        return contender.turn(photo, plan.warm_up, plan.seconds, callers=CALLERS_FOR_EACH * size)


def _row(size: int, turns: list[dict[str, Any]], alone: list[float], least: int) -> dict[str, Any]:
    """Figures of one fleet. `efficiency`: throughput, by that of the smallest fleet in the same round for each enclave;
    `ideal_share`: throughput by what the waiting alone allows.
    """
    rates = [figures.throughput(turn) for turn in turns]
    return {
        "enclaves": size,
        "callers": CALLERS_FOR_EACH * size,
        "requests_per_second": figures.spread(rates),
        "efficiency": figures.spread([rate * least / (size * one) for rate, one in zip(rates, alone, strict=True)]),
        "gateway_ms": figures.spread([turn["cpu_ms"]["gateway"] for turn in turns]),
        "runtime_ms": median(turn["cpu_ms"]["runtime"] for turn in turns),
        "p50_ms": median(figures.percentile(turn["latencies_ms"], 0.5) for turn in turns),
        "p99_ms": median(figures.percentile(turn["latencies_ms"], 0.99) for turn in turns),
        "others_share": max(turn["others_share"] for turn in turns),
    }


def _idle(service: Service, size: int, seconds: float) -> float:
    (gateway,) = service.roots
    with fleet.awake(service, size):
        before = gateway.cpu_times()
        time.sleep(seconds)
        after = gateway.cpu_times()
    return round(1000 * float(after.user + after.system - before.user - before.system) / seconds, 3)


def _memory(service: Service) -> float:
    (gateway,) = service.roots
    return round(float(gateway.memory_info().rss) / 2**20, 1)


def _verification(service: Service, size: int, policy: Path) -> float:
    """Processor milliseconds of one verification of evidence, the median of several."""
    with fleet.awake(service, size):
        fields, nonce = _evidence(service)
    document, key_configs = from_base64(fields["document"]), from_base64(fields["key_configs"])
    manifest = rfc8785.dumps(fields["model"])
    accepted = Policy.load(policy)
    spent = []
    for _ in range(_VERIFICATIONS):
        begun = time.process_time()
        verify_recipient(document, key_configs, manifest, policy=accepted, nonce=nonce, now=datetime.now(UTC))
        spent.append(1000 * (time.process_time() - begun))
    return round(median(spent), 3)


def _evidence(service: Service) -> tuple[dict[str, Any], bytes]:
    nonce = secrets.token_bytes(32)
    url = f"http://127.0.0.1:{service.port}/attestation?nonce={nonce.hex()}"
    with processes.DIRECT.open(url) as response:
        return json.load(response), nonce


def _costs(plan: Plan, model: Path, work: Path, generator: Instrument, say: Say) -> list[dict[str, Any]]:
    """What a request costs the gateway in each lane and size, before enclaves whose function answers at once."""
    work.mkdir(parents=True, exist_ok=True)
    bundle = sleeping.bundled(model, 0.0, work / "bundle.zip")
    with contextlib.ExitStack() as stack:
        enclaves = fleet.Enclaves(bundle, work, 1, stack)
        service = fleet.gateway(enclaves, 1, work, stack)
        turns: dict[tuple[str, int], list[dict[str, Any]]] = {body: [] for body in plan.bodies}
        for _ in range(plan.rounds):
            for lane, size in plan.bodies:
                contender = Contender(fleet.NAME, figures.OURS, "", generator, service, lane)
                record = contender.turn(inputs.made_bytes(work, size), plan.warm_up, plan.seconds, callers=4)
                turns[lane, size].append(record)
                say(f"{lane:6} {size:6} bytes  {record['cpu_ms']['gateway']:.2f} ms of the gateway")
    return [
        {
            "lane": lane,
            "bytes": size,
            "gateway_ms": figures.spread([turn["cpu_ms"]["gateway"] for turn in found]),
            "runtime_ms": figures.spread([turn["cpu_ms"]["runtime"] for turn in found]),
            "requests_per_second": figures.spread([figures.throughput(turn) for turn in found]),
        }
        for (lane, size), found in turns.items()
    ]
