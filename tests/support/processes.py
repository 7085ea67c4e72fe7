"""Server processes of ours, started as an operator starts them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psutil

from tests.support import ordinary_user, preloaded, wire
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REPOSITORY = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


def environment(folder: Path, settings: Mapping[str, object] | None = None) -> dict[str, str]:
    """This process's environment without an operator's settings; temporary files would be made in `folder/tmp`."""
    (folder / "tmp").mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLINDSIGHT_")}
    ours = {f"BLINDSIGHT_{key.upper()}": str(value) for key, value in (settings or {}).items()}
    return {**kept, "PYTHONPATH": str(_REPOSITORY), "TMPDIR": str(folder / "tmp"), **ours}


class Server:
    """One server process. Its log goes to a file; its working folder holds no `.env`."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        user: int | None = None,
    ) -> None:
        """`user`: whose process it is, instead of the tests' own user."""
        folder.mkdir(parents=True, exist_ok=True)
        variables = environment(folder, settings)
        self.folder = folder
        self._log = folder / "log"
        self._told = False
        self.process: preloaded.Forked | subprocess.Popen[bytes]
        with self._log.open("ab") as log:
            if user is None:
                self.process = preloaded.start(
                    arguments[0], arguments[1:], cwd=folder, env=variables, stdout=log, stderr=log
                )
                return
            for path in (folder, folder / "tmp"):
                os.chown(path, user, user)
            command = ordinary_user.command("-m", *arguments, user=user)
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def events(self) -> list[dict[str, Any]]:
        """The log's lines, each of which must be a JSON object: a traceback or a stray print is not."""
        return [json.loads(line) for line in self.log().splitlines()]

    def expect_running(self) -> None:
        assert self.running, f"ended with {self.process.returncode}: {self.log()}"

    def terminate(self) -> None:
        """Send SIGTERM, once: a second one may come when Python has put its handlers away and means death again."""
        if not self._told:
            self._told = True
            self.process.terminate()

    def stop(self) -> None:
        """End it with SIGTERM and check that it ends well."""
        self.terminate()
        try:
            code = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end on SIGTERM: {self.log()}") from None
        assert code == 0, f"ended with {code}: {self.log()}"
        self.events()
        assert not list((self.folder / "tmp").iterdir()), "it left temporary files behind"

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)


class Enclave(Server):
    """`python -m enclave_runtime serve`, with its workers."""

    module = "enclave_runtime"

    def __init__(
        self,
        bundle: Path | None,
        state: Path,
        folder: Path,
        *,
        port: int = 0,
        path: Path | None = None,
        workers: int = 2,
        user: int | None = None,
        **options: object,
    ) -> None:
        """It listens on `port` of the loopback, or on a Unix socket at `path`."""
        self.port = port
        self._where = path or port
        self.worker_count = workers
        self.secret_file = options.get("gateway_secret", state / "gateway_secret")
        listen = f"unix://{path}" if path else wire.loopback(port)
        arguments = {"bundle": bundle, "state": state, "listen": listen, "workers": workers, **options}
        flags = [text for key, value in arguments.items() for text in _flag(key, value)]
        super().__init__([self.module, "serve", *flags], folder, user=user)

    def wait_warm(self) -> None:
        """Wait until every worker is warm."""

        def warm() -> bool:
            self.expect_running()
            try:
                return bool(self.status()["workers"] == self.worker_count)
            except OSError:
                return False

        wait_until("enclave warm", warm, seconds=_START_SECONDS)

    def status(self) -> dict[str, Any]:
        return wire.status(self._where, self.secret_file)

    def workers(self) -> list[psutil.Process]:
        """Its worker processes, oldest first."""
        return workers_of(psutil.Process(self.pid))


def workers_of(runtime: psutil.Process) -> list[psutil.Process]:
    """The worker processes of an enclave's runtime, oldest first: of each the innermost, which decodes images."""
    workers = [_innermost(child) for child in runtime.children() if _is_worker(child)]
    return sorted(workers, key=lambda worker: worker.create_time())


def _innermost(process: psutil.Process) -> psutil.Process:
    while children := process.children():
        process = children[0]
    return process


def _flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return []
    return [flag] if value is True else [flag, str(value)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "enclave_runtime.workers.worker" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


class Gateway(Server):
    """`python -m gateway` on a free port."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self.metrics_port = wire.free_port()
        super().__init__(["gateway"], folder, {"port": 0, "metrics_port": self.metrics_port, **settings})
        self.url = wait_until("gateway listening", self._listening, seconds=_START_SECONDS)
        self.client = httpx2.Client(base_url=self.url, timeout=60, trust_env=False)

    def _listening(self) -> str | None:
        self.expect_running()
        # The last line may be half written.
        lines = self.log().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return next((event["url"] for event in events if event["event"] == "listening"), None)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_ready(self) -> None:
        """Wait until it has verified the enclave and knows it warm."""

        def ready() -> bool:
            self.expect_running()
            try:
                return bool(self.client.get("/readyz").status_code == 200)
            except httpx2.TransportError:
                return False

        wait_until("gateway ready", ready, seconds=_START_SECONDS)

    def metric(self, name: str) -> float:
        """The sum of the samples whose line begins with `name`, such as `requests_in_progress`."""
        text = httpx2.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def stop(self) -> None:
        self.client.close()
        super().stop()

    def kill(self) -> None:
        self.client.close()
        super().kill()
