"""`blindsight backup`, `restore` and `forget-accounts` on a stack of `blindsight up`."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from blindsight_cli import keptsecrets, stored
from tests.blindsight_cli.commands.test_up import Up
from tests.support import preloaded
from tests.support.cape_guest import query
from tests.support.command import blindsight
from tests.support.processes import environment
from tests.support.wire import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel


def listed(stack: Up, folder: Path) -> list[dict[str, str]]:
    """The functions of the local account, as `cape` lists them."""
    words = ["with-local-trust", "--state", str(stack.state), "--url", f"https://localhost:{stack.tls_port}"]
    command = [*words, sys.executable, "-m", "blindsight_cli.cape.main", "list", "-o", "json"]
    done = preloaded.run_text("blindsight_cli.main", command, cwd=folder, env=environment(folder), timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)["deployments"]
    return found


def stop(stack: Up) -> None:
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(60) == 0, stack.output()


@pytest.mark.timeout(400)
def test_backup_destroy_restore(colour_model: TinyModel, tmp_path: Path) -> None:
    stack = Up(colour_model.folder, tmp_path)
    try:
        before = listed(stack, tmp_path)
        made = blindsight(
            tmp_path, "backup", "--state", stack.state, "--out", "backup.tar", "--secrets", "secrets.json"
        )
        assert made.returncode == 0, made.stderr
        assert "KEEP IT APART" in made.stderr
        refused = blindsight(tmp_path, "restore", "backup.tar", "--state", stack.state)
        assert "another stack uses" in refused.stderr
        stop(stack)
    finally:
        stack.process.kill()
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    kept = keptsecrets.load(tmp_path / "secrets.json")
    archive = (tmp_path / "backup.tar").read_bytes()
    assert {"enclave/root_secret", "cape/owner.key", "tls/ca.key"} <= kept.keys()
    assert not [name for name, value in kept.items() if name != "tls/ca.pem" and value.strip() in archive]
    shutil.rmtree(stack.state)

    done = blindsight(tmp_path, "restore", "backup.tar", "--state", stack.state)
    assert done.returncode == 0, done.stderr
    assert "root secret is missing" in done.stderr
    # Nothing of the secrets is in what was restored.
    restored = b"".join(path.read_bytes() for path in stack.state.rglob("*") if path.is_file())
    assert not [name for name, value in kept.items() if value.strip() in restored]
    words = ["up", "--state", stack.state, "--port", free_port(), "--tls-port", free_port(), "--metrics-port", 0]
    refused = blindsight(tmp_path, *words, "--model", colour_model.folder)
    assert refused.returncode == 1
    error, next_step = refused.stderr.splitlines()
    assert error.startswith(f"error: {stack.state}/enclave/root_secret is missing: without this secret the 2 accounts")
    assert f"`blindsight restore --secrets FILE --state {stack.state}`" in next_step
    assert f"`blindsight forget-accounts --state {stack.state}`" in next_step
    assert not (stack.state / "enclave").exists()

    assert blindsight(tmp_path, "restore", "--secrets", "secrets.json", "--state", stack.state).returncode == 0
    assert keptsecrets.collect(stack.state) == kept
    again = Up(colour_model.folder, tmp_path)
    try:
        assert listed(again, tmp_path) == before
        stop(again)
    finally:
        again.process.kill()

    # The root secret is lost, and the operator gives the accounts up.
    (stack.state / "enclave" / "root_secret").unlink()
    asked = blindsight(tmp_path, "forget-accounts", "--state", stack.state)
    assert (asked.returncode, stored.accounts(stack.state)) == (1, 2)
    assert "2 accounts would be deleted" in asked.stdout
    assert blindsight(tmp_path, "forget-accounts", "--state", stack.state, "--yes").returncode == 0
    assert stored.accounts(stack.state) == 0
    assert not list((stack.state / "gateway" / "bundles").iterdir())
    anew = Up(colour_model.folder, tmp_path)
    try:
        now = listed(anew, tmp_path)
        assert [each["name"] for each in now] == [each["name"] for each in before]
        assert now[0]["id"] != before[0]["id"]
        stop(anew)
    finally:
        anew.process.kill()


SECRETS = {"enclave/root_secret": b"r" * 32, "cape/owner.key": b"key"}


def kept_in(folder: Path, **files: bytes) -> Path:
    keptsecrets.save(folder / "secrets.json", files or SECRETS)
    return folder / "secrets.json"


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/etc/escaped", "cape/../../escaped", "cape/.ssh", "gateway/cape.sqlite", "enclave/other", "lock"],
)
def test_hostile_secrets_write_nothing(tmp_path: Path, name: str) -> None:
    file = kept_in(tmp_path, **{"enclave/root_secret": b"r" * 32, name: b"x"})
    done = blindsight(tmp_path, "restore", "--secrets", file, "--state", "state")
    assert done.returncode == 1
    assert "not a secret of a stack" in done.stderr
    assert not (tmp_path / "state").exists()
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "blindsight-secrets/2", "files": {}}', "\0"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    done = blindsight(tmp_path, "restore", "--secrets", "file", "--state", "state")
    assert done.returncode == 1
    assert "is not a file of `blindsight backup --secrets`" in done.stderr
    assert "give --secrets the file" in done.stderr


def test_another_secret_is_not_overwritten(tmp_path: Path) -> None:
    file = kept_in(tmp_path)
    state = tmp_path / "state"
    (state / "enclave").mkdir(parents=True)
    (state / "enclave" / "root_secret").write_bytes(b"o" * 32)
    done = blindsight(tmp_path, "restore", "--secrets", file, "--state", "state")
    assert done.returncode == 1
    assert "would be lost" in done.stderr
    assert (state / "enclave" / "root_secret").read_bytes() == b"o" * 32
    assert not (state / "cape").exists()


def test_a_link_in_a_secrets_place_is_not_followed(tmp_path: Path) -> None:
    file = kept_in(tmp_path)
    state = tmp_path / "state"
    (state / "enclave").mkdir(parents=True)
    (state / "enclave" / "root_secret").symlink_to(tmp_path / "elsewhere")
    assert blindsight(tmp_path, "restore", "--secrets", file, "--state", "state").returncode == 1
    assert not (tmp_path / "elsewhere").exists()


def test_half_restored_secrets_are_not_served(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / stored.RESTORING).touch()
    words = ["up", "--state", "state", "--port", free_port(), "--tls-port", free_port(), "--metrics-port", 0]
    done = blindsight(tmp_path, *words)
    assert "a restore of secrets into" in done.stderr
    assert blindsight(tmp_path, "restore", "--secrets", kept_in(tmp_path), "--state", "state").returncode == 0
    assert not (state / stored.RESTORING).exists()
    assert (state / "enclave" / "root_secret").stat().st_mode & 0o777 == 0o600


def test_a_half_restored_store_is_not_served(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "gateway").mkdir(parents=True)
    query(stored.database(state), "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    query(stored.database(state), "INSERT INTO alembic_version VALUES ('restoring')")
    words = ["up", "--state", "state", "--port", free_port(), "--tls-port", free_port(), "--metrics-port", 0]
    assert "has not ended" in blindsight(tmp_path, *words).stderr


def test_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    for words in (["backup", "--out", "b.tar"], ["forget-accounts", "--yes"]):
        done = blindsight(tmp_path, *words, "--state", "state")
        assert done.returncode == 1
        assert "holds no accounts" in done.stderr
    assert "nothing to restore" in blindsight(tmp_path, "restore").stderr


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder as a stack leaves it: files that are read again, and a database without accounts."""
    state = tmp_path / "state"
    for name in ("gateway/bundles/x", "enclave/root_secret", "tls/ca.pem", "cape/token", "policy.json", "function.zip"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(b"s" * 32)
    url = f"sqlite:///{stored.database(state)}"
    done = preloaded.run_text(
        "gateway", ["database", "upgrade"], cwd=tmp_path,
        env=environment(tmp_path, {"database": url}), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return state


@pytest.mark.parametrize(
    "name",
    [
        "gateway/cape.sqlite",
        "policy.json",
        "enclave/root_secret",
        "enclave/new",
        "tls/ca.pem",
        "function.zip",
        "cape/x",
    ],
)
def test_a_backup_writes_over_nothing_of_its_stack(state: Path, tmp_path: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(state)
    for words in (
        ["--out", f"state/{name}"],
        ["--out", f"link/{name}"],
        ["--out", "b.tar", "--secrets", f"state/{name}"],
    ):
        done = blindsight(tmp_path, "backup", "--state", "state", *words)
        assert (done.returncode, "is a file of the stack in" in done.stderr) == (1, True), done.stderr
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "b.tar").exists()


def test_an_archive_is_not_left_without_its_secrets(state: Path, tmp_path: Path) -> None:
    words = ["backup", "--state", "state", "--out", "b.tar"]
    done = blindsight(tmp_path, *words, "--secrets", "missing/secrets.json")
    assert (done.returncode, "give --secrets a file" in done.stderr) == (1, True)
    assert not (tmp_path / "b.tar").exists()
    done = blindsight(tmp_path, "backup", "--state", "state", "--out", "missing/b.tar")
    assert done.returncode == 1
    assert f"{tmp_path / 'missing'} cannot be used" in done.stderr, "not the name of a temporary file"
    assert stored.database(state).is_file()


def test_a_damaged_database_is_called_so(state: Path, tmp_path: Path) -> None:
    stored.database(state).write_bytes(b"this is no database" * 1000)
    for words in (["backup", "--out", "b.tar"], ["forget-accounts", "--yes"]):
        done = blindsight(tmp_path, *words, "--state", "state")
        assert done.returncode == 1
        assert "file is not a database" in done.stderr
        assert "restore a backup" in done.stderr


def test_accounts_are_forgotten_by_their_names(state: Path, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "forget-accounts", "ada", "--state", "state")
    assert done.returncode == 1
    assert "ada" in done.stderr, "the gateway's command, which was given the name"
    assert "unexpected" not in done.stderr


def test_an_archive_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    done = blindsight(tmp_path, "restore", "missing.tar", "--state", "new")
    assert (done.returncode, "missing.tar is no file" in done.stderr) == (1, True)
    assert not (tmp_path / "new").exists()
