"""Starting the services under measurement: ours as an operator would start it, and the plain one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine, whatever proxy the environment names."""


class StackError(Exception):
    """Something under measurement could not be started; the message says what."""


@dataclass(frozen=True)
class Service:
    """A running HTTP service and its processes by role."""

    name: str
    port: int
    processes: dict[str, psutil.Process]
    metrics_port: int | None = None


@contextlib.contextmanager
def plain(model: Path, work: Path) -> Iterator[Service]:
    """The plain service on `model`, ready. Raises `StackError`."""
    port = _free_port()
    with _process(
        [sys.executable, "-m", "benchmarks.plain_service", str(model), str(port)], work / "plain.log"
    ) as process:
        _wait_ready(port, process, work / "plain.log")
        yield Service("plain service", port, {"plain service": process})


@contextlib.contextmanager
def blindsight(model: Path, work: Path, **more: object) -> Iterator[Service]:
    """Enclave and gateway on a bundle of `model`, attested and warm. Raises `StackError`.

    Settings are the default ones, and `more` of the gateway's.
    """
    bundle = work / "bundle.zip"
    _run("enclave_function", "bundle", "build", "--model", str(model), "--out", str(bundle))
    policy = work / "policy.json"
    _run("enclave_runtime", "policy", "--bundle", str(bundle), "--state", str(work), "--out", str(policy))
    enclave_port, port, metrics_port = _free_port(), _free_port(), _free_port()
    serve = [
        "-m",
        "enclave_runtime",
        "serve",
        "--bundle",
        str(bundle),
        "--state",
        str(work),
        "--listen",
        f"tcp://127.0.0.1:{enclave_port}",
    ]
    with _process([sys.executable, *serve], work / "enclave.log") as enclave:
        _wait_listening(enclave_port, enclave, work / "enclave.log")
        settings = {
            "BLINDSIGHT_POLICY": str(policy),
            "BLINDSIGHT_ENCLAVE": f"tcp://127.0.0.1:{enclave_port}",
            "BLINDSIGHT_ENCLAVE_SECRET_FILE": str(work / "gateway_secret"),
            "BLINDSIGHT_PORT": str(port),
            "BLINDSIGHT_METRICS_PORT": str(metrics_port),
        } | {f"BLINDSIGHT_{name.upper()}": str(value) for name, value in more.items()}
        with _process([sys.executable, "-m", "gateway"], work / "gateway.log", settings) as gateway:
            _wait_ready(port, gateway, work / "gateway.log")
            workers = dict(_workers(enclave))
            yield Service("blindsight", port, {"gateway": gateway, "enclave runtime": enclave} | workers, metrics_port)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # The process that compiled what the others import.
        return []


def _workers(enclave: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    """Each worker, and the processes that stand around it in its namespaces."""
    outer = [child for child in enclave.children() if "enclave_runtime.workers.worker" in _command(child)]
    for number, process in enumerate(outer, start=1):
        *waiting, function = (process, *process.children(recursive=True))
        yield f"worker {number}", function
        yield from ((f"worker {number}, waiting {index}", each) for index, each in enumerate(waiting, start=1))


def _run(*module_and_arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *module_and_arguments], check=False, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise StackError(f"{module_and_arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def _process(command: list[str], log: Path, settings: dict[str, str] | None = None) -> Iterator[psutil.Process]:
    """A process in the working folder of `log`, so that no `.env` of the checkout counts; ended on leaving."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "enclave_function")])}
    with log.open("wb") as output:
        process = psutil.Popen(
            command, cwd=log.parent, env=others | paths | (settings or {}), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_listening(port: int, process: psutil.Process, log: Path) -> None:
    for _ in _attempts(process, log):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return


def _wait_ready(port: int, process: psutil.Process, log: Path) -> None:
    for _ in _attempts(process, log):
        with contextlib.suppress(OSError), DIRECT.open(f"http://127.0.0.1:{port}/readyz"):
            return


def _attempts(process: psutil.Process, log: Path) -> Iterator[None]:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        yield
        time.sleep(_POLL_SECONDS)
    raise StackError(f"a service did not become ready; see {log}")
