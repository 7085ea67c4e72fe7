"""The database behind the store: connections, transactions, and the upgrade at start."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from blindsight.errors import CapeError
from gateway.cape import migrating
from gateway.cape.unusable import StoreUnusable
from gateway.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

_log = logging.getLogger("gateway.store")

T = TypeVar("T")

_UPGRADE_LOCK: Final = 0x626C696E64
"""Held while PostgreSQL's tables are upgraded, so that gateways that start together upgrade one after the other."""

_BUSY_SECONDS: Final = 10
"""Time that a transaction waits for SQLite's single writer."""
_STATEMENT_SECONDS: Final = 10.0
"""For which PostgreSQL works on a statement, waiting for locks included."""
_ANSWER_SECONDS: Final = 15.0
"""For which a caller waits for a transaction."""
_CONNECT_SECONDS: Final = 5
_CLOSE_SECONDS: Final = 2.0
_THREADS: Final = 15
"""As many as there can be connections in SQLAlchemy's pool."""

_upgrading = threading.Lock()
"""Alembic keeps its context in global variables."""


class Database:
    """Runs transactions in threads."""

    def __init__(self, url: str) -> None:
        """`url`: `sqlite:///path` or `postgresql://…`. Raises `StoreUnusable`."""
        try:
            parsed = _with_driver(make_url(url))
            sqlite = parsed.get_backend_name() == "sqlite"
            # Statements' parameters are records and tokens, which an exception must not carry.
            waits = {} if sqlite or "connect_timeout" in parsed.query else {"connect_timeout": _CONNECT_SECONDS}
            self._engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=not sqlite, connect_args=waits)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise StoreUnusable("the store's URL is not usable: sqlite:///path or postgresql://host/name") from error
        self._path = parsed.database if sqlite else None
        if sqlite:
            if not self._path or self._path == ":memory:":
                raise StoreUnusable("the store needs a file: each connection would have a memory of its own")
            event.listen(self._engine, "connect", self._on_connect)
            event.listen(self._engine, "begin", _on_begin)
        else:
            event.listen(self._engine, "connect", _limit_statements)
        self._writing = self._engine.execution_options(writes=True)
        self._threads = Threads("store", _THREADS)

    def _on_connect(self, connection: Any, _: object) -> None:  # noqa: ANN401 -- sqlite3's, behind SQLAlchemy's
        # Python's own transaction control would begin them late, at the first change.
        connection.isolation_level = None
        for setting in (
            f"busy_timeout = {_BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {setting}")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction and return its result. Raises `CapeError` (`overloaded`)."""
        return await self._in_time(work, writes=False)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, which is rolled back if it raises. Raises `CapeError` (`overloaded`).

        `IntegrityError` passes through: only the caller knows its meaning.
        """
        return await self._in_time(work, writes=True)

    async def _in_time(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """After a timeout the transaction may still be done."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._threads.run(partial(self._run, work, writes=writes))
        except TimeoutError as error:
            _log.error("store failed", extra={"exception": "TimeoutError"})
            raise _away() from error

    def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        try:
            with (self._writing if writes else self._engine).begin() as connection:
                return work(connection)
        except (IntegrityError, DataError):
            raise  # Of a caller's values, or of ours.
        except (DBAPIError, PoolTimeout) as error:
            # Whatever the database says: that it is a replica now (InternalError), or that a table is away.
            cause = error.orig if isinstance(error, DBAPIError) else error
            _log.error("store failed", extra={"exception": type(cause).__name__})
            raise _away() from error

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one read-only transaction in which every query sees the same state. Raises `StoreUnusable`.

        Writers do not wait for it. SQLite's transactions (WAL) always see one state, PostgreSQL's from REPEATABLE READ
        on.
        """
        return await asyncio.to_thread(self._snapshot, work)

    def _snapshot(self, work: Callable[[Connection], T]) -> T:
        if self._path and not Path(self._path).is_file():
            raise StoreUnusable("there is no database in this place; check BLINDSIGHT_DATABASE")
        engine = self._engine
        if not self._path:
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            with engine.begin() as connection:
                self._take_time(connection)
                return work(connection)
        except SQLAlchemyError as error:
            raise _unusable(error) from error

    async def upgrade(self) -> None:
        """Upgrade the tables to this release's schema. Raises `StoreUnusable`."""
        await self.administer(migrating.upgrade)

    async def administer(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which changes the schema or a whole store, in one transaction. Raises `StoreUnusable`.

        Of several processes one does so at a time: SQLite has one writer, and PostgreSQL an advisory lock.
        """
        return await asyncio.to_thread(self._administer, work)

    def _administer(self, work: Callable[[Connection], T]) -> T:
        try:
            if self._path:
                # Made here, as SQLite would let all users of the machine read it.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with _upgrading, self._writing.begin() as connection:
                self._take_time(connection)
                if not self._path:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
                return work(connection)
        except OSError as error:
            raise StoreUnusable(f"the store cannot be opened: {error.strerror}") from error
        except SQLAlchemyError as error:
            raise _unusable(error) from error

    def _take_time(self, connection: Connection) -> None:
        """In this transaction statements may take as long as they take."""
        if not self._path:
            connection.execute(text("SET LOCAL statement_timeout = 0"))

    @property
    def file(self) -> Path | None:
        """The file of SQLite; None with a server."""
        return Path(self._path) if self._path else None

    async def close(self) -> None:
        """Close all connections, after a short while for transactions that run."""
        await self._threads.settle(_CLOSE_SECONDS)
        await asyncio.to_thread(self._engine.dispose)


def _away() -> CapeError:
    return CapeError("overloaded", "the service cannot reach its store; try again")


def _limit_statements(connection: Any, _: object) -> None:  # noqa: ANN401 -- psycopg's, behind SQLAlchemy's
    connection.execute(f"SET statement_timeout = {int(_STATEMENT_SECONDS * 1000)}")
    connection.commit()


def _unusable(error: SQLAlchemyError) -> StoreUnusable:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = type(cause).__name__
    if isinstance(cause, sqlite3.DatabaseError):
        # SQLite's own texts name no path, account or value: "file is not a database", "disk I/O error".
        reason = f"{reason}: {cause}. If it is damaged, restore a backup into an empty place (docs/day-two.md)"
    return StoreUnusable(f"the store cannot be opened or upgraded: {reason}")


def _with_driver(url: URL) -> URL:
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ArgumentError("another kind of database")
    return url


def _on_begin(connection: Connection) -> None:
    # What reads first and writes then would fail, not wait, if another had written in between.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
