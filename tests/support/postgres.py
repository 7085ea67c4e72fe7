"""A PostgreSQL of the tests' own: Debian's, in a temporary folder, on a Unix socket in it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest if there are several."""
    found = shutil.which("pg_ctl")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[4]))
    return versions[-1].parent if versions else None


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Start a server whose programs are in `folder`; the URL of its maintenance database."""
    # Not pytest's folder: its parents are closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="blindsight-pg-") as root:
        unprivileged = _drop_root(Path(root))
        data = Path(root, "data")
        _run(*unprivileged, str(folder / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={root} -c fsync=off -c shared_buffers=16MB"
        control = (*unprivileged, str(folder / "pg_ctl"), "-D", str(data), "-w", "-s")
        _run(*control, "-l", f"{root}/log", "-o", options, "start")
        try:
            yield f"postgresql://tester@/postgres?host={root}"
        finally:
            _run(*control, "-m", "immediate", "stop")


def new_database(server: str) -> str:
    """The URL of a new, empty database of the server with this URL."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


def _drop_root(root: Path) -> tuple[str, ...]:
    """The server refuses to run as root: give the folder to someone else, and run it as them."""
    if os.getuid() != 0:
        return ()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(root, user)
    return ("runuser", "-u", user, "--")


def _run(*command: str) -> None:
    # No pipes: the server would inherit them and keep the reader waiting.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False, cwd="/")
    assert done.returncode == 0, f"{command} failed with {done.returncode}"
