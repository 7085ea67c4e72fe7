"""Storing what the enclave accepted: whole and listed, or not at all, even if another request changes the account."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import ids
from blindsight.errors import CapeError
from gateway.audit.log import Audit
from gateway.cape import deployments
from gateway.cape.bundles import Bundles
from gateway.cape.deployments import Deployment
from gateway.cape.store import Store
from tests.support.fake_cape_enclave import with_function
from tests.support.refusals import refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ACCEPTED = {"name": "fn", "public": True, "checksum": b"\x05" * 32, "bytes": 3}
FIRST = json.dumps({"username": "ada", "version": 1, "functions": [], "revoked": {}}).encode()


class Host:
    """A store, a folder, and an enclave that adds functions to readable records."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.bundles = Bundles(folder)
        self.committed: list[bytes] = []
        self.races = 0
        """So many times the account is changed by another while the enclave answers."""
        self.fail_at: int | None = None
        self.calls = 0
        self.commit_error: CapeError | None = None

    async def add_function(self, record: bytes, token: str) -> tuple[str, bytes]:
        assert token == "the token"
        self.calls += 1
        if self.calls == self.fail_at:
            raise CapeError("enclave_unavailable", "gone")
        if self.races:
            self.races -= 1
            account = await self.store.account("ada")
            assert account is not None
            await self.store.update_record("ada", with_function(record, ids.new()), account.version)
        function_id = ids.new()
        return function_id, with_function(record, function_id)

    async def commit(self, record: bytes) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        self.committed.append(record)

    async def deploy(self, accepted: dict[str, Any] = ACCEPTED, content: bytes = b"ciphertext") -> str:
        services: Any = SimpleNamespace(store=self.store, bundles=self.bundles, enclave=self, audit=Audit())
        async with self.bundles.receiving() as upload:
            deployment = Deployment(services, upload, "ada", "the token")
            for start in range(0, len(content), 4):
                await deployment.take(content[start : start + 4])
            return await deployment.finish(accepted)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    async def listed(self) -> list[str]:
        return sorted(row.id for row in await self.store.functions("ada", 100, 0))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    await store.add_account("ada", bytes(32), FIRST)
    yield Host(store, tmp_path / "bundles")
    await store.close()


async def test_a_deployment_is_stored_and_the_enclave_told(host: Host):
    function_id = await host.deploy()
    row = await host.store.function(function_id)
    assert row is not None
    assert (row.owner, row.name, row.public, row.checksum, row.size) == ("ada", "fn", True, b"\x05" * 32, 10)
    assert host.files() == [function_id]
    assert (host.folder / function_id).read_bytes() == b"ciphertext"
    account = await host.store.account("ada")
    assert account is not None
    assert account.version == 2
    assert json.loads(account.record)["functions"] == [function_id]
    assert host.committed == [account.record]


async def test_another_change_of_the_account_is_no_reason_to_fail(host: Host):
    host.races = 3
    function_id = await host.deploy()
    assert host.calls == 4
    assert host.files() == await host.listed() == [function_id]
    account = await host.store.account("ada")
    assert account is not None
    # Every change is in the record.
    assert len(json.loads(account.record)["functions"]) == 4
    assert len(host.committed) == 1


async def test_deployments_at_once_are_all_stored(host: Host):
    deployed = sorted(await asyncio.gather(*(host.deploy() for _ in range(4))))
    assert host.files() == await host.listed() == deployed


async def test_after_too_many_changes_it_fails_and_leaves_nothing(host: Host):
    host.races = deployments._ATTEMPTS
    with refused("stale_record"):
        await host.deploy()
    assert host.files() == await host.listed() == []
    assert host.committed == []


@pytest.mark.parametrize("call", [1, 2])
async def test_an_enclave_that_is_gone_meanwhile_leaves_nothing(host: Host, call: int):
    host.races, host.fail_at = 1, call
    with refused("enclave_unavailable"):
        await host.deploy()
    assert host.files() == await host.listed() == []


async def test_a_deleted_account_leaves_nothing(host: Host):
    async def delete(record: bytes, token: str) -> tuple[str, bytes]:
        await host.store.delete_account("ada")
        return ids.new(), record

    host.add_function = delete
    with refused("unknown_account"):
        await host.deploy()
    assert host.files() == []
    with refused("unknown_account"):
        await host.deploy()
    assert host.files() == []


@pytest.mark.parametrize("code", ["stale_record", "enclave_unavailable"])
async def test_what_is_stored_has_succeeded_whatever_the_enclave_says_to_it(host: Host, code: str):
    """A later deployment may have told it of a newer record first."""
    host.commit_error = CapeError(code, "no matter")
    function_id = await host.deploy()
    assert host.files() == await host.listed() == [function_id]


async def test_a_database_that_does_not_answer_may_have_stored_it(host: Host, monkeypatch: pytest.MonkeyPatch):
    """Its bundle stays then: a function without one would be listed and could not be run."""
    store_it = host.store.deploy_function

    async def store_and_fail(*arguments: Any) -> None:
        await store_it(*arguments)
        raise CapeError("overloaded", "the connection was lost")

    monkeypatch.setattr(host.store, "deploy_function", store_and_fail)
    with refused("overloaded"):
        await host.deploy()
    assert host.files() == await host.listed() != []


@pytest.mark.parametrize(
    "accepted",
    [{}, {**ACCEPTED, "name": 5}, {**ACCEPTED, "public": 1}, {**ACCEPTED, "checksum": "text"}],
    ids=["nothing", "name", "public", "checksum"],
)
async def test_what_the_enclave_should_not_say_is_not_stored(host: Host, accepted: dict[str, Any]):
    with refused("enclave_unavailable"):
        await host.deploy(accepted)
    assert (host.calls, host.files()) == (0, [])


async def test_a_client_that_goes_away_leaves_nothing(host: Host):
    waiting = asyncio.Event()

    async def hang(record: bytes, token: str) -> tuple[str, bytes]:
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    host.add_function = hang
    task = asyncio.create_task(host.deploy())
    async with asyncio.timeout(20):
        await waiting.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert host.files() == await host.listed() == []
