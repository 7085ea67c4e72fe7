"""`python -m gateway database upgrade|downgrade|current`, and `forget-accounts`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select

from gateway.cape import migrating
from gateway.cape.bundles import Bundles
from gateway.cape.database import Database
from gateway.cape.schema import accounts, device_codes, functions, tokens
from gateway.cape.stored import Stored, StoredDatabase

if TYPE_CHECKING:
    import argparse

    from sqlalchemy import Connection

_NUMBER: Final = select(func.count()).select_from(accounts)


async def run(arguments: argparse.Namespace) -> int:
    """Run one of them. Raises `StoreUnusable`, `ValidationError`."""
    if arguments.command == "forget-accounts":
        return await _forget_accounts(Stored(), yes=arguments.yes)
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


async def _forget_accounts(stored: Stored, *, yes: bool) -> int:
    """Delete the rows in one transaction, and then the bundles."""
    database = Database(stored.database)
    try:
        if not yes:
            number = await database.snapshot(lambda connection: connection.execute(_NUMBER).scalar_one())
            _print(f"{number} accounts would be deleted, with their functions and tokens. To do so, add --yes.")
            return 1
        number, function_ids = await database.administer(_delete_all)
    finally:
        await database.close()
    bundles = Bundles(stored.bundles)
    for function_id in function_ids:
        await bundles.delete(function_id)
    _print(f"{number} accounts and {len(function_ids)} functions are deleted.")
    return 0


def _delete_all(connection: Connection) -> tuple[int, list[str]]:
    """The number of accounts, and the ids of the functions. Raises `StoreUnusable`."""
    migrating.upgrade(connection)
    number = connection.execute(_NUMBER).scalar_one()
    function_ids = list(connection.execute(select(functions.c.id)).scalars())
    for table in (device_codes, tokens, functions, accounts):
        connection.execute(delete(table))
    return number, function_ids


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
