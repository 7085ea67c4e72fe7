"""Debian's nginx, PostgreSQL and Redis, each with its files in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import StackError
from campaigns.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 30.0
_POSTGRES_USER = "postgres"
"""Of Debian's packages."""
_NGINX = """
{user}worker_processes 1;
error_log {folder}/error.log warn;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
upstream gateways {{
{servers}
}}
map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{
        proxy_pass http://gateways;
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_connect_timeout 1s;
        proxy_read_timeout {read_seconds:g}s;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }}
}}
}}
"""
"""As docs/settings.md advises for one gateway, with several of them."""


class Nginx:
    """The load balancer at `port`, before the gateways at `upstreams`."""

    def __init__(self, folder: Path, upstreams: Sequence[int], *, read_seconds: float) -> None:
        folder.mkdir()
        self.port = free_port()
        self.log = folder / "error.log"
        servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;" for port in upstreams)
        user = "user root;\n" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(
            _NGINX.format(user=user, folder=folder, servers=servers, port=self.port, read_seconds=read_seconds)
        )
        command = [_program("nginx"), "-p", str(folder), "-e", str(self.log), "-c", str(config), "-g", "daemon off;"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)


class Redis:
    """A Redis at `port`, which keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        self._command = [_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                         "--dir", str(folder), "--logfile", str(folder / "log")]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)
            self._process = None


class Postgres:
    """A PostgreSQL on a Unix socket. Its folder is not in the campaign's, whose parents its user may not enter."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="blindsight-pg-"))
        self.log = self._root / "log"
        programs = _postgres_programs()
        self._as = _drop_root(self._root)
        data = self._root / "data"
        _run(*self._as, str(programs / "initdb"), "-D", str(data), "-U", "campaign", "-A", "trust", "-N", "-E", "UTF8")
        self._options = (
            f"-c listen_addresses='' -c unix_socket_directories={self._root} -c fsync=off -c shared_buffers=16MB"
        )
        self._control = (*self._as, str(programs / "pg_ctl"), "-D", str(data), "-w", "-s")
        self._start()

    @property
    def url(self) -> str:
        return f"postgresql://campaign@/postgres?host={self._root}"

    def _start(self) -> None:
        _run(*self._control, "-l", str(self.log), "-o", self._options, "start")

    def restart(self) -> None:
        """As after the kill of all its processes."""
        _run(*self._control, "-m", "immediate", "stop")
        self._start()

    async def lock(self, seconds: float) -> None:
        """Hold all tables of the gateways in ACCESS EXCLUSIVE mode for this time."""
        await asyncio.to_thread(self._lock, seconds)

    def _lock(self, seconds: float) -> None:
        import psycopg  # noqa: PLC0415 -- only where there is a database
        from psycopg import sql  # noqa: PLC0415 -- likewise

        with psycopg.connect(self.url) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            tables = sql.SQL(", ").join(sql.Identifier(str(name)) for (name,) in names)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
            connection.execute("SELECT pg_sleep(%s)", (seconds,))

    def stop(self) -> None:
        with contextlib.suppress(StackError):
            _run(*self._control, "-m", "immediate", "stop")
        shutil.rmtree(self._root, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise StackError(f"{name} is not installed")
    return found


def _postgres_programs() -> Path:
    found = shutil.which("pg_ctl")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[4]))
    if not versions:
        raise StackError("PostgreSQL is not installed")
    return versions[-1].parent


def _drop_root(root: Path) -> tuple[str, ...]:
    """The server refuses to run as root."""
    if os.getuid() != 0:
        return ()
    shutil.chown(root, _POSTGRES_USER)
    return ("runuser", "-u", _POSTGRES_USER, "--")


def _run(*command: str) -> None:
    # No pipes: the server would inherit them and keep the reader waiting.
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if status := subprocess.run(command, check=False, cwd="/", **options).returncode:
        raise StackError(f"{Path(command[-1]).name} of PostgreSQL ended with {status}")
