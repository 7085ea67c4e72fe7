"""A store of an earlier release is brought to this one's form, with what is in it, and back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from blindsight.attestation import Policy
from blindsight.cape import ids
from gateway.cape import migrating
from gateway.cape.device_codes import Device
from gateway.cape.store import FunctionRow, Store, TokenRow
from gateway.cape.unusable import StoreUnusable
from tests.support import preloaded
from tests.support.processes import environment

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from sqlalchemy import Connection

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


REVISIONS = migrating.revisions()


def _downgrade(connection: Connection) -> None:
    migrating.downgrade(connection, "0001")


def _shape(connection: Connection) -> dict[str, Any]:
    """Columns, indexes and constraints of each table."""
    there = inspect(connection)
    return {
        name: (
            [(each["name"], str(each["type"]), each["nullable"]) for each in there.get_columns(name)],
            sorted((each["name"], each["column_names"], bool(each["unique"])) for each in there.get_indexes(name)),
            there.get_pk_constraint(name)["constrained_columns"],
            sorted(each["referred_table"] for each in there.get_foreign_keys(name)),
            sorted(map(str, (each["name"] for each in there.get_check_constraints(name)))),
        )
        for name in there.get_table_names()
        if name != "alembic_version"
    }


def _rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows, as the schema has them now."""
    tables = MetaData()
    tables.reflect(connection)
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in tables.sorted_tables
        if table.name != "alembic_version"
    }


@pytest.mark.parametrize("revision", REVISIONS)
async def test_each_step_back_keeps_what_the_older_schema_can_hold(store_url: str, revision: str) -> None:
    """From the newest schema with rows in every table to each older one, and forward again."""
    fresh = Store(store_url)
    await fresh._database.administer(lambda connection: migrating.upgrade(connection, revision))
    shape = await fresh._database.snapshot(_shape)
    store = Store(store_url)
    await store.upgrade()
    newest = await store._database.snapshot(_shape)
    await store.adopt_account_root("0a" * 16)
    await store.add_account("Ada", b"k" * 32, b"record")
    row = FunctionRow(ids.new(), "Ada", "echo", True, b"c" * 32, 5, NOW)
    await store.deploy_function(row, b"record 2", 1)
    await store.add_token(TokenRow(ids.new(), "Ada", "t", "d", row.id, NOW, expires_at=NOW))
    await store.device_codes.create(Device("phone", "192.0.2.7", "ada"))
    before = await store._database.snapshot(_rows)
    assert all(before.values()), "a table has no row, so this would show nothing of it"

    await store._database.administer(lambda connection: migrating.downgrade(connection, revision))
    assert await store._database.snapshot(_shape) == shape
    older = await store._database.snapshot(_rows)
    assert older.keys() == {name for name in before if name in shape}
    for name, rows in older.items():
        columns = [column for column, _, _ in shape[name][0]]
        assert rows == [{column: row[column] for column in columns} for row in before[name]]

    assert await store._database.administer(migrating.upgrade) == (revision, REVISIONS[-1])
    assert await store._database.snapshot(_shape) == newest
    after = await store._database.snapshot(_rows)
    for name, rows in older.items():
        assert [{column: row[column] for column in rows[0]} for row in after[name]] == rows
    for each in (fresh, store):
        await each.close()


async def test_a_step_back_that_fails_leaves_all_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.add_account("Ada", b"k" * 32, b"record")
    shape = await store._database.snapshot(_shape)

    def fails(*_: object, **__: object) -> None:
        raise SQLAlchemyError

    # The last statement of the last step.
    monkeypatch.setattr("alembic.op.drop_column", fails)
    with pytest.raises(StoreUnusable):
        await store._database.administer(_downgrade)
    assert await store._database.snapshot(_shape) == shape
    assert await store._database.snapshot(migrating.current) == REVISIONS[-1]


def command(folder: Path, url: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """`python -m gateway`, as an operator runs it."""
    variables = environment(folder, {"database": url, **settings})
    return preloaded.run_text("gateway", arguments, cwd=folder, env=variables, timeout=60)


def test_the_commands(store_url: str, tmp_path: Path) -> None:
    newest, oldest = REVISIONS[-1], REVISIONS[0]
    if store_url.startswith("sqlite"):
        assert "there is no database" in command(tmp_path, store_url, "database", "current").stderr
    assert command(tmp_path, store_url, "database", "upgrade").stdout == f"none -> {newest}\n"
    assert command(tmp_path, store_url, "database", "upgrade").stdout == f"{newest} already\n"
    assert command(tmp_path, store_url, "database", "downgrade", oldest).stdout == f"{newest} -> {oldest}\n"
    assert command(tmp_path, store_url, "database", "current").stdout == f"{oldest} (this release: {newest})\n"
    forward = command(tmp_path, store_url, "database", "downgrade", newest)
    assert (forward.returncode, forward.stdout) == (1, "")
    assert "python -m gateway database upgrade" in forward.stderr
    for revision in ("base", "9999", "-1", "head", "000"):
        refused = command(tmp_path, store_url, "database", "downgrade", "--", revision)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
        assert f"there is no schema '{revision}'" in refused.stderr
    assert command(tmp_path, store_url, "database", "current").stdout.startswith(oldest)


def test_a_gateway_does_not_start_on_a_newer_schema(store_url: str, tmp_path: Path) -> None:
    """It says which release to use, in one line, and leaves the store as it is."""
    command(tmp_path, store_url, "database", "upgrade")
    store = Store(store_url)

    def newer(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    asyncio.run(store._database.write(newer))
    asyncio.run(store.close())
    policy = tmp_path / "policy.json"
    policy.write_text(Policy.expecting({0: "ab" * 48}, function_in_image=True).to_json())
    settings = {"policy": policy, "bundles": tmp_path / "bundles", "port": 0, "metrics_port": 0}
    for words in (["serve"], ["database", "upgrade"], ["database", "downgrade", REVISIONS[0]], ["database", "current"]):
        refused = command(tmp_path, store_url, *words, **settings)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert "its schema is 9999, and this release knows" in line
        assert f"`python -m gateway database downgrade {REVISIONS[-1]}`" in line


def test_processes_that_start_together_migrate_once(store_url: str, tmp_path: Path) -> None:
    """Commands and gateways upgrade in the same way: one does, and the others wait for it."""
    with ThreadPoolExecutor(5) as threads:
        running = [threads.submit(command, tmp_path, store_url, "database", "upgrade") for _ in range(5)]
        done = [each.result() for each in running]
    assert [each.stderr for each in done] == [""] * 5
    newest = REVISIONS[-1]
    assert sorted(each.stdout for each in done) == [f"{newest} already\n"] * 4 + [f"none -> {newest}\n"]


async def test_a_device_that_asked_before_is_let_in_after(store_url: str) -> None:
    store = Store(store_url)
    await store.upgrade()
    new = await store.device_codes.create()
    await store._database.write(_downgrade)
    columns = await store._database.read(
        lambda connection: set(connection.execute(text("SELECT * FROM device_codes")).keys())
    )
    assert not columns & {"device_name", "address", "account"}
    await store.upgrade()
    row = await store.device_codes.by_user_code(new.user_code)
    assert row is not None
    assert (row.status, row.device.name, row.device.account) == ("pending", None, None)
    await store.device_codes.decide(new.user_code, allow=True, account="ada", access_token="token")
    poll = await store.device_codes.poll(new.device_code, now=datetime.now(UTC) + timedelta(seconds=5))
    assert (poll.state, poll.access_token) == ("approved", "token")
    await store.close()
