"""Backup, destruction and restore of a Cape host through its clients: all is as before, or nothing is revealed."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blindsight.cape.tokens import peek
from blindsight.errors import CapeError
from enclave_runtime.cape.accounts import AccountVault
from enclave_runtime.cape.rootsecret import RootSecret
from gateway import tokens
from tests.support import postgres, preloaded
from tests.support.cape_client import GoCape
from tests.support.cape_guest import Guest, record_of, trust_of, zipped
from tests.support.command import blindsight
from tests.support.hostile import CANARY, CODE_CANARY, PRIVATE, found
from tests.support.processes import environment
from tests.support.stack import root_fingerprint, running_stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.models import TinyModel
    from tests.support.stack import Stack


@dataclass
class Used:
    """A stack with what people have put there, and what an operator does with it."""

    stack: Stack
    ada: Guest
    private: str
    public: str
    run_token: str
    revoked: str
    api_token: str

    def gateway_command(self, *arguments: str, **changes: object) -> subprocess.CompletedProcess[str]:
        """`python -m gateway`, with the settings of the stack's gateway."""
        settings = {name: self.stack.settings[name] for name in ("database", "bundles", "tokens_file")}
        folder = self.stack.folder
        return preloaded.run_text(
            "gateway", arguments, cwd=folder, env=environment(folder, settings | changes), timeout=60
        )

    def destroy(self, new_database: str) -> None:
        """The gateway's machine is lost."""
        self.stack.gateway.kill()
        for path in self.stack.folder.glob("cape.sqlite*"):
            path.unlink()
        shutil.rmtree(self.stack.folder / "bundles")
        (self.stack.folder / "tokens").unlink()
        self.stack.settings["database"] = new_database

    def start(self) -> None:
        self.stack.gateway = self.stack.start_gateway()
        self.stack.gateway.wait_ready()
        self.ada.url = self.stack.gateway.url

    def restart_enclave(self, state: Path | None = None) -> None:
        self.stack.enclave.stop()
        self.stack.enclave = self.stack.start_enclave(state=state)
        self.stack.enclave.wait_warm()


def use(stack: Stack, api_token: str) -> Used:
    ada, bob = (Guest.sign_up(name, stack.gateway.url, trust_of(stack)) for name in ("ada", "bob"))
    private = ada.deploy("private", PRIVATE)
    public = bob.deploy("public", zipped("def cape_handler(data):\n    return b'bob: ' + data\n"), public=True)
    deleted = ada.deploy("deleted", zipped("def cape_handler(data):\n    return b'gone'\n"))
    ada.delete(deleted)
    run_token, revoked = ada.token("run"), ada.token("run")
    for name, token in (("kept", run_token), ("revoked", revoked)):
        expires = peek(token).expires
        assert expires is not None
        body = {"name": name, "description": "d", "function_id": "", "token": token, "expiry": expires.isoformat()}
        assert ada.host.rest("POST", "/v1/token", token=ada.token(), body=body).status_code == 201
    listed = {each["name"]: each["id"] for each in tokens_of(ada)}
    gone = ada.host.rest("DELETE", f"/v1/token/{listed['revoked']}", token=ada.token())
    assert gone.status_code == 200, gone.text
    return Used(stack, ada, private, public, run_token, revoked, api_token)


def tokens_of(guest: Guest) -> list[dict[str, str]]:
    answer = guest.host.rest("GET", "/v1/tokens", token=guest.token())
    assert answer.status_code == 200, answer.text
    found: list[dict[str, str]] = answer.json()
    return found


def notices(stack: Stack) -> str:
    return " ".join(each for each in stack.gateway.client.get("/info").json()["notices"] if "SIMULATED" not in each)


@pytest.fixture(params=["sqlite", "postgresql"])
def used(request: pytest.FixtureRequest, colour_model: TinyModel, tmp_path: Path) -> Iterator[tuple[Used, str]]:
    """With the URL of a second, empty database."""
    databases = [f"sqlite:///{tmp_path / 'cape.sqlite'}"] * 2
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgres_server")
        databases = [postgres.new_database(server) for _ in range(2)]
    api_token = tokens.create("alice", tmp_path / "tokens")
    with running_stack(
        colour_model.folder, tmp_path, workers=1, cape=True, database=databases[0], tokens_file=tmp_path / "tokens"
    ) as stack:
        yield use(stack, api_token), databases[1]


