"""The campaign of a roll-out: the enclaves are replaced one by one by those of another release, under load.

Meanwhile one enclave is killed and one gateway is restarted. Callers whose policy accepts only the old release are
served until the last old enclave ends; those who accept only the new one, from the first new enclave on.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import StackError
from campaigns import leaks
from campaigns.callers import Batch, Plain, Sealed
from campaigns.faults import calling, cape_of, finish, result, running
from campaigns.site import built, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaigns.callers import Caller
    from campaigns.faults import Run
    from campaigns.plan import Plan
    from campaigns.site import Enclave, Gateway

OLD, NEW = "sealed, old release", "sealed, new release"
LATER: Final = "later"
"""Version of the new release's model, whose graph is the same."""
_SECONDS: Final = 60.0


@dataclass
class Times:
    """When the releases came and went (`time.monotonic()`)."""

    first_new: float = float("inf")
    last_old: float = float("inf")

    def old_refused(self, _start: float, end: float) -> bool:
        """Whether a policy of the old release may have refused all enclaves."""
        return end >= self.last_old

    def new_refused(self, start: float, _end: float) -> bool:
        return start <= self.first_new


@dataclass
class Rollout:
    """The steps, and how long each took."""

    run: Run
    later: Path
    say: Callable[[str], None]
    times: Times = field(default_factory=Times)
    steps: list[dict[str, Any]] = field(default_factory=list)

    async def replace(self, number: int) -> None:
        """Drain and end an enclave, and start one of the new release at its address."""
        site = self.run.site
        enclave = site.enclaves[number]
        if all(each.release == "new" for each in site.enclaves if each is not enclave):
            self.times.last_old = time.monotonic()
        # A Cape session stays at its enclave, and ends with it.
        self.run.windows.begin(enclave.unit.name)
        await enclave.unit.stop()
        enclave.unit.unit = site.enclave_unit(number, self.later, enclave.port, enclave.disk).unit
        enclave.release = "new"
        enclave.unit.start()
        await self._used(enclave)
        self.run.windows.end(enclave.unit.name)
        self.times.first_new = min(self.times.first_new, time.monotonic())

    async def kill(self, number: int) -> None:
        """SIGKILL an enclave's runtime, which is started again."""
        enclave = self.run.site.enclaves[number]
        self.run.windows.begin(enclave.unit.name)
        enclave.unit.end(signal.SIGKILL)
        await until("its end is seen", lambda: enclave.unit.endings == enclave.unit.ends, _SECONDS)
        await self._used(enclave)
        self.run.windows.end(enclave.unit.name)

    async def restart(self, number: int) -> None:
        """SIGTERM a gateway, which answers what it has and is started again."""
        gateway = self.run.site.gateways[number]
        self.run.cuts.begin(gateway.unit.name)
        gateway.unit.end(signal.SIGTERM)
        await until("its end is seen", lambda: gateway.unit.endings == gateway.unit.ends, _SECONDS)
        await until("it uses all enclaves", lambda: self._uses_all(gateway), _SECONDS)
        self.run.cuts.end(gateway.unit.name)

    async def step(self, name: str, what: Any, number: int) -> None:  # noqa: ANN401 -- one of the above
        """Do one, and record it."""
        at = time.monotonic()
        self.say(f"{at - self.run.started:6.1f} s  {name}")
        try:
            await what(number)
        except StackError as error:
            self.run.failures.append(f"{name}: {error}")
        row = {"at": round(at - self.run.started, 1), "step": name, "took": round(time.monotonic() - at, 1)}
        self.steps.append(row)

    def check_served(self) -> None:
        """Callers of each release were served all the time that it was there, and refused afterwards or before."""
        run, times, plan = self.run, self.times, self.run.site.plan
        end = run.started + plan.seconds
        for lane, start, until_then in ((OLD, run.started, times.last_old), (NEW, times.first_new, end)):
            gap = run.judge.longest_gap(lane, start, min(until_then, end))
            if gap > (plan.deadline + plan.margin) * plan.crowding:
                run.failures.append(f"{lane}: no right answer for {gap:.1f} s, though the release was there")
            if not run.judge.right[lane]:
                run.failures.append(f"{lane}: no right answer at all")
            if not run.judge.expected[lane]:
                run.failures.append(f"{lane}: never refused, though the release was not there")

    async def _used(self, enclave: Enclave) -> None:
        """Wait until it answers by itself, and every gateway uses it."""
        site = self.run.site
        number = site.enclaves.index(enclave)

        async def is_used() -> bool:
            if not await enclave.probe.is_whole(site.plan.workers, self.run.photos[0]):
                return False
            ready = await asyncio.gather(*(gateway.ready_enclaves() for gateway in site.gateways))
            return all(site.ids[number] in each for each in ready)

        await until(f"{enclave.unit.name} is used", is_used, _SECONDS)

    async def _uses_all(self, gateway: Gateway) -> bool:
        return set(self.run.site.ids) == await gateway.ready_enclaves()


