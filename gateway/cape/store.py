"""The gateway's store of accounts, functions and tokens. The enclave encrypts the records; the gateway cannot read
them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from blindsight.errors import CapeError
from gateway.cape.database import Database
from gateway.cape.device_codes import DeviceCodes
from gateway.cape.schema import account_root, accounts, functions, tokens

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

_USE_NOTED_EVERY: Final = timedelta(minutes=1)
"""Minimum interval between two writes of a token's last use."""


@dataclass(frozen=True)
class Account:
    """An account. `username` has its owner's spelling; `version` is that of the sealed `record`, from 1."""

    username: str
    owner_public_key: bytes
    record: bytes
    version: int
    created_at: datetime

    def __repr__(self) -> str:
        return f"Account({self.username!r}, version={self.version})"


@dataclass(frozen=True)
class FunctionRow:
    """A deployed function. `checksum` is SHA-256 of the bundle (32 bytes), `size` bytes of its ciphertext."""

    id: str
    owner: str
    name: str
    public: bool
    checksum: bytes
    size: int
    created_at: datetime


@dataclass(frozen=True)
class TokenRow:
    """A registered token, without the token. `expires_at`: None if it never does."""

    id: str
    owner: str
    name: str
    description: str
    function_id: str | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


_FUNCTION: Final = [column for column in functions.c if column.name != "deployed_version"]


class Store:
    """The gateway's store. Usernames are compared without case; times are UTC.

    Records change by compare-and-set: each method with `expected_version` raises `CapeError` (`stale_record`) and
    changes nothing if the record has another version, and else increments it. Every method can raise `CapeError`
    (`overloaded`) when the database does not answer.
    """

    def __init__(self, url: str) -> None:
        """`url`: `sqlite:///path` or `postgresql://…`. Raises `StoreUnusable`."""
        self._database = Database(url)
        self.device_codes = DeviceCodes(self._database)

    async def upgrade(self) -> None:
        """Create or upgrade the tables; call it first. Raises `StoreUnusable`."""
        await self._database.upgrade()

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def account_root(self) -> str | None:
        """Identity of the root secret that the records are sealed with; None if no enclave has said it yet."""
        query = select(account_root.c.root)
        return await self._database.read(lambda connection: connection.execute(query).scalar())

    async def adopt_account_root(self, root: str) -> str:
        """Store it if there is none yet; returns the stored one."""
        adding = insert(account_root).values(id=1, root=root)
        try:
            await self._database.write(lambda connection: connection.execute(adding).close())
        except IntegrityError:
            return await self.account_root() or root  # Another gateway was first.
        return root

    async def account(self, username: str) -> Account | None:
        """The account called `username`."""
        query = _account_query(username)
        return await self._database.read(lambda connection: _account(connection.execute(query).mappings().first()))

    async def add_account(self, username: str, owner_public_key: bytes, record: bytes) -> Account:
        """Add an account with its first record, or return the one that this owner already has under the name.

        Raises `CapeError` (`name_taken`) if another owner has the name.
        """
        account = Account(username, owner_public_key, record, version=1, created_at=datetime.now(UTC))
        adding = insert(accounts).values(username_key=username.lower(), **asdict(account))
        try:
            await self._database.write(lambda connection: connection.execute(adding).close())
        except IntegrityError as error:
            existing = await self.account(username)
            if existing is None or existing.owner_public_key != owner_public_key:
                raise CapeError("name_taken", "this username is taken") from error
            return existing
        return account

    async def update_record(self, username: str, record: bytes, expected_version: int) -> int:
        """Replace the account's record; the new version. Raises `CapeError` (`stale_record`, `unknown_account`)."""
        return await self._database.write(
            lambda connection: _replace(connection, username.lower(), record, expected_version)
        )

    async def delete_account(self, username: str) -> list[str]:
        """Delete the account with its functions and tokens. Returns the functions' ids, whose bundles the caller
        deletes.
        """

        def work(connection: Connection) -> list[str]:
            # Locked, so that no function is deployed while its account goes.
            found = connection.execute(_account_query(username).with_for_update()).first()
            if found is None:
                return []
            owner = found.username
            deleted = select(functions.c.id).where(functions.c.owner == owner)
            function_ids = list(connection.execute(deleted).scalars())
            connection.execute(delete(functions).where(functions.c.owner == owner))
            connection.execute(delete(tokens).where(tokens.c.owner == owner))
            connection.execute(delete(accounts).where(accounts.c.username == owner))
            return function_ids

        return await self._database.write(work)

    async def deploy_function(self, function: FunctionRow, record: bytes, expected_version: int) -> None:
        """Add a function and replace its owner's record. Raises `CapeError` (`stale_record`, `unknown_account`)."""

        def work(connection: Connection) -> None:
            version = _replace(connection, function.owner.lower(), record, expected_version)
            connection.execute(insert(functions).values(deployed_version=version, **asdict(function)))

        await self._database.write(work)

    async def delete_function(self, function_id: str, record: bytes, expected_version: int) -> None:
        """Remove a function and replace its owner's record. Raises `CapeError` (`stale_record`, `unknown_function`)."""

        def work(connection: Connection) -> None:
            # The account comes first in every transaction, so that none waits for the other in a circle.
            owner = connection.execute(select(functions.c.owner).where(functions.c.id == function_id)).scalar()
            if owner is None:
                raise unknown_function()
            _replace(connection, owner.lower(), record, expected_version)
            if connection.execute(delete(functions).where(functions.c.id == function_id)).rowcount == 0:
                raise unknown_function()

        await self._database.write(work)

    async def function(self, function_id: str) -> FunctionRow | None:
        """The function with this id."""
        query = select(*_FUNCTION).where(functions.c.id == function_id)
        return await self._database.read(lambda connection: _function(connection.execute(query).mappings().first()))

    async def function_named(self, username: str, name: str) -> FunctionRow | None:
        """The function that this account deployed last under `name`."""
        query = (
            select(*_FUNCTION)
            .join(accounts, accounts.c.username == functions.c.owner)
            .where(accounts.c.username_key == username.lower(), functions.c.name == name)
            .order_by(functions.c.deployed_version.desc())
            .limit(1)
        )
        return await self._database.read(lambda connection: _function(connection.execute(query).mappings().first()))

    async def functions(self, username: str, limit: int, offset: int) -> list[FunctionRow]:
        """The account's functions in the order of deployment, so that pages do not shift during deployments."""
        query = (
            select(*_FUNCTION)
            .join(accounts, accounts.c.username == functions.c.owner)
            .where(accounts.c.username_key == username.lower())
            .order_by(functions.c.deployed_version)
            .limit(limit)
            .offset(offset)
        )
        return await self._database.read(
            lambda connection: [FunctionRow(**row) for row in connection.execute(query).mappings()]
        )

    async def function_ids(self) -> set[str]:
        """The ids of all functions of all accounts, whose bundles must be kept."""
        query = select(functions.c.id)
        return await self._database.read(lambda connection: set(connection.execute(query).scalars()))

    async def some_records(self, limit: int) -> list[bytes]:
        """The records of at most `limit` accounts, the newest accounts first."""
        query = select(accounts.c.record).order_by(accounts.c.created_at.desc()).limit(limit)
        return await self._database.read(lambda connection: list(connection.execute(query).scalars()))

    async def add_token(self, token: TokenRow) -> None:
        """Register a token. Raises `CapeError` (`malformed_request`) if its id is in use, `unknown_account`."""
        try:
            await self._database.write(
                lambda connection: connection.execute(insert(tokens).values(**asdict(token))).close()
            )
        except IntegrityError as error:
            if await self.token(token.id) is None:
                raise unknown_account() from error
            raise CapeError("malformed_request", "a token with this id is registered already") from error

    async def tokens(self, username: str) -> list[TokenRow]:
        """The account's tokens that are not revoked, oldest first."""
        query = (
            select(tokens)
            .join(accounts, accounts.c.username == tokens.c.owner)
            .where(accounts.c.username_key == username.lower(), tokens.c.revoked_at.is_(None))
            .order_by(tokens.c.created_at, tokens.c.id)
        )
        return await self._database.read(
            lambda connection: [TokenRow(**row) for row in connection.execute(query).mappings()]
        )

    async def token(self, token_id: str) -> TokenRow | None:
        """The registered token with this id, revoked or not."""
        query = select(tokens).where(tokens.c.id == token_id)

        def work(connection: Connection) -> TokenRow | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else TokenRow(**row)

        return await self._database.read(work)

    async def revoke_token(self, token_id: str, record: bytes, expected_version: int) -> None:
        """Mark a token as revoked and replace its owner's record.

        Raises `CapeError` (`stale_record`; `unknown_token`, also if it is revoked already).
        """

        def work(connection: Connection) -> None:
            valid = (tokens.c.id == token_id) & tokens.c.revoked_at.is_(None)
            owner = connection.execute(select(tokens.c.owner).where(valid)).scalar()
            if owner is None:
                raise unknown_token()
            _replace(connection, owner.lower(), record, expected_version)
            if connection.execute(update(tokens).where(valid).values(revoked_at=datetime.now(UTC))).rowcount == 0:
                raise unknown_token()

        await self._database.write(work)

    async def mark_token_used(self, token_id: str) -> None:
        """Record the use of a token, unless it was recorded within the last minute. Unknown ids are ignored."""
        now = datetime.now(UTC)
        due = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at <= now - _USE_NOTED_EVERY)
        token = await self.token(token_id)
        if token is None or (token.last_used_at is not None and token.last_used_at > now - _USE_NOTED_EVERY):
            return
        noting = update(tokens).where(tokens.c.id == token_id, due).values(last_used_at=now)
        await self._database.write(lambda connection: connection.execute(noting).close())


