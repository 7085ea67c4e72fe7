"""The store, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import stat
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError, StatementError

from blindsight.cape import ids
from blindsight.errors import CapeError
from gateway.cape import migrations, schema
from gateway.cape.store import Account, FunctionRow, Store, TokenRow
from gateway.cape.unusable import StoreUnusable
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def _function(name: str = "echo", **fields: object) -> FunctionRow:
    values = {
        "id": ids.new(), "owner": "Ada", "name": name, "public": True, "checksum": b"c" * 32, "size": 5,
        "created_at": NOW,
    }  # fmt: skip
    return FunctionRow(**(values | fields))


def _token(**fields: object) -> TokenRow:
    values = {
        "id": ids.new(), "owner": "Ada", "name": "t", "description": "d", "function_id": None, "created_at": NOW,
    }  # fmt: skip
    return TokenRow(**(values | fields))


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def _ada(store: Store) -> Account:
    return await store.add_account("Ada", KEY, b"record 1")


async def test_upgrade_makes_the_schema_and_may_be_repeated(store_url: str) -> None:
    stores = [Store(store_url) for _ in range(3)]
    # As when several gateways start at once.
    await asyncio.gather(*(store.upgrade() for store in stores))
    differences = await stores[0]._database.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), schema.metadata
        )
    )
    assert differences == []
    await stores[1].add_account("Ada", KEY, b"record")
    assert await stores[2].account("ada") is not None
    for store in stores:
        await store.close()


async def test_a_store_that_is_new_needs_no_migrations(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that starts again does not load what makes them."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "alembic"]:
        monkeypatch.delitem(sys.modules, name)
    await store.upgrade()
    assert "alembic" not in sys.modules


async def test_a_store_of_an_older_release_is_upgraded(store: Store) -> None:
    def back(connection: Connection) -> None:
        connection.execute(text("DROP TABLE account_root"))
        connection.execute(text("DROP INDEX ix_device_codes_source"))
        connection.execute(text("ALTER TABLE device_codes DROP COLUMN source"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    await store._database.write(back)
    await store.upgrade()
    found = await store._database.read(
        lambda connection: connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    )
    assert found == [ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head()]


async def test_a_newer_store_is_refused(store: Store) -> None:
    await store._database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")).close()
    )
    with pytest.raises(StoreUnusable, match="newer release"):
        await store.upgrade()


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://u:secret@host/db", "sqlite://", "sqlite:///:memory:", "unknown+driver://u:secret@h/d"],
)
def test_unusable_urls(url: str) -> None:
    with pytest.raises(StoreUnusable) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


async def test_unusable_places(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, whatever its name says" * 50)
    for url in (
        f"sqlite:///{tmp_path}/missing/store.db",
        f"sqlite:///{tmp_path}/text.db",
        f"postgresql://u:secret@/d?host={tmp_path}",
    ):
        store = Store(url)
        with pytest.raises(StoreUnusable) as caught:
            await store.upgrade()
        assert "secret" not in str(caught.value)
        await store.close()


async def test_sqlite_is_durable_and_private(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    await _ada(store)
    settings = {}
    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
        settings[name] = await store._database.read(
            lambda connection, name=name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        )
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    assert set(_modes(tmp_path).values()) == {0o600}
    await store.close()


async def test_accounts_are_found_whatever_the_case(store: Store) -> None:
    added = await _ada(store)
    assert (added.username, added.version, added.owner_public_key) == ("Ada", 1, KEY)
    for name in ("Ada", "ada", "ADA"):
        assert await store.account(name) == added
    assert await store.account("adb") is None
    assert added.created_at.utcoffset() == timedelta(0)


async def test_a_name_is_one_owners(store: Store) -> None:
    added = await _ada(store)
    assert await store.add_account("aDa", KEY, b"another record") == added
    with pytest.raises(CapeError) as caught:
        await store.add_account("aDa", OTHER_KEY, b"another record")
    assert caught.value.code == "name_taken"
    assert await store.account("Ada") == added


async def test_one_of_many_makes_the_account(store: Store) -> None:
    keys = [bytes([number]) * 32 for number in range(6)]
    done = await asyncio.gather(*(store.add_account("Ada", key, b"r" + key) for key in keys), return_exceptions=True)
    made = [account for account in done if isinstance(account, Account)]
    assert len(made) == 1
    assert {error.code for error in done if isinstance(error, CapeError)} == {"name_taken"}
    assert await store.account("ada") == made[0]


async def test_a_record_is_replaced_only_from_the_version_that_was_read(store: Store) -> None:
    await _ada(store)
    assert await store.update_record("ada", b"record 2", 1) == 2
    for expected in (0, 1, 3):
        with pytest.raises(CapeError) as caught:
            await store.update_record("Ada", b"lost", expected)
        assert caught.value.code == "stale_record"
    with pytest.raises(CapeError) as caught:
        await store.update_record("stranger", b"lost", 1)
    assert caught.value.code == "unknown_account"
    account = await store.account("Ada")
    assert account is not None
    assert (account.record, account.version) == (b"record 2", 2)


async def test_concurrent_changes_lose_none(store: Store, store_url: str) -> None:
    """Two gateways, four writers each: every change that was accepted is in the record."""
    await _ada(store)
    second = Store(store_url)
    changes = 5

    async def change(through: Store, writer: int) -> int:
        refused = 0
        for number in range(changes):
            while True:
                account = await through.account("Ada")
                assert account is not None
                record = account.record + b" %d.%d" % (writer, number)
                try:
                    await through.update_record("Ada", record, account.version)
                    break
                except CapeError as error:
                    if error.code != "stale_record":
                        raise
                    refused += 1
        return refused

    refused = await asyncio.gather(*(change((store, second)[writer % 2], writer) for writer in range(8)))
    account = await store.account("Ada")
    assert account is not None
    assert account.version == 1 + 8 * changes
    expected = {b"%d.%d" % (writer, number) for writer in range(8) for number in range(changes)}
    assert set(account.record.split()[2:]) == expected
    assert sum(refused) > 0, "no two writers met, so this has shown nothing"
    await second.close()


async def test_what_reads_and_then_writes_waits_for_another_that_does(store: Store) -> None:
    """SQLite would refuse the second, not let it wait, if both could read before either writes."""
    await _ada(store)
    second_has_read = threading.Event()

    def work(connection: Connection, *, first: bool) -> None:
        connection.execute(schema.accounts.select()).all()
        if first:
            second_has_read.wait(0.3)
        second_has_read.set()
        version = schema.accounts.c.version
        connection.execute(update(schema.accounts).values(version=version + 1))

    await asyncio.gather(
        store._database.write(lambda connection: work(connection, first=True)),
        store._database.write(lambda connection: work(connection, first=False)),
    )
    account = await store.account("Ada")
    assert account is not None
    assert account.version == 3


async def test_of_equal_changes_one_wins(store: Store) -> None:
    await _ada(store)
    functions = [_function(f"f{number}") for number in range(6)]
    done = await asyncio.gather(
        *(store.deploy_function(function, function.id.encode(), 1) for function in functions), return_exceptions=True
    )
    assert done.count(None) == 1
    assert {error.code for error in done if isinstance(error, CapeError)} == {"stale_record"}
    winner = functions[done.index(None)]
    assert await store.functions("Ada", 10, 0) == [winner]
    account = await store.account("Ada")
    assert account is not None
    assert (account.record, account.version) == (winner.id.encode(), 2)


async def test_functions(store: Store) -> None:
    await _ada(store)
    await store.add_account("Bob", OTHER_KEY, b"record 1")
    # The clock goes backwards; the order of deployments does not.
    deployed = [
        _function("echo", created_at=NOW),
        _function("sum", created_at=NOW - timedelta(days=1), public=False),
        _function("echo", created_at=NOW - timedelta(days=2)),
    ]
    for version, function in enumerate(deployed, start=1):
        await store.deploy_function(function, b"record", version)
    foreign = _function("echo", owner="Bob")
    await store.deploy_function(foreign, b"record", 1)
    assert [await store.function(function.id) for function in deployed] == deployed
    assert await store.functions("aDa", 10, 0) == deployed
    assert await store.functions("Ada", 2, 1) == deployed[1:]
    assert await store.functions("Ada", 2, 9) == []
    assert await store.function_named("ada", "echo") == deployed[2]
    assert await store.function_named("ada", "Echo") is None
    assert await store.function_named("carol", "echo") is None
    assert await store.function_ids() == {function.id for function in [*deployed, foreign]}

    with pytest.raises(CapeError) as caught:
        await store.delete_function(deployed[2].id, b"lost", 3)
    assert caught.value.code == "stale_record"
    assert await store.function(deployed[2].id) is not None
    await store.delete_function(deployed[2].id, b"record 5", 4)
    assert await store.function_named("ada", "echo") == deployed[0]
    account = await store.account("ada")
    assert account is not None
    assert (account.record, account.version) == (b"record 5", 5)
    with pytest.raises(CapeError) as caught:
        await store.delete_function(deployed[2].id, b"lost", 5)
    assert caught.value.code == "unknown_function"
    assert await store.account("ada") == account


async def test_a_function_needs_its_account(store: Store) -> None:
    with pytest.raises(CapeError) as caught:
        await store.deploy_function(_function(), b"record", 1)
    assert caught.value.code == "unknown_account"
    assert await store.function_ids() == set()


async def test_a_deployment_is_whole_or_not_at_all(store: Store) -> None:
    await _ada(store)
    function = _function()
    await store.deploy_function(function, b"record 2", 1)
    with pytest.raises(IntegrityError):
        await store.deploy_function(replace(function, name="other"), b"record 3", 2)
    account = await store.account("Ada")
    assert account is not None
    assert (account.record, account.version) == (b"record 2", 2)


async def test_tokens(store: Store) -> None:
    await _ada(store)
    eastern = timezone(timedelta(hours=7))
    first = _token(expires_at=(NOW + timedelta(days=9)).astimezone(eastern))
    second = _token(created_at=NOW + timedelta(seconds=1), function_id=ids.new(), description="ä\n" * 400)
    for token in (second, first):
        await store.add_token(token)
    assert await store.tokens("ADA") == [first, second]
    found = await store.token(first.id)
    assert found == first
    assert found is not None
    assert found.expires_at is not None
    assert found.expires_at.utcoffset() == timedelta(0)
    assert await store.token(ids.new()) is None
    for bad, code in ((replace(first, name="again"), "malformed_request"), (_token(owner="Eve"), "unknown_account")):
        with pytest.raises(CapeError) as caught:
            await store.add_token(bad)
        assert caught.value.code == code

    with pytest.raises(CapeError) as caught:
        await store.revoke_token(first.id, b"lost", 2)
    assert caught.value.code == "stale_record"
    assert await store.tokens("Ada") == [first, second]
    await store.revoke_token(first.id, b"record 2", 1)
    assert await store.tokens("Ada") == [second]
    revoked = await store.token(first.id)
    assert revoked is not None
    assert revoked.revoked_at is not None
    for token_id in (first.id, ids.new()):
        with pytest.raises(CapeError) as caught:
            await store.revoke_token(token_id, b"lost", 2)
        assert caught.value.code == "unknown_token"
    account = await store.account("Ada")
    assert account is not None
    assert (account.record, account.version) == (b"record 2", 2)


async def test_a_tokens_use_is_noted_once_a_minute(store: Store) -> None:
    await _ada(store)
    token = _token()
    await store.add_token(token)

    async def last_used() -> datetime | None:
        found = await store.token(token.id)
        assert found is not None
        return found.last_used_at

    assert await last_used() is None
    await store.mark_token_used(token.id)
    first = await last_used()
    assert first is not None
    await store.mark_token_used(token.id)
    assert await last_used() == first
    await store._database.write(
        lambda connection: connection.execute(
            update(schema.tokens).values(last_used_at=first - timedelta(seconds=61))
        ).close()
    )
    await store.mark_token_used(token.id)
    later = await last_used()
    assert later is not None
    assert later >= first
    await store.mark_token_used(ids.new())


async def test_a_deleted_account_leaves_nothing(store: Store) -> None:
    await _ada(store)
    await store.add_account("Bob", OTHER_KEY, b"record")
    mine, foreign = [_function("a"), _function("b")], _function("a", owner="Bob")
    for version, function in enumerate(mine, start=1):
        await store.deploy_function(function, b"record", version)
    await store.deploy_function(foreign, b"record", 1)
    await store.add_token(_token())
    await store.add_token(_token(owner="Bob"))
    assert sorted(await store.delete_account("aDA")) == sorted(function.id for function in mine)
    assert await store.delete_account("Ada") == []
    assert await store.account("Ada") is None
    assert await store.tokens("Ada") == []
    assert await store.function_ids() == {foreign.id}
    assert len(await store.tokens("Bob")) == 1
    assert (await store.add_account("ada", OTHER_KEY, b"new")).username == "ada"


async def test_times_need_a_zone(store: Store) -> None:
    await _ada(store)
    with pytest.raises(StatementError, match="needs a zone"):
        await store.add_token(_token(created_at=datetime(2030, 1, 1)))  # noqa: DTZ001 -- that is what is refused
    assert await store.tokens("Ada") == []


async def test_errors_hold_no_secrets(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await _ada(store)
    await store._database.write(lambda connection: connection.execute(text("DROP TABLE device_codes")).close())
    with pytest.raises((CapeError, ProgrammingError)) as caught:
        await store.device_codes.decide("BCDF-GHJK", allow=True, access_token=CANARY)
    told = f"{caught.value} {caught.value.__cause__}"
    assert "device_codes" in told
    assert CANARY not in told + caplog.text
    assert CANARY not in repr(replace(await _ada(store), record=CANARY.encode()))