async def rollout(plan: Plan, work: Path, say: Callable[[str], None], *, mounted: bool) -> dict[str, Any]:
    """Run the campaign. Returns its results."""
    later = await asyncio.to_thread(_later, plan.model, work)
    async with running(plan, work, say, mounted=mounted, also=later) as run:
        rolling = Rollout(run, later, say)
        everyone = await _callers(run, rolling.times, plan, work)
        async with calling(everyone, plan, run.judge):
            await asyncio.sleep(plan.warm_up)
            run.baseline = {name: leaks.used(unit) for name, unit in run.site.units().items()}
            run.started = time.monotonic()
            plans = _steps(rolling, plan)
            for number, (name, what, part) in enumerate(plans, start=1):
                at = run.started + plan.seconds * number / (len(plans) + 1)
                await asyncio.sleep(max(at - time.monotonic(), 0))
                await rolling.step(name, what, part)
            await asyncio.sleep(max(run.started + plan.seconds - time.monotonic(), 0))
        await finish(run)
    rolling.check_served()
    return result(run, plan, ()) | {"steps": rolling.steps}


def _steps(rolling: Rollout, plan: Plan) -> list[tuple[str, Any, int]]:
    """At the kill of an old enclave another one is there, so that its callers are served."""
    steps: list[tuple[str, Any, int]] = [
        ("enclave 1 is replaced by the new release", rolling.replace, 0),
        ("enclave 2 is killed", rolling.kill, 1),
        ("enclave 2 is replaced by the new release", rolling.replace, 1),
        ("gateway 1 is restarted", rolling.restart, 0),
    ]
    rest = range(2, plan.enclaves)
    return steps + [
        (f"enclave {number + 1} is replaced by the new release", rolling.replace, number) for number in rest
    ]


async def _callers(run: Run, times: Times, plan: Plan, work: Path) -> list[Caller]:
    old, new = run.site.releases
    function = await cape_of(run, work)
    made: list[Caller] = []
    for number in range(plan.callers):
        arguments = (number, run.site.url, run.photos, run.judge, plan.seed)
        match number % 5:
            case 0:
                made.append(function(*arguments) if function and number % 2 else Plain(*arguments))
            case 1:
                made.append(Sealed(*arguments, policy=run.site.policy))
            case 2:
                made.append(Batch(*arguments))
            case 3:
                made.append(Sealed(*arguments, policy=old, lane=OLD, refusal_expected=times.old_refused))
            case _:
                made.append(Sealed(*arguments, policy=new, lane=NEW, refusal_expected=times.new_refused, version=LATER))
    return made


def _later(model: Path, work: Path) -> Path:
    """The bundle of the same model with another version in its manifest, so with another measurement (PCR 16)."""
    folder = work / "later-model"
    shutil.copytree(model, folder)
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | {"version": LATER}))
    return built(folder, work, "later.zip")
