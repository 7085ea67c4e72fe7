"""The whole service: enclaves, links, gateways, nginx and what they need, started, signalled, and stopped."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx2

from benchmarks import processes
from benchmarks.processes import StackError, source_paths
from blindsight.attestation.policy import Policy
from blindsight.wire.address import Address
from campaigns.backends import Nginx, Postgres, Redis
from campaigns.disks import Disk
from campaigns.kept import Kept
from campaigns.link import Link
from campaigns.ports import free_port
from campaigns.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from campaigns.plan import Plan

_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1
_FREE_BYTES: Final = 48 << 20
_UNPACKED: Final = 4
"""Times the size of its bundle that an enclave's files may have."""
_SHARED: Final = ("simulated_root.pem", "gateway_secret")
"""Files of the state folder that all enclaves have: one root for the policy, one secret for the gateways."""
_SHARED_WITH_CAPE: Final = ("root_secret",)
ATTEST_SECONDS: Final = 3
"""`BLINDSIGHT_ATTEST_INTERVAL`: short, so that a clock which jumps for some seconds matters."""
_NO_LIMIT: Final = "1000000/minute"
"""Gateways count requests, in Redis, and refuse none."""


@dataclass
class Enclave:
    """One enclave, its files, the link to it, and the release that it runs."""

    unit: Kept
    disk: Disk
    state: Path
    port: int
    link: Link
    probe: Probe
    release: str = "old"


@dataclass
class Gateway:
    """One gateway. `clock` is the file with the shift of its clock in seconds."""

    unit: Kept
    disk: Disk
    port: int
    clock: Path
    http: httpx2.AsyncClient

    async def ready_enclaves(self) -> set[str]:
        """The ids of the enclaves that it has verified and knows warm; empty if it does not answer."""
        try:
            answer = await self.http.get("/info")
            listed = answer.json().get("enclaves", []) if answer.status_code == 200 else []
            ready = (await self.http.get("/readyz")).status_code == 200
        except (httpx2.HTTPError, ValueError):
            return set()
        return {each["id"] for each in listed if each["ready"]} if ready else set()


