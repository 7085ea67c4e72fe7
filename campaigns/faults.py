"""The campaign of faults: random kills and stalls of every part while callers of every lane go on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import StackError
from campaigns import leaks, logs, photos
from campaigns.callers import Batch, Plain, Sealed
from campaigns.inject import Injector
from campaigns.judge import Judge, Windows
from campaigns.schedule import planned
from campaigns.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from campaigns.callers import Caller
    from campaigns.inject import Outcome
    from campaigns.leaks import Use
    from campaigns.photos import Photo
    from campaigns.plan import Plan

_SLACK: Final = 1.5
"""Seconds around the fault of a gateway in which a connection may be cut: nginx leaves a dead one alone for one."""
_KEPT_CONNECTIONS: Final = 64
"""That a gateway keeps to an enclave."""


@dataclass
class Run:
    """A service under load, and what was seen of it."""

    site: Site
    judge: Judge
    photos: Sequence[Photo]
    cuts: Windows
    """When gateways were killed or restarted, which cuts connections."""
    windows: Windows
    """When which part had a fault."""
    started: float = 0.0
    baseline: dict[str, Use] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def running(
    plan: Plan, work: Path, say: Callable[[str], None], *, mounted: bool, also: Path | None = None
) -> AsyncIterator[Run]:
    """The service of `plan`, started, without callers; stopped when the block ends. Its policy also accepts the bundle
    `also`. Raises `StackError`.
    """
    known = await asyncio.to_thread(photos.expected, plan.model, plan.photos, work)
    say(f"{len(known)} photos with known answers; starting {plan.enclaves} enclaves, {plan.gateways} gateways")
    site = Site(plan, work, mounted=mounted)
    cuts, windows = Windows(), Windows()
    judge = Judge(
        plan,
        lambda start, end: cuts.any_of("gateway", start - _SLACK, end + _SLACK),
        lambda start, end: any(each.any_of("", start - _SLACK, end + _SLACK) for each in (cuts, windows)),
    )
    try:
        await site.start(also)
        yield Run(site, judge, known, cuts, windows)
    finally:
        await site.stop()


async def cape_of(run: Run, work: Path) -> Callable[..., Caller] | None:
    """What makes a caller of Cape's lane; None if the plan has none."""
    if not run.site.plan.cape:
        return None
    from campaigns import cape  # noqa: PLC0415 -- only where it is asked for

    function = await asyncio.to_thread(cape.deployed, run.site, work)
    return partial(cape.Cape, function=function)


async def callers(run: Run, plan: Plan, work: Path) -> list[Caller]:
    """The callers of the plan, of each lane in turn."""
    made: list[Caller] = []
    function = await cape_of(run, work)
    for number in range(plan.callers):
        arguments = (number, run.site.url, run.photos, run.judge, plan.seed)
        match number % 4:
            case 1:
                made.append(Sealed(*arguments, policy=run.site.policy))
            case 2:
                made.append(Batch(*arguments))
            case 3:
                made.append(function(*arguments) if function else Sealed(*arguments, policy=run.site.policy))
            case _:
                made.append(Plain(*arguments))
    return made


@contextlib.asynccontextmanager
async def calling(everyone: Sequence[Caller], plan: Plan, judge: Judge) -> AsyncIterator[None]:
    """All callers at work while the block runs. A caller that fails by itself is a mistake of the campaign's own."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(caller.run(stop, plan.pause)) for caller in everyone]
    try:
        yield
    finally:
        stop.set()
        _, left = await asyncio.wait(tasks, timeout=judge.longest * 3)
        for task in left:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                judge.mistake("late" if left else "undocumented", f"a caller ended: {outcome!r}")


async def faults(plan: Plan, work: Path, say: Callable[[str], None], *, mounted: bool) -> dict[str, Any]:
    """Run the campaign. Returns its results; `passed` says whether everything that is promised was kept."""
    async with running(plan, work, say, mounted=mounted) as run:
        injector = Injector(run.site, run.windows, run.cuts, run.photos[0])
        schedule = planned(plan)
        say(f"seed {plan.seed}: {len(schedule)} faults in {plan.seconds:g} s, {plan.callers} callers")
        everyone = await callers(run, plan, work)
        async with calling(everyone, plan, run.judge):
            await asyncio.sleep(plan.warm_up)
            run.baseline = {name: leaks.used(unit) for name, unit in run.site.units().items()}
            begun = time.monotonic()
            tasks: list[asyncio.Task[Outcome]] = []
            for fault in schedule:
                await asyncio.sleep(max(begun + fault.at - time.monotonic(), 0))
                say(f"{time.monotonic() - begun:6.1f} s  {fault.part}: {fault.kind} {fault.hold or ''}")
                tasks.append(asyncio.create_task(injector.inject(fault)))
            await asyncio.sleep(max(begun + plan.seconds - time.monotonic(), 0))
            outcomes = await asyncio.gather(*tasks)
        await finish(run)
    return result(run, plan, outcomes) | {"left_out": [each.row() for each in outcomes if each.recovery is None]}


async def finish(run: Run) -> None:
    """After the load: the whole service is ready, nothing has leaked, no log says what it must not."""
    site = run.site
    try:
        await site.wait_ready()
    except StackError as error:
        run.failures.append(str(error))
    for enclave in site.enclaves:
        if not await enclave.probe.is_whole(site.plan.workers, run.photos[0]):
            run.failures.append(f"{enclave.unit.name} is not whole at the end")
        await enclave.probe.close()
    await asyncio.sleep(site.plan.settle)
    after = {name: leaks.used(unit) for name, unit in site.units().items()}
    run.failures += leaks.leaked(run.baseline, after, _KEPT_CONNECTIONS)
    run.failures += [f"in a log: {found}" for found in logs.canaries_in(site.logs(), run.photos)]
    ours = [unit.log for unit in site.units().values()]
    run.failures += [f"not JSON in a log: {found}" for found in logs.tracebacks_in(ours)]


def result(run: Run, plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of a run."""
    judge = run.judge
    done = [outcome for outcome in outcomes if outcome.recovery is not None]
    late = [f"{each.fault.part} after {each.fault.kind}: {each.recovery} s" for each in done if not each.in_time]
    ended = [
        f"{name} ended {unit.endings} times, by the campaign {unit.ends} times"
        for name, unit in run.site.units().items()
        if unit.endings != unit.ends
    ]
    failures = [*(f"not whole in time: {each}" for each in late), *ended, *run.failures]
    latencies = sorted(judge.latencies)
    return {
        "seed": plan.seed,
        "seconds": plan.seconds,
        "callers": plan.callers,
        "enclaves": plan.enclaves,
        "gateways": plan.gateways,
        "cape": plan.cape,
        "redis": plan.redis,
        "crowding": plan.crowding,
        "passed": judge.passed and not failures,
        "failures": failures,
        "mistakes": judge.mistakes,
        "right": dict(judge.right),
        "refused": dict(judge.refused),
        "refused_in": dict(judge.refused_in),
        "cut": dict(judge.cut),
        "expected_refusals": dict(judge.expected),
        "latency": {name: round(latencies[int(len(latencies) * share)], 3) if latencies else None
                    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "deadline": plan.deadline,
        "margin": plan.margin,
        "faults": [each.row() for each in done],
        "errors_logged": dict(logs.exceptions_in(unit.log for unit in run.site.units().values())),
    }  # fmt: skip