def _account_query(username: str) -> Any:  # noqa: ANN401 -- a select
    return select(
        accounts.c.username,
        accounts.c.owner_public_key,
        accounts.c.record,
        accounts.c.version,
        accounts.c.created_at,
    ).where(accounts.c.username_key == username.lower())


def _account(row: RowMapping | None) -> Account | None:
    return None if row is None else Account(**row)


def _function(row: RowMapping | None) -> FunctionRow | None:
    return None if row is None else FunctionRow(**row)


def _replace(connection: Connection, username_key: str, record: bytes, expected_version: int) -> int:
    """Compare-and-set an account's record; returns the new version."""
    done = connection.execute(
        update(accounts)
        .where(accounts.c.username_key == username_key, accounts.c.version == expected_version)
        .values(record=record, version=expected_version + 1)
    )
    if done.rowcount == 1:
        return expected_version + 1
    known = select(func.count()).select_from(accounts).where(accounts.c.username_key == username_key)
    if connection.execute(known).scalar_one() == 0:
        raise unknown_account()
    raise CapeError("stale_record", "the account was changed meanwhile; try again")


def unknown_account() -> CapeError:
    """The error for an account that does not exist."""
    return CapeError("unknown_account", "there is no such account")


def unknown_function() -> CapeError:
    """The error for a function that does not exist or that the caller cannot see."""
    return CapeError("unknown_function", "there is no such function")


def unknown_token() -> CapeError:
    """The error for a token that does not exist or that the caller cannot see."""
    return CapeError("unknown_token", "there is no such token")
