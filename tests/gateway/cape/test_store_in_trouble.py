"""A database that is gone, damaged, slow or locked, and the end of connections."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, text

from blindsight.errors import CapeError
from gateway.cape import database
from gateway.cape.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from gateway.cape.stored import Account


async def _ada(store: Store) -> Account:
    return await store.add_account("Ada", b"k" * 32, b"record 1")


async def test_a_database_that_is_gone_is_a_busy_service(store_url: str, tmp_path: Path) -> None:
    url = store_url if store_url.startswith("postgresql") else f"sqlite:///{tmp_path}/away/store.db"
    store = Store(url.replace("/test_", "/gone_"))
    with pytest.raises(CapeError) as caught:
        await store.account("Ada")
    assert caught.value.code == "overloaded"
    await store.close()


async def test_a_database_in_any_other_trouble_is_a_busy_service(store_url: str, tmp_path: Path) -> None:
    """A damaged file; a table that is away; PostgreSQL that became a replica, which takes no writes."""
    store = Store(store_url)
    await store.upgrade()
    await _ada(store)
    if store_url.startswith("postgresql"):
        name = await store._database.read(lambda c: str(c.execute(text("SELECT current_database()")).scalar()))
        readonly = text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await store._database.write(lambda connection: connection.execute(readonly).close())
        await store.close()
        with pytest.raises(CapeError) as caught:
            await store.update_record("ada", b"record 2", 1)
        assert caught.value.code == "overloaded"
        await store.close()
        return
    await store._database.write(lambda connection: connection.execute(text("DROP TABLE device_codes")).close())
    with pytest.raises(CapeError) as caught:
        await store.device_codes.decide("BCDF-GHJK", allow=False)
    assert caught.value.code == "overloaded"
    await store.close()
    path = tmp_path / "damaged.db"
    await asyncio.to_thread(path.write_bytes, b"no database" * 1000)
    damaged = Store(f"sqlite:///{path}")
    with pytest.raises(CapeError) as caught:
        await damaged.account("ada")
    assert caught.value.code == "overloaded"
    await damaged.close()


async def test_a_database_that_stands_still_is_a_busy_service_and_stops_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More callers than threads: each is told in time, and what else needs a thread has one."""
    monkeypatch.setattr(database, "_ANSWER_SECONDS", 0.5, raising=False)
    await _ada(store)
    on = threading.Event()
    try:
        stuck = [asyncio.create_task(store._database.read(lambda _: on.wait(30))) for _ in range(40)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "another") == "another"
            told = await asyncio.gather(*stuck, return_exceptions=True)
        assert {getattr(each, "code", each) for each in told} == {"overloaded"}
    finally:
        on.set()
    monkeypatch.undo()
    assert await store.account("ada") is not None


async def test_the_connection_of_a_transaction_that_runs_at_the_end_is_closed_too(store_url: str) -> None:
    """SQLAlchemy's pool keeps a connection that comes back after its end."""
    store = Store(store_url)
    await store.upgrade()
    made: list[object] = []
    ended: list[object] = []
    event.listen(store._database._engine, "connect", lambda connection, _: made.append(connection))
    event.listen(store._database._engine, "close", lambda connection, _: ended.append(connection))
    running, on = threading.Event(), threading.Event()

    def work(_: Connection) -> None:
        running.set()
        on.wait(30)

    reading = [asyncio.create_task(store._database.read(work)) for _ in range(3)]
    await asyncio.to_thread(running.wait, 30)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.1)
    on.set()
    await closing
    await asyncio.gather(*reading)
    assert len(made) > 1
    assert set(map(id, made)) <= set(map(id, ended))


async def test_a_statement_that_waits_for_a_lock_ends(store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch):
    """PostgreSQL ends it, so that its thread and its connection are free again."""
    if not store_url.startswith("postgresql"):
        pytest.skip("SQLite's writers wait for ten seconds at most")
    await _ada(store)
    monkeypatch.setattr(database, "_STATEMENT_SECONDS", 0.5, raising=False)
    waiting, on = Store(store_url), threading.Event()

    def lock(connection: Connection) -> None:
        connection.execute(text("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"))
        on.wait(30)

    holding = asyncio.create_task(store._database.administer(lock))
    await asyncio.sleep(0.5)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(CapeError) as caught:
                await waiting.account("ada")
        assert caught.value.code == "overloaded"
    finally:
        on.set()
        await holding
    assert await waiting.account("ada") is not None
    await waiting.close()
