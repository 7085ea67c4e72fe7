"""`python -m gateway database upgrade|downgrade|current`, and `forget-accounts`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from gateway.cape import bundles, migrating
from gateway.cape.database import Database
from gateway.cape.schema import account_root, accounts, device_codes, functions, tokens
from gateway.cape.stored import Stored, StoredDatabase
from gateway.cape.unusable import StoreUnusable

if TYPE_CHECKING:
    import argparse

    from sqlalchemy import Connection

_ACCOUNTS: Final = select(accounts.c.username, accounts.c.username_key)


async def run(arguments: argparse.Namespace) -> int:
    """Run one of them. Raises `StoreUnusable`, `ValidationError`."""
    if arguments.command == "forget-accounts":
        return await _forget_accounts(Stored(), arguments.name, yes=arguments.yes)
    database = Database(StoredDatabase().database)
    try:
        if arguments.action == "current":
            found = await database.snapshot(migrating.current)
            _print(f"{found or 'none'} (this release: {migrating.revisions()[-1]})")
            return 0
        before: str | None
        if arguments.action == "upgrade":
            before, after = await database.administer(migrating.upgrade)
        else:
            before, after = await database.administer(
                lambda connection: migrating.downgrade(connection, arguments.revision)
            )
        _print(f"{after} already" if before == after else f"{before or 'none'} -> {after}")
        return 0
    finally:
        await database.close()


async def _forget_accounts(stored: Stored, names: list[str], *, yes: bool) -> int:
    """Delete the rows of these accounts, or all, in one transaction, and then the bundles. Raises `StoreUnusable`."""
    database = Database(stored.database)
    try:
        if not yes:
            number = len(await database.snapshot(lambda connection: _named(connection, names)))
            _print(f"{number} accounts would be deleted, with their functions and tokens. To do so, add --yes.")
            return 1
        number, function_ids = await database.administer(lambda connection: _delete(connection, names))
    finally:
        await database.close()
    store = bundles.store_at(stored.bundles)
    for function_id in function_ids:
        await store.delete(function_id)
    _print(f"{number} accounts and {len(function_ids)} functions are deleted.")
    return 0


def _named(connection: Connection, names: list[str]) -> list[str]:
    """The accounts with these names, or all. Raises `StoreUnusable` if there is none of a name."""
    migrating.current(connection)
    found = {row.username_key: row.username for row in connection.execute(_ACCOUNTS)}
    wanted = [name.lower() for name in names] or list(found)
    if unknown := [name for name in wanted if name not in found]:
        raise StoreUnusable(f"there is no account {unknown[0][:39]!r}; nothing was deleted.")
    return [found[name] for name in dict.fromkeys(wanted)]


def _delete(connection: Connection, names: list[str]) -> tuple[int, list[str]]:
    """The number of accounts that are deleted, and the ids of their functions. Raises `StoreUnusable`."""
    migrating.upgrade(connection)
    owners = _named(connection, names)
    function_ids: list[str] = []
    for owner in owners:
        function_ids += connection.execute(select(functions.c.id).where(functions.c.owner == owner)).scalars()
        for table in (functions, tokens):
            connection.execute(delete(table).where(table.c.owner == owner))
        connection.execute(delete(accounts).where(accounts.c.username == owner))
    # A login that waits may be of one of them; it is asked for again in a moment.
    connection.execute(delete(device_codes))
    if not connection.execute(_ACCOUNTS).first():
        connection.execute(delete(account_root))  # The next ones may be of another root secret.
    return len(owners), function_ids


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
