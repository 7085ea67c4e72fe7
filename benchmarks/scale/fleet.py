"""Enclaves and gateways of the measurement, as processes."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.processes import StackError
from benchmarks.stack import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil

NAME = "blindsight"
_UP = re.compile(r"^enclave_up\{.*\} 1\.0$", re.MULTILINE)
_TOGETHER = 4
"""Enclaves that start at the same time."""
_READY_SECONDS = 60.0


class Enclaves:
    """`count` runtimes of one bundle, with one worker each. They share the simulated root and the access secret, as a
    fleet shares AWS's root.
    """

    def __init__(self, bundle: Path, work: Path, count: int, stack: contextlib.ExitStack) -> None:
        """Raises `StackError`."""
        self.policy, self.secret = work / "policy.json", work / "gateway_secret"
        shared = ["--bundle", str(bundle), "--state", str(work)]
        processes.run("enclave_runtime", "policy", *shared, "--out", str(self.policy))
        self.addresses: list[str] = []
        self.processes: list[psutil.Popen] = []
        while len(self.addresses) < count:
            started = []
            for _ in range(min(_TOGETHER, count - len(self.addresses))):
                port = processes.free_port()
                address = f"tcp://127.0.0.1:{port}"
                serve = ["-m", "enclave_runtime", "serve", *shared, "--listen", address, "--workers", "1"]
                log = work / f"enclave-{len(self.addresses) + 1}.log"
                process = stack.enter_context(processes.started([sys.executable, *serve], log))
                started.append((port, process, log))
                self.addresses.append(address)
                self.processes.append(process)
            for port, process, log in started:
                processes.wait_listening(port, process, log)

    def roles(self) -> dict[str, psutil.Process]:
        """All their processes, so that the runtimes and the workers are each counted together."""
        found = {}
        for index, runtime in enumerate(self.processes, start=1):
            for number, process in enumerate(processes.tree(runtime)):
                found[f"worker {index}, {number}" if number else f"runtime {index}"] = process
        return found


def gateway(enclaves: Enclaves, count: int, work: Path, stack: contextlib.ExitStack, **more: object) -> Service:
    """A gateway before the first `count` enclaves, all of which it has verified. Raises `StackError`."""
    port, metrics_port = processes.free_port(), processes.free_port()
    settings = {
        "POLICY": enclaves.policy,
        "ENCLAVE": ",".join(enclaves.addresses[:count]),
        "ENCLAVE_SECRET_FILE": enclaves.secret,
        "PORT": port,
        "METRICS_PORT": metrics_port,
    } | {name.upper(): value for name, value in more.items()}
    environment = {f"BLINDSIGHT_{name}": str(value) for name, value in settings.items()}
    folder = work / f"gateway-{count}"
    folder.mkdir(exist_ok=True)
    log = folder / "gateway.log"
    process = stack.enter_context(processes.started([sys.executable, "-m", "gateway"], log, environment))
    service = Service(
        NAME,
        port,
        (process,),
        lambda: {"gateway": process} | enclaves.roles(),
        log=log,
        metrics_port=metrics_port,
        lanes={"sealed": {"policy": str(enclaves.policy)}},
    )
    processes.wait_ready(port, "/readyz", process, log)
    wait_all_up(service, count)
    return service


def wait_all_up(service: Service, count: int) -> None:
    """Wait until the gateway's metrics say that `count` enclaves are verified and warm. Raises `StackError`."""
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        with processes.DIRECT.open(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
            if len(_UP.findall(response.read().decode())) == count:
                return
        time.sleep(0.1)
    raise StackError(f"not all of the {count} enclaves are up")


@contextlib.contextmanager
def awake(service: Service, count: int) -> Iterator[None]:
    """Let the gateway run while the block runs, with all its enclaves; it stands still otherwise."""
    with service.awake():
        wait_all_up(service, count)
        yield
