"""Our stack with default settings, and the facts that a caller of each lane needs."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from benchmarks import processes
from benchmarks.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Service", "StackError", "blindsight", "bundled", "with_cape"]

OURS = "blindsight"

_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Service:
    """A running HTTP service. `lanes` has the members that the load generator needs for each lane except the plain
    ones.
    """

    name: str
    port: int
    roots: tuple[psutil.Process, ...]
    roles: Callable[[], dict[str, psutil.Process]]
    """Returns its current processes by role."""
    ready_path: str = "/readyz"
    log: Path | None = None
    metrics_port: int | None = None
    lanes: dict[str, dict[str, str]] = field(default_factory=dict)

    def everyone(self) -> list[psutil.Process]:
        """All its current processes."""
        return [process for root in self.roots for process in processes.tree(root)]

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run while the block runs, and stop it afterwards. Raises `StackError` if it does not become ready."""
        processes.resume(self.everyone())
        assert self.log is not None
        for _ in range(2):
            processes.wait_ready(self.port, self.ready_path, self.roots[0], self.log)
            # What ran out while it was frozen, such as our gateway's look at the enclave, is noticed only now.
            time.sleep(_SETTLE_SECONDS)
        try:
            yield
        finally:
            processes.freeze(self.everyone())


def bundled(model: Path, work: Path) -> Path:
    """Build the bundle of the classifier and `model` in `work`. Raises `StackError`."""
    bundle = work / "bundle.zip"
    processes.run("enclave_function", "bundle", "build", "--model", str(model), "--out", str(bundle))
    return bundle


@contextlib.contextmanager
def blindsight(bundle: Path, work: Path, options: Sequence[str] = (), /, **more: object) -> Iterator[Service]:
    """Enclave and gateway with `bundle`, attested and warm; `work` is the state folder.

    Settings have their default values; `options` are additional ones of the enclave's command line, `more` of the
    gateway. Raises `StackError`.
    """
    policy = work / "policy.json"
    processes.run("enclave_runtime", "policy", "--bundle", str(bundle), "--state", str(work), "--out", str(policy))
    enclave_port, port, metrics_port = processes.free_port(), processes.free_port(), processes.free_port()
    address = f"tcp://127.0.0.1:{enclave_port}"
    serve = ["-m", "enclave_runtime", "serve", "--bundle", str(bundle), "--state", str(work), "--listen", address]
    with processes.started([sys.executable, *serve, *options], work / "enclave.log") as enclave:
        processes.wait_listening(enclave_port, enclave, work / "enclave.log")
        settings = {
            "BLINDSIGHT_POLICY": str(policy),
            "BLINDSIGHT_ENCLAVE": address,
            "BLINDSIGHT_ENCLAVE_SECRET_FILE": str(work / "gateway_secret"),
            "BLINDSIGHT_PORT": str(port),
            "BLINDSIGHT_METRICS_PORT": str(metrics_port),
        } | {f"BLINDSIGHT_{name.upper()}": str(value) for name, value in more.items()}
        log = work / "gateway.log"
        with processes.started([sys.executable, "-m", "gateway"], log, settings) as gateway:
            processes.wait_ready(port, "/readyz", gateway, log)
            yield Service(
                OURS,
                port,
                (gateway, enclave),
                lambda: {"gateway": gateway, "enclave runtime": enclave} | dict(_below(enclave)),
                log=log,
                metrics_port=metrics_port,
                lanes={"sealed": {"policy": str(policy)}},
            )


def store(work: Path) -> dict[str, object]:
    """The gateway's settings for a Cape host."""
    return {"database": f"sqlite:///{work / 'cape.sqlite'}", "bundles": work / "bundles", "open_signup": True}


def with_cape(service: Service, bundle: Path, work: Path) -> Service:
    """`service` with an additional lane to `bundle`, deployed as a Cape function. Raises `StackError`."""
    from benchmarks.cape_bundle import Command  # noqa: PLC0415 -- which imports this module

    root = root_certificate(work)
    cape = Command(work, f"http://127.0.0.1:{service.port}", root)
    cape("signup", "bench")
    function = json.loads(cape("deploy", str(bundle), "--name", "classifier", "--output", "json"))["function_id"]
    token = json.loads(cape("token", "create", "--name", "bench", "--output", "json"))["token"]
    lane = {"root": str(root), "function": function, "token": token}
    return replace(service, lanes={**service.lanes, "cape": lane})


def root_certificate(work: Path) -> Path:
    """Write the simulated root certificate of a state folder to a separate file."""
    certificate = x509.load_pem_x509_certificate((work / "simulated_root.pem").read_bytes())
    path = work / "root.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


_KINDS = {"enclave_runtime.workers.worker": "worker", "enclave_runtime.cape.handler": "function"}


def _below(enclave: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    """Yield each worker and Cape function, and the processes around it in its namespaces."""
    counted: dict[str, int] = {}
    for child in enclave.children():
        kind = next((kind for module, kind in _KINDS.items() if module in _command(child)), None)
        if kind is None:
            continue
        counted[kind] = counted.get(kind, 0) + 1
        name = f"{kind} {counted[kind]}"
        *waiting, function = processes.tree(child) or [child]
        yield name, function
        yield from ((f"{name}, waiting {index}", each) for index, each in enumerate(waiting, start=1))


def _command(process: psutil.Process) -> Any:  # noqa: ANN401 -- psutil's
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # The process that compiled what the others import.
        return []