class Site:
    """The service of a plan, with its files in `work`. `bundle` is what its enclaves run."""

    def __init__(self, plan: Plan, work: Path, *, mounted: bool) -> None:
        self.plan = plan
        self.work = work
        self._mounted = mounted
        self.bundle = built(plan.model, work, "bundle.zip")
        self._disk_bytes = _FREE_BYTES + _UNPACKED * self.bundle.stat().st_size
        self.policy_file = work / "policy.json"
        self.releases: list[Policy] = []
        """Policies that accept one bundle each."""
        self.enclaves: list[Enclave] = []
        self.gateways: list[Gateway] = []
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.nginx: Nginx | None = None

    @property
    def ids(self) -> list[str]:
        """The ids that gateways give the enclaves, in their order."""
        return [hashlib.sha256(f"tcp://127.0.0.1:{each.link.port}".encode()).hexdigest()[:16] for each in self.enclaves]

    @property
    def url(self) -> str:
        assert self.nginx is not None
        return f"http://127.0.0.1:{self.nginx.port}"

    async def start(self, also: Path | None = None) -> None:
        """Start everything, and wait until every gateway uses every enclave. The policy also accepts the bundle `also`.

        Raises `StackError`.
        """
        plan = self.plan
        if plan.cape:
            self.postgres = Postgres()
        if plan.redis:
            self.redis = Redis(self.work / "redis")
        states = [self._disk(f"enclave-{number + 1}") for number in range(plan.enclaves)]
        bundles = [self.bundle, *([also] if also else [])]
        self.releases = [policy_of(bundle, self.work, states[0].at / "state") for bundle in bundles]
        self.policy = Policy(releases=tuple(release for each in self.releases for release in each.releases))
        self.policy_file.write_text(self.policy.to_json())
        for number, disk in enumerate(states):
            self.enclaves.append(await self._enclave(number, disk, states[0].at / "state"))
        for number in range(plan.gateways):
            self.gateways.append(self._gateway(number))
        self.nginx = Nginx(
            self.work / "nginx", [gateway.port for gateway in self.gateways],
            read_seconds=plan.deadline + plan.margin,
        )  # fmt: skip
        await self.wait_ready()

    async def wait_ready(self) -> None:
        """Raises `StackError`."""

        async def all_ready() -> bool:
            ready = [await gateway.ready_enclaves() for gateway in self.gateways]
            return all(len(each) == len(self.enclaves) for each in ready)

        await until("every gateway uses every enclave", all_ready, _START_SECONDS)

    async def stop(self) -> None:
        """Stop everything, gateways first."""
        for gateway in self.gateways:
            gateway.disk.free()
            await gateway.http.aclose()
        await asyncio.gather(*(gateway.unit.stop() for gateway in self.gateways))
        for enclave in self.enclaves:
            enclave.disk.free()
            await enclave.link.close()
        await asyncio.gather(*(enclave.unit.stop() for enclave in self.enclaves))
        if self.nginx:
            self.nginx.stop()
        if self.postgres:
            self.postgres.stop()
        if self.redis:
            self.redis.kill()

    def units(self) -> dict[str, Kept]:
        """All units by the names of their parts."""
        parts: list[Enclave | Gateway] = [*self.enclaves, *self.gateways]
        return {part.unit.name: part.unit for part in parts}

    def logs(self) -> list[Path]:
        """Every file in which any of the service's programs has written."""
        found = [unit.log for unit in self.units().values()]
        found += [self.nginx.log] if self.nginx else []
        found += [self.postgres.log] if self.postgres and os.access(self.postgres.log, os.R_OK) else []
        return [path for path in found if path.exists()]

    def enclave_unit(self, number: int, bundle: Path, port: int, disk: Disk) -> Kept:
        """An enclave's process, not started. `number` begins with 0."""
        arguments = [
            "serve", "--bundle", str(bundle), "--state", str(disk.at / "state"), "--listen", f"tcp://127.0.0.1:{port}",
            "--workers", str(self.plan.workers), "--call-seconds", f"{self.plan.call_seconds:g}",
        ]  # fmt: skip
        return Kept(f"enclave {number + 1}", "enclave_runtime", arguments, self._environment(disk), disk.at / "log")

    def _disk(self, name: str) -> Disk:
        disk = Disk(self.work / name, self._disk_bytes, mounted=self._mounted)
        (disk.at / "tmp").mkdir()
        (disk.at / "state").mkdir(mode=0o700)
        return disk

    def _environment(self, disk: Disk, settings: dict[str, object] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
        ours = {f"BLINDSIGHT_{name.upper()}": str(value) for name, value in (settings or {}).items()}
        return {**kept, **source_paths(), "TMPDIR": str(disk.at / "tmp"), **ours}

    async def _enclave(self, number: int, disk: Disk, first: Path) -> Enclave:
        state = disk.at / "state"
        port = free_port()
        if number:
            names = (*_SHARED, *(_SHARED_WITH_CAPE if self.plan.cape else ()))
            await until("the first enclave's state", lambda: all((first / name).exists() for name in names))
            for name in names:
                shutil.copy(first / name, state / name)
        unit = self.enclave_unit(number, self.bundle, port, disk)
        link = Link(port)
        await link.start()
        unit.start()
        probe = Probe(Address("tcp", host="127.0.0.1", port=port), state / "gateway_secret", self.policy)
        return Enclave(unit, disk, state, port, link, probe)

    def _gateway(self, number: int) -> Gateway:
        plan, port = self.plan, free_port()
        disk = self._disk(f"gateway-{number + 1}")
        clock = disk.at / "clock"
        clock.write_text("0")
        settings: dict[str, object] = {
            "port": port,
            "metrics_port": 0,
            "policy": self.policy_file,
            "enclave": ",".join(f"tcp://127.0.0.1:{enclave.link.port}" for enclave in self.enclaves),
            "enclave_secret_file": self.enclaves[0].state / "gateway_secret",
            "deadline": plan.deadline,
            "attest_interval": ATTEST_SECONDS,
            "proxies": "127.0.0.1",
        }
        if self.postgres:
            settings |= {"database": self.postgres.url, "bundles": self.work / "bundles", "open_signup": True}
        if self.redis:
            settings |= {"redis": self.redis.url, "rate_limit": _NO_LIMIT}
        unit = Kept(
            f"gateway {number + 1}", "campaigns.shifted", [str(clock), "serve"], self._environment(disk, settings),
            disk.at / "log",
        )  # fmt: skip
        unit.start()
        http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=2, trust_env=False)
        return Gateway(unit, disk, port, clock, http)


def built(model: Path, work: Path, name: str) -> Path:
    """Build the bundle of `model`. Raises `StackError`."""
    bundle = work / name
    processes.run("enclave_function", "bundle", "build", "--model", str(model), "--out", str(bundle))
    return bundle


def policy_of(bundle: Path, work: Path, state: Path) -> Policy:
    """The policy that accepts `bundle` alone, under the simulated root in `state`, which is made if there is none."""
    out = work / f"{bundle.stem}.policy.json"
    processes.run("enclave_runtime", "policy", "--bundle", str(bundle), "--state", str(state), "--out", str(out))
    return Policy.load(out)


async def until(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> float:
    """Wait until `condition`, a function or coroutine function, is true. The seconds that it took; `StackError` when
    late.
    """
    started = time.monotonic()
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return time.monotonic() - started
        if time.monotonic() - started > seconds:
            raise StackError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)
