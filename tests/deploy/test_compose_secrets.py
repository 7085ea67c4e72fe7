"""Passwords of the compose file's services, with the configuration of their containers: against real servers."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from sqlalchemy import text

from gateway.cape.database import Database
from tests.support import postgres
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "compose"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volumes of the service `secrets`, after its run."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("gateway", "postgres", "redis", "grafana"):
        (folder / name).mkdir()
    run(folder)
    return folder


def run(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "make_secrets.py", folder], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", ""), "a password in a log"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_second_run_changes_nothing(secrets: Path) -> None:
    before = files(secrets)
    run(secrets)
    assert files(secrets) == before


def test_each_password_is_its_own_and_only_its_readers_have_it(secrets: Path) -> None:
    made = files(secrets)
    passwords = {name: made[f"gateway/{name}"].decode() for name in ("postgres", "redis", "grafana")}
    assert len(set(passwords.values())) == 3
    assert all(len(each) == 64 for each in passwords.values())
    for name, password in passwords.items():
        for other, content in made.items():
            if password.encode() in content:
                assert other.partition("/")[0] in {"gateway", name}
    # Redis gets a digest.
    assert passwords["redis"].encode() not in made["redis/users.acl"]


def test_what_the_gateway_has_is_its_own_alone(secrets: Path) -> None:
    for path in (secrets / "gateway").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(secrets.rglob("*.new"))


@pytest.fixture
def server(secrets: Path, tmp_path: Path) -> Iterator[int]:
    """A Redis with the configuration of the container; its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server (Debian: redis-server) is not installed")
    configuration = (FOLDER / "redis.conf").read_text("utf-8")
    (tmp_path / "redis.conf").write_text(configuration.replace("/secrets/", f"{secrets / 'redis'}/"))
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, tmp_path / "redis.conf", "--port", str(port), "--bind", "127.0.0.1"],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        health = redis.Redis(port=port, username="health", password="none")
        wait_until("redis answers", lambda: _answers(health))
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_redis_admits_the_gateway_alone(secrets: Path, server: int) -> None:
    password = (secrets / "gateway" / "redis").read_text()
    gateway = redis.Redis(port=server, username="gateway", password=password)
    assert gateway.set("count", 1, ex=5)
    assert gateway.eval("return redis.call('INCRBY', KEYS[1], 1)", 1, "count") == 2
    with pytest.raises(redis.exceptions.NoPermissionError):
        gateway.config_get("*")
    with pytest.raises(redis.exceptions.NoPermissionError):
        gateway.flushall()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server, username="gateway", password="0" * 64).ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis.Redis(port=server, username="health", password="none").get("count")


def test_postgresql_admits_the_gateway_by_its_file(secrets: Path, tmp_path: Path) -> None:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    with postgres.running_postgres(programs) as url:
        folder = url.partition("host=")[2]
        password = (secrets / "postgres" / "password").read_text()
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE gateway LOGIN PASSWORD '{password}'")
            admin.execute("CREATE DATABASE blindsight OWNER gateway")
            (setting,) = admin.execute("SHOW hba_file").fetchone() or ("",)
            Path(setting).write_text("local all tester trust\nlocal all all scram-sha-256\n")
            admin.execute("SELECT pg_reload_conf()")
        # The container is called `postgres`; here the server has a socket.
        passfile = tmp_path / "pgpass"
        line = (secrets / "gateway" / "pgpass").read_text().replace("postgres:5432:", "*:*:", 1)
        assert line.startswith("*:*:blindsight:gateway:")
        passfile.touch(mode=0o600)
        passfile.write_text(line)
        target = f"postgresql://gateway@/blindsight?host={folder}&passfile="
        database = Database(f"{target}{passfile}")
        with database._engine.connect() as connection:
            assert connection.execute(text("SELECT current_user")).scalar() == "gateway"
        database._engine.dispose()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{target}{os.devnull}", connect_timeout=5)
