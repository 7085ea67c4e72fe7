"""The effect of each kind of fault: it begins, is held, ends, and the part must be whole again in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil

from benchmarks.processes import StackError
from campaigns.schedule import ENCLAVE, GATEWAY, limit
from campaigns.site import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaigns.judge import Windows
    from campaigns.photos import Photo
    from campaigns.schedule import Fault
    from campaigns.site import Enclave, Gateway, Site

_DAY: Final = 86400
_MOST_FRAME_BYTES: Final = 60_000
"""Less than a photo's frame, so that a reset comes inside of one."""
_GIVE_UP: Final = 3.0
"""Times the promised time after which a part counts as lost."""


@dataclass(frozen=True)
class Outcome:
    """What became of one fault. `recovery` is in seconds from its end; None if the part was not whole before."""

    fault: Fault
    recovery: float | None
    limit: float
    note: str = ""

    @property
    def in_time(self) -> bool:
        return self.recovery is None or self.recovery <= self.limit

    def row(self) -> dict[str, Any]:
        return {**asdict(self.fault), "recovery": self.recovery, "limit": self.limit, "note": self.note}


class Injector:
    """Injects faults into `site`.

    `windows` learns which parts are under a fault, `cuts` which gateways were killed; `photo` is asked to prove
    recovery.
    """

    def __init__(self, site: Site, windows: Windows, cuts: Windows, photo: Photo) -> None:
        self._site = site
        self._windows = windows
        self._cuts = cuts
        self._photo = photo

    async def inject(self, fault: Fault) -> Outcome:
        """Begin, hold and end one fault, and wait until its part is whole. Raises nothing for a part that stays lost:
        the outcome says so.
        """
        plan = self._site.plan
        promised = limit(plan, fault.kind)
        if fault.part in self._windows.now:
            return Outcome(fault, None, promised, "left out: the part was not whole yet")
        if "disk" in fault.kind and not self._parts(fault).disk.can_be_full:
            return Outcome(fault, None, promised, "left out: no file system of its own could be mounted")
        self._windows.begin(fault.part)
        if fault.kind == "gateway killed":
            self._cuts.begin(fault.part)
        try:
            whole = await self._strike(fault)
            ended = time.monotonic()
            try:
                await until(f"{fault.part} is whole", whole, promised * _GIVE_UP)
            except StackError:
                return Outcome(fault, round(time.monotonic() - ended, 2), promised, "not whole")
            return Outcome(fault, round(time.monotonic() - ended, 2), promised)
        finally:
            self._windows.end(fault.part)
            if fault.kind == "gateway killed":
                self._cuts.end(fault.part)

    async def _strike(self, fault: Fault) -> Callable[[], Any]:
        """Do it, hold it, undo it. Returns the question whether its part is whole."""
        site = self._site
        if fault.part.startswith(ENCLAVE):
            enclave = site.enclaves[fault.index]
            restarts = await self._struck_enclave(fault, enclave)
            return lambda: self._enclave_whole(enclave, restarts)
        if fault.part.startswith(GATEWAY):
            gateway = site.gateways[fault.index]
            await self._struck_gateway(fault, gateway)
            return lambda: self._gateway_whole(gateway)
        if fault.kind == "database locked" and site.postgres:
            await site.postgres.lock(fault.hold)
        elif fault.kind == "database restarted" and site.postgres:
            await asyncio.to_thread(site.postgres.restart)
        elif fault.kind == "redis gone" and site.redis:
            await asyncio.to_thread(site.redis.kill)
            await asyncio.sleep(fault.hold)
            site.redis.start()
        return self._all_gateways_answer

    async def _struck_enclave(self, fault: Fault, enclave: Enclave) -> int:
        """The number of replaced workers that must be exceeded; -1 for any."""
        match fault.kind:
            case "worker killed" | "worker stopped":
                return await self._struck_worker(fault, enclave)
            case "runtime killed":
                enclave.unit.end(signal.SIGKILL)
            case "runtime stopped":
                await _stopped(enclave, fault.hold)
            case "link cut" | "link stalled" | "link reset in a frame":
                if fault.kind == "link cut":
                    enclave.link.cut()
                elif fault.kind == "link stalled":
                    enclave.link.stall()
                else:
                    enclave.link.reset_after(int(fault.dice * _MOST_FRAME_BYTES))
                await asyncio.sleep(fault.hold)
                enclave.link.restore()
            case "enclave's disk full":
                await _full(enclave, fault.hold)
            case _:
                raise ValueError(fault.kind)
        return -1

    async def _struck_worker(self, fault: Fault, enclave: Enclave) -> int:
        workers = enclave.unit.workers()
        if not workers:
            return -1
        worker = workers[int(fault.dice * len(workers))]
        restarts = -1
        with contextlib.suppress(psutil.NoSuchProcess):
            if fault.kind == "worker killed":
                restarts = int((await enclave.probe.status()).get("restarts", 0))
                worker.kill()
            else:
                worker.suspend()
                await asyncio.sleep(fault.hold)
                worker.resume()
        return restarts

    async def _struck_gateway(self, fault: Fault, gateway: Gateway) -> None:
        match fault.kind:
            case "gateway killed":
                gateway.unit.end(signal.SIGKILL)
            case "gateway stopped":
                await _stopped(gateway, fault.hold)
            case "gateway's disk full":
                await _full(gateway, fault.hold)
            case "gateway's clock ahead" | "gateway's clock behind":
                gateway.clock.write_text(str(_DAY if fault.kind.endswith("ahead") else -_DAY))
                await asyncio.sleep(fault.hold)
                gateway.clock.write_text("0")
            case _:
                raise ValueError(fault.kind)

    async def _enclave_whole(self, enclave: Enclave, restarts: int) -> bool:
        """By itself, and in the eyes of each gateway that has no fault of its own."""
        if not await enclave.probe.is_whole(self._site.plan.workers, self._photo, restarts=restarts):
            return False
        number = self._site.enclaves.index(enclave)
        free = [gateway for gateway in self._site.gateways if gateway.unit.name not in self._windows.now]
        ready = await asyncio.gather(*(gateway.ready_enclaves() for gateway in free))
        return all(self._site.ids[number] in each for each in ready)

    async def _gateway_whole(self, gateway: Gateway) -> bool:
        """It is ready, and uses each enclave that has no fault of its own."""
        names = {
            self._site.ids[number]
            for number, enclave in enumerate(self._site.enclaves)
            if enclave.unit.name not in self._windows.now
        }
        found = await gateway.ready_enclaves()
        return bool(found) and names <= found

    async def _all_gateways_answer(self) -> bool:
        free = [gateway for gateway in self._site.gateways if gateway.unit.name not in self._windows.now]
        return all(await asyncio.gather(*(gateway.ready_enclaves() for gateway in free)))

    def _parts(self, fault: Fault) -> Enclave | Gateway:
        parts: list[Any] = list(self._site.enclaves if fault.part.startswith(ENCLAVE) else self._site.gateways)
        part: Enclave | Gateway = parts[fault.index]
        return part


async def _stopped(part: Enclave | Gateway, seconds: float) -> None:
    pid = part.unit.send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    if pid is not None and part.unit.pid == pid:
        part.unit.send(signal.SIGCONT)


async def _full(part: Enclave | Gateway, seconds: float) -> None:
    await asyncio.to_thread(part.disk.fill)
    await asyncio.sleep(seconds)
    part.disk.free()
