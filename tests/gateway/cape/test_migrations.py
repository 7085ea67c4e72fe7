"""A store of an earlier release is brought to this one's form, with what is in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gateway.cape.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _downgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.cape:migrations")
    config.attributes["connection"] = connection
    command.downgrade(config, "0001")


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