def test_backup_destroy_restore(used: tuple[Used, str], tmp_path: Path) -> None:
    """Functions, accounts and tokens are as before, for the host's own and for the published protocol's clients."""
    host, new_database = used
    before = host.ada.functions(), tokens_of(host.ada), host.ada.key()
    done = host.gateway_command("backup", "--out", "backup.tar")
    assert done.returncode == 0, done.stderr
    assert "2 accounts, 2 functions, 2 tokens" in done.stdout
    digest = done.stdout.split()[-1]
    host.destroy(new_database)
    restored = host.gateway_command("restore", "backup.tar", "--sha256", digest)
    assert restored.returncode == 0, restored.stderr
    host.restart_enclave()
    host.start()
    assert (host.ada.functions(), tokens_of(host.ada), host.ada.key()) == before
    assert host.ada.run(host.private, CANARY, token=host.run_token) == CANARY
    assert host.ada.run(host.public, b"x") == b"bob: x"
    with pytest.raises(CapeError, match="revoked"):
        host.ada.run(host.private, CANARY, token=host.revoked)
    with GoCape(host.ada.url, f"/v1/run/{host.private}", host.run_token) as go:
        go.send_input(CANARY)
        assert go.output() == CANARY
    # The account can be changed on.
    new = host.ada.deploy("after", zipped("def cape_handler(data):\n    return b'after'\n"))
    assert host.ada.run(new, b"") == b"after"
    classify = host.stack.gateway.client.post("/classify", headers={"authorization": f"Bearer {host.api_token}"})
    assert classify.status_code != 401
    assert host.stack.gateway.client.post("/classify").status_code == 401


def test_without_the_root_secret_nothing_is_revealed_and_the_reason_is_told(
    used: tuple[Used, str], tmp_path: Path
) -> None:
    host, new_database = used
    done = host.gateway_command("backup", "--out", "backup.tar")
    assert done.returncode == 0, done.stderr
    root = (host.stack.state / "root_secret").read_bytes()
    secrets = [root, root.hex().encode(), host.api_token.encode(), host.run_token.encode()]
    if "sqlite" in new_database:
        record = record_of(tmp_path / "cape.sqlite", "ada")
        cape_key = AccountVault(RootSecret(root)).open(record).cape_key
        # Any part of the private key, which begins after the public modulus.
        secrets += [cape_key[start : start + 32] for start in range(600, len(cape_key) - 32, 32)]
    host.destroy(new_database)
    assert host.gateway_command("restore", "backup.tar").returncode == 0
    elsewhere = tmp_path / "another machine"
    host.restart_enclave(elsewhere)
    host.stack.policy_file.write_text(
        host.stack.policy_file.read_text().replace(root_fingerprint(host.stack.state), root_fingerprint(elsewhere))
    )
    host.start()
    host.ada.trust = trust_of(host.stack, elsewhere)
    for attempt in (host.ada.key, lambda: host.ada.run(host.private, CANARY), lambda: host.ada.deploy("n", zipped())):
        with pytest.raises(CapeError, match="of another root secret"):
            attempt()
    info = wait_until("the notice", lambda: notices(host.stack))
    assert "another root secret than the stored accounts were made with" in info
    seen = blindsight(tmp_path, "doctor", "--url", host.stack.gateway.url)
    (row,) = (line for line in seen.stdout.splitlines() if " accounts " in line)
    assert row.startswith("mend")
    assert "docs/day-two.md" in row
    event = "enclave cannot decrypt the stored accounts: it has another root secret"
    assert [each["reason"] for each in host.stack.gateway.events() if each["event"] == event] == [
        "restore the root secret, or delete the accounts: docs/day-two.md"
    ]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("bundles/*"))
    stored += b"".join(path.read_bytes() for path in tmp_path.glob("cape.sqlite*"))
    archive = (tmp_path / "backup.tar").read_bytes()
    for place in (archive, stored):
        assert not found(place)
        assert [secret for secret in secrets if secret in place] == []
    assert hashlib.sha256(host.api_token.encode()).hexdigest().encode() in archive
    # With the secret all is as before.
    host.restart_enclave()
    host.stack.policy_file.write_text(host.stack.policy.to_json())
    host.stack.gateway.stop()
    host.start()
    host.ada.trust = trust_of(host.stack)
    assert host.ada.run(host.private, CANARY) == CANARY
    assert not notices(host.stack)
    assert CODE_CANARY.decode() not in host.stack.logs()
