"""The peers: a separate environment with pinned requirements for each, and the service in it.

A peer that cannot be installed or started is listed as missing in the results, with the reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.processes import StackError
from benchmarks.stack import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REQUIREMENTS = Path(__file__).resolve().parent / "peers" / "requirements"

_SETTINGS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Where Ray asks for more than the machine's shared memory, it only warns.
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",
}


@dataclass(frozen=True)
class Peer:
    """A framework. `distribution`: the package whose version is reported. `ready_path` returns 200 when it serves."""

    key: str
    name: str
    distribution: str
    ready_path: str


PEERS = {
    peer.key: peer
    for peer in (
        Peer("fastapi", "plain FastAPI", "fastapi", "/readyz"),
        Peer("litserve", "LitServe", "litserve", "/health"),
        Peer("bentoml", "BentoML", "bentoml", "/readyz"),
        Peer("ray", "Ray Serve", "ray", "/readyz"),
    )
}


@dataclass(frozen=True)
class Environment:
    """A peer's installed environment."""

    peer: Peer
    python: Path
    version: str

    def command(self, model: Path, port: int, workers: int = 1, threads: int = 0) -> list[str]:
        """The command line of the service on `port`. `threads` for each of `workers`; 0: one for each processor."""
        program = f"benchmarks.peers.{self.peer.key}_service"
        return [str(self.python), "-m", program, str(model), str(port), str(workers), str(threads)]

    @contextlib.contextmanager
    def serving(self, name: str, model: Path, work: Path, workers: int, threads: int) -> Iterator[Service]:
        """The ready service; it ends with the block. `work` must not exist. Raises `StackError`."""
        work.mkdir(parents=True)
        port, log = processes.free_port(), work / "log"
        with processes.started(self.command(model, port, workers, threads), log, settings(work)) as process:
            processes.wait_ready(port, self.peer.ready_path, process, log)
            yield Service(
                name,
                port,
                (process,),
                lambda: processes.named(processes.tree(process)),
                ready_path=self.peer.ready_path,
                log=log,
            )


def settings(work: Path) -> dict[str, str]:
    """Environment variables of a peer: they disable its telemetry and move its home folder to `work`."""
    return _SETTINGS | {"HOME": str(work)}


def installed(peer: Peer, folder: Path, say: Callable[[str], None]) -> Environment:
    """The environment of `peer` in `folder`, created if it does not contain these requirements.

    Installs packages by hash from the package index. Raises `StackError` with pip's last line.
    """
    requirements = _REQUIREMENTS / f"{peer.key}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed"
    state = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == state):
        say(f"installing {peer.name} into an environment of its own, once")
        shutil.rmtree(folder, ignore_errors=True)
        _checked([sys.executable, "-m", "venv", str(folder)], peer)
        install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(requirements)]
        _checked([str(python), "-m", "pip", *install], peer)
        stamp.write_text(state)
    question = f"import importlib.metadata; print(importlib.metadata.version({peer.distribution!r}))"
    return Environment(peer, python, _checked([str(python), "-c", question], peer).strip())


def _checked(command: list[str], peer: Peer) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"{peer.name} cannot be installed: {processes.last_line(done.stderr)}")
    return done.stdout
