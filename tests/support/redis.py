"""A Redis of the tests' own: Debian's, in a temporary folder, on a port of the loopback or a Unix socket."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

import pytest
import redis

from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from signal import Signals

    from blindsight_cli.localca import ServerFiles


class RunningRedis:
    """One server. It keeps its port when it is started again, and nothing else."""

    options: ClassVar[list[str]] = []
    """Further ones of the program."""

    def __init__(self, program: str, folder: Path, password: str | None = None, tls: ServerFiles | None = None) -> None:
        self._program = program
        self._tls = tls
        self._folder = folder
        self._password = password
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        secret = f":{self._password}@" if self._password else ""
        if self._tls is not None:
            return f"rediss://{secret}127.0.0.1:{self.port}/0?ssl_ca_certs={self._tls.ca}"
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--save", ""]
        if self._tls is not None:
            options[:2] = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            options += ["--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key)]
            options += ["--tls-ca-cert-file", str(self._tls.ca)]
        options += self.options
        if self._password:
            options += ["--requirepass", self._password]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *options], cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until("redis answers", self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def keys(self) -> list[str]:
        with self.client() as client:
            return sorted(client.keys("*"))

    def signal(self, number: Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def running_redis(folder: Path, password: str | None = None, tls: ServerFiles | None = None) -> Iterator[RunningRedis]:
    """A Redis for the block; with `tls` it speaks nothing else. Skips the test without the program."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server (Debian: redis-server) is not installed")
    server = RunningRedis(program, folder, password, tls)
    try:
        server.start()
        yield server
    finally:
        server.kill()
