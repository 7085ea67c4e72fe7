"""Gateway, runtime and functions killed in the middle of deployments and runs: nothing accepted is lost or half there.

`BLINDSIGHT_CAPE_KILLS=50` makes the long run.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from blindsight.errors import CapeError, TransportError
from enclave_runtime.archive import PREFIX, memory
from tests.support.cape_guest import Guest, enveloped, trust_of, zipped
from tests.support.stack import running_stack
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

KILLS = int(os.environ.get("BLINDSIGHT_CAPE_KILLS", "4"))
RUNNERS = 3
INPUTS = 5
LONGEST = 60.0
"""Seconds that no client may have waited for an end of any kind."""
BALLAST = os.urandom(1 << 20)
PIECE = 1 << 16

SLOW_ECHO = "import time\n\n\ndef cape_handler(data):\n    time.sleep(0.03)\n    return data\n"


@dataclass
class Clients:
    """Callers in threads. `outcomes` counts the ends of their calls; `wrong` is what must not have happened."""

    ada: Guest
    key: bytes
    function_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, bytes] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: dict[int, float] = field(default_factory=dict)

    def waited(self) -> float:
        """For how long the slowest of the calls that have not ended has been waiting."""
        with self._lock:
            return max((time.monotonic() - began for began in self._waiting.values()), default=0.0)

    def run_on(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            self._call("session", lambda number=number: self._session(number))

    def deploy_on(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            self._call("deploy", lambda number=number: self._deploy(number))

    def _call(self, what: str, work: Callable[[], None]) -> None:
        began = time.monotonic()
        with self._lock:
            self._waiting[threading.get_ident()] = began
        try:
            work()
        except (CapeError, TransportError) as error:
            self._count(f"{what}: {error.code}")
            # While the gateway is away, callers would spin.
            self.stop.wait(0.05)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported
            self.wrong.append(f"{what}: {error!r}")
        else:
            self._count(f"{what}: done")
        finally:
            with self._lock:
                del self._waiting[threading.get_ident()]
                self.longest = max(self.longest, time.monotonic() - began)

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def _session(self, number: int) -> None:
        path = f"/v1/run/{self.function_id}"
        with self.ada.host.connect(path, self.ada.token("run"), self.ada.trust) as connection:
            for turn in range(INPUTS):
                value = f"{threading.get_ident()}/{number}/{turn}".encode()
                try:
                    output = connection.run(value).output
                except CapeError as error:
                    if "ended its process" not in str(error):
                        raise
                    # The session itself goes on, with a new process.
                    self._count("input: function lost")
                    continue
                self._count("input: done")
                if output != value:
                    self.wrong.append(f"{output!r} instead of {value!r}")

    def _deploy(self, number: int) -> None:
        tag = f"{threading.get_ident()}/{number}"
        archive = zipped(f"def cape_handler(data):\n    return {tag!r}\n", ballast=BALLAST)
        token = self.ada.deploy_token(archive, f"fn-{number}")
        upload = enveloped(self.key, archive)
        pieces = [upload[start : start + PIECE] for start in range(0, len(upload), PIECE)]
        with self.ada.host.connect("/v1/deploy", token, self.ada.trust) as connection:
            function_id = connection.deploy(f"fn-{number}", public=False, pieces=pieces)
        with self._lock:
            self.accepted[function_id] = tag.encode()


@pytest.mark.timeout(KILLS * 30 + 300)
def test_what_is_killed_loses_nothing(colour_model: TinyModel, tmp_path: Path) -> None:
    port = free_port()
    with running_stack(colour_model.folder, tmp_path, workers=1, cape=True, port=port) as stack:
        ada = Guest.sign_up("ada", stack.gateway.url, trust_of(stack))
        clients = Clients(ada, ada.key(), ada.deploy("echo", zipped(SLOW_ECHO)))
        victims = Killer(stack, clients)
        threads = [threading.Thread(target=clients.run_on, daemon=True) for _ in range(RUNNERS)]
        threads.append(threading.Thread(target=clients.deploy_on, daemon=True))
        for thread in threads:
            thread.start()
        try:
            for number in range(KILLS):
                victims.strike(number)
        finally:
            clients.stop.set()
        for thread in threads:
            thread.join(LONGEST)
        assert not any(thread.is_alive() for thread in threads), "a client waits for ever"
        print(f"\n{dict(victims.killed)} killed; {len(clients.accepted)} deployments accepted;"
              f" longest call {clients.longest:.1f} s; {dict(clients.outcomes)}")  # fmt: skip
        assert clients.wrong == []
        assert clients.longest < LONGEST
        check_store(stack, ada, clients)
        victims.check_nothing_left()


class Killer:
    """Kills, and starts anew what does not come back by itself."""

    def __init__(self, stack: Stack, clients: Clients) -> None:
        self.killed: Counter[str] = Counter()
        self._stack = stack
        self._clients = clients
        self._random = random.Random(7)
        self._enclaves: list[int] = []

    def strike(self, number: int) -> None:
        """One kill at any moment of work that goes well, and a wait until it does again."""
        self._wait_for_work()
        time.sleep(self._random.uniform(0, 0.4))
        what = ("gateway", "handler", "enclave")[number % 3]
        getattr(self, f"_kill_{what}")()
        self.killed[what] += 1

    def _wait_for_work(self) -> None:
        before = self._clients.outcomes.copy()

        def both() -> bool:
            done = self._clients.outcomes
            assert self._clients.waited() < LONGEST, "a client waits for ever"
            assert not self._clients.wrong, self._clients.wrong
            return all(done[name] > before[name] for name in ("deploy: done", "input: done"))

        wait_until("a deployment and an input succeed", both, seconds=LONGEST)

    def _kill_gateway(self) -> None:
        self._stack.gateway.kill()
        self._stack.gateway = self._stack.start_gateway()
        self._stack.gateway.wait_ready()

    def _kill_enclave(self) -> None:
        self._enclaves.append(self._stack.enclave.pid)
        self._stack.enclave.kill()
        self._stack.enclave = self._stack.start_enclave()
        self._stack.enclave.wait_warm()

    def _kill_handler(self) -> None:
        """Any of them: one at work, or one in reserve."""
        pids = wait_until("a function runs", lambda: handlers(self._stack.enclave.pid))
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self._random.choice(pids)).kill()

    def check_nothing_left(self) -> None:
        """Of killed runtimes no function runs on, and no plaintext stays in memory."""
        folder = memory()
        assert folder is not None
        for pid in self._enclaves:
            wait_until("orphans end", lambda pid=pid: not handlers(pid))
            assert list(folder.glob(f"{PREFIX}*.{pid}.*")) == []


def handlers(enclave: int) -> list[int]:
    """The processes that this runtime has started for functions, whichever process is their parent now."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command: list[Any] = process.info["cmdline"] or []
        # They read compiled code in a folder of the runtime's.
        if "enclave_runtime.cape.handler" in command and any(f".{enclave}." in each for each in command):
            found.append(process.pid)
    return found


def check_store(stack: Stack, ada: Guest, clients: Clients) -> None:
    """All that was accepted is listed, all that is listed runs, and nothing is half there."""
    stack.gateway.wait_ready()
    stack.enclave.wait_warm()
    listed = ada.functions()
    assert len(listed) == len(set(listed))
    assert set(clients.accepted) <= set(listed)
    files = {path.name for path in (stack.folder / "bundles").iterdir()}
    assert set(listed) <= files
    assert not [name for name in files if name.startswith(".")]
    with ThreadPoolExecutor(2) as threads:
        outputs = dict(zip(listed, threads.map(lambda each: ada.run(each, b"probe"), listed), strict=True))
    assert outputs.pop(clients.function_id) == b"probe"
    # What was stored before its client could be told is whole, too.
    unheard = set(outputs) - set(clients.accepted)
    assert len(unheard) <= KILLS
    assert all(b"/" in output for output in outputs.values())
    for function_id, tag in clients.accepted.items():
        assert outputs[function_id] == tag
    # The account's key has outlived every enclave.
    assert ada.key() == clients.key
