"""Device codes in the store, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from blindsight.errors import CapeError
from gateway.cape import device_codes, schema
from gateway.cape.store import Store
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def test_device_code_from_asking_to_delivery(store: Store) -> None:
    codes = store.device_codes
    new = await codes.create(now=NOW)
    assert new.device_code not in repr(new)
    row = await codes.by_user_code(new.user_code.lower().replace("-", ""), now=NOW)
    assert row is not None
    assert (row.user_code, row.status, row.expires_at - row.created_at) == (
        new.user_code, "pending", timedelta(minutes=10),
    )  # fmt: skip
    assert (await codes.poll(new.device_code, now=NOW)).state == "pending"
    await codes.decide(new.user_code.lower(), allow=True, access_token=CANARY, id_token="id", now=NOW)
    with pytest.raises(CapeError) as caught:
        await codes.decide(new.user_code, allow=False, now=NOW)
    assert caught.value.code == "unknown_code"
    poll = await codes.poll(new.device_code, now=NOW + timedelta(seconds=5))
    assert (poll.state, poll.access_token, poll.id_token) == ("approved", CANARY, "id")
    assert CANARY not in repr(poll)
    assert (await codes.poll(new.device_code, now=NOW + timedelta(seconds=10))).state == "unknown"
    assert await codes.by_user_code(new.user_code, now=NOW) is None


async def test_device_code_denied(store: Store) -> None:
    new = await store.device_codes.create(now=NOW)
    await store.device_codes.decide(new.user_code, allow=False, access_token=CANARY, now=NOW)
    poll = await store.device_codes.poll(new.device_code, now=NOW)
    assert (poll.state, poll.access_token) == ("denied", None)


async def test_polling_too_fast_doubles_the_interval(store: Store) -> None:
    new = await store.device_codes.create(now=NOW)

    async def poll(seconds: float) -> str:
        return (await store.device_codes.poll(new.device_code, now=NOW + timedelta(seconds=seconds))).state

    assert await poll(0) == "pending"
    assert await poll(4.6) == "pending"  # A little early is forgiven.
    assert await poll(8) == "slow_down"  # 10 from now on
    assert await poll(13.5) == "slow_down"  # 20
    assert await poll(24.6) == "pending"
    # Even a client that never pauses is let in again after a minute.
    for tenths in range(10, 100):
        assert await poll(24.6 + tenths / 10) == "slow_down"
    assert await poll(84.6) == "pending"


async def test_device_code_expires(store: Store) -> None:
    new = await store.device_codes.create(now=NOW)
    late = NOW + device_codes.LIFETIME
    await store.device_codes.decide(new.user_code, allow=True, access_token=CANARY, now=NOW)
    assert (await store.device_codes.poll(new.device_code, now=late)).state == "expired"
    kept = await store._database.read(
        lambda connection: connection.execute(schema.device_codes.select()).mappings().all()
    )
    assert CANARY not in repr(kept)
    assert await store.device_codes.by_user_code(new.user_code, now=late) is None
    other = await store.device_codes.create(now=NOW)
    with pytest.raises(CapeError):
        await store.device_codes.decide(other.user_code, allow=True, access_token=CANARY, now=late)
    await store.device_codes.purge_expired(now=late + timedelta(minutes=10))
    assert (await store.device_codes.poll(new.device_code, now=late)).state == "unknown"


async def test_tokens_are_delivered_to_one_of_many_polls(store: Store) -> None:
    new = await store.device_codes.create()
    await store.device_codes.decide(new.user_code, allow=True, access_token=CANARY)
    polls = await asyncio.gather(*(store.device_codes.poll(new.device_code) for _ in range(8)))
    assert [poll.access_token for poll in polls if poll.state == "approved"] == [CANARY]
    assert sum(poll.access_token is not None for poll in polls) == 1


async def test_device_codes_are_hashed(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    new = await store.device_codes.create()
    await store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert new.user_code in dump
    assert new.device_code not in dump
