"""The codes of the device flow (RFC 8628), from a device's request to the single delivery of its tokens."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from blindsight.errors import CapeError
from gateway.cape.schema import device_codes, tokens
from gateway.connections import source_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Delete, Row

    from gateway.cape.database import Database
    from gateway.cape.store import TokenRow

LIFETIME: Final = timedelta(minutes=10)
INTERVAL: Final = 5
"""Seconds between polls."""
MAX_INTERVAL: Final = 60
"""Seconds. Cape's command line does not pause after `slow_down`; without this limit its interval would grow forever."""
MAX_CODES: Final = 10_000
"""Maximum number of stored codes, including decided and recently expired ones, since any caller can request one."""
MAX_FROM_ONE: Final = 5_000
"""Of them, for one IPv4 address or IPv6 network. A device asks every five seconds; at a few hundred a second, which is
what a store can take, a flood from its own address needs longer than that to have its code forgotten."""

_FORGOTTEN_AT_ONCE: Final = 25
"""1/25 of the codes is dropped when there are too many, because finding them is expensive."""
_AT_ONCE: Final = 2
"""Transactions of each kind that any caller can cause; the store's others must not wait for them."""

_EARLY: Final = timedelta(milliseconds=500)
"""Tolerance for polls that come too early, because network delays vary."""
_REMEMBERED: Final = timedelta(minutes=10)
"""Time for which an expired code is still reported as expired."""
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words (RFC 8628, 6.1)."""


@dataclass(frozen=True)
class NewCode:
    """The answer to a device. `device_code` is its secret, `user_code` is shown to its user."""

    device_code: str
    user_code: str

    def __repr__(self) -> str:
        return f"NewCode({self.user_code!r})"


@dataclass(frozen=True)
class Device:
    """The requesting device: its name for itself, its address, and the account that it requested."""

    name: str | None = None
    address: str | None = None
    account: str | None = None


@dataclass(frozen=True)
class CodeRow:
    """The part of a code that the deciding user can see."""

    user_code: str
    created_at: datetime
    expires_at: datetime
    status: Literal["pending", "approved", "denied"]
    device: Device


State = Literal["unknown", "slow_down", "pending", "denied", "expired", "approved"]


@dataclass(frozen=True)
class Poll:
    """The answer to one poll; the tokens come with `approved`, once."""

    state: State
    access_token: str | None = None
    id_token: str | None = None

    def __repr__(self) -> str:
        return f"Poll({self.state!r})"


class DeviceCodes:
    """The store's device codes; a device code is stored only as its hash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._creating = asyncio.Semaphore(_AT_ONCE)
        self._polling = asyncio.Semaphore(_AT_ONCE)

    async def create(self, device: Device | None = None, *, now: datetime | None = None) -> NewCode:
        """A new code for `device`, valid for ten minutes.

        If there are too many codes, of one caller or in total, codes that no device has asked about are dropped first,
        then those that no device has asked about for the longest time. So no caller can exhaust them.
        """
        moment, device = now or datetime.now(UTC), device or Device()
        source = source_of(device.address or "")[:64]

        def work(connection: Connection) -> NewCode:
            connection.execute(_purge(moment))
            _make_room(connection, MAX_FROM_ONE, moment, device_codes.c.source == source)
            _make_room(connection, MAX_CODES, moment)
            new = NewCode(secrets.token_urlsafe(32), _free_user_code(connection))
            connection.execute(
                insert(device_codes).values(
                    code_hash=_hash(new.device_code),
                    user_code=new.user_code,
                    created_at=moment,
                    expires_at=moment + LIFETIME,
                    interval=INTERVAL,
                    status="pending",
                    device_name=device.name,
                    address=device.address,
                    account=device.account,
                    source=source,
                )
            )
            return new

        async with self._creating:
            return await self._database.write(work)

    async def by_user_code(self, user_code: str, *, now: datetime | None = None) -> CodeRow | None:
        """Find an unexpired code by its user code, independent of case and dash."""
        moment = now or datetime.now(UTC)
        query = select(device_codes).where(
            device_codes.c.user_code == normalised(user_code), device_codes.c.expires_at > moment
        )

        def work(connection: Connection) -> CodeRow | None:
            row = connection.execute(query).first()
            if row is None:
                return None
            device = Device(row.device_name, row.address, row.account)
            return CodeRow(row.user_code, row.created_at, row.expires_at, row.status, device)

        return await self._database.read(work)

    async def decide(
        self,
        user_code: str,
        *,
        allow: bool,
        account: str | None = None,
        access_token: str | None = None,
        id_token: str | None = None,
        listed: TokenRow | None = None,
        now: datetime | None = None,
    ) -> None:
        """Approve as `account`, with the tokens to deliver, or deny; `listed`: the login's entry among the account's
        tokens.

        Raises `CapeError`: `unknown_code`, also if it was decided or requests another account; `malformed_request` for
        a token that is already listed.
        """
        moment = now or datetime.now(UTC)
        user_code = normalised(user_code)
        deciding = (
            update(device_codes)
            .where(
                device_codes.c.user_code == user_code,
                device_codes.c.status == "pending",
                device_codes.c.expires_at > moment,
                or_(device_codes.c.account.is_(None), device_codes.c.account == account),
            )
            .values(
                status="approved" if allow else "denied",
                access_token=access_token if allow else None,
                id_token=id_token if allow else None,
            )
        )

        def work(connection: Connection) -> None:
            if connection.execute(deciding).rowcount == 0:
                raise unknown_code()
            if allow and listed is not None:
                connection.execute(insert(tokens).values(**asdict(listed)))

        try:
            await self._database.write(work)
        except IntegrityError as error:
            raise CapeError("malformed_request", "a token with this id is registered already") from error

    async def poll(self, device_code: str, *, now: datetime | None = None) -> Poll:
        """The state for the polling device. Polling faster than the interval doubles the interval, up to a minute."""
        moment = now or datetime.now(UTC)
        async with self._polling:
            return await self._database.write(lambda connection: _poll(connection, _hash(device_code), moment))

    async def purge_expired(self, *, now: datetime | None = None) -> None:
        """Delete codes that expired a while ago."""
        removing = _purge(now or datetime.now(UTC))
        await self._database.write(lambda connection: connection.execute(removing).close())


def _purge(now: datetime) -> Delete:
    return delete(device_codes).where(device_codes.c.expires_at <= now - _REMEMBERED)


def _make_room(connection: Connection, most: int, now: datetime, *which: ColumnElement[bool]) -> None:
    """Reduce the codes that match `which` to fewer than `most`."""
    count = connection.execute(select(func.count()).select_from(device_codes).where(*which)).scalar_one()
    if count < most:
        return
    # Approved ones are about to be fetched.
    open_to_all = or_(device_codes.c.status != "approved", device_codes.c.expires_at <= now)
    asked_about = device_codes.c.last_poll_at
    keenest_last = (asked_about.is_not(None), func.coalesce(asked_about, device_codes.c.created_at))
    least = (
        select(device_codes.c.code_hash)
        .where(open_to_all, *which)
        .order_by(*keenest_last)
        .limit(count - most + max(1, most // _FORGOTTEN_AT_ONCE))
    )
    connection.execute(delete(device_codes).where(device_codes.c.code_hash.in_(least)))


def _poll(connection: Connection, code_hash: str, now: datetime) -> Poll:
    this = device_codes.c.code_hash == code_hash
    # Locked, so that of two polls at once only one is given the tokens.
    row = connection.execute(select(device_codes).where(this).with_for_update()).first()
    if row is None:
        return Poll("unknown")
    if row.expires_at <= now:
        # Tokens that no device fetched in time must not lie around.
        connection.execute(update(device_codes).where(this).values(access_token=None, id_token=None))
        return Poll("expired")
    if row.last_poll_at is not None and now < row.last_poll_at + timedelta(seconds=row.interval) - _EARLY:
        slower = min(row.interval * 2, MAX_INTERVAL)
        connection.execute(update(device_codes).where(this).values(interval=slower))
        return Poll("slow_down")
    connection.execute(update(device_codes).where(this).values(last_poll_at=now))
    return _decision(connection, row)


def _decision(connection: Connection, row: Row[tuple[object, ...]]) -> Poll:
    if row.status == "approved":
        connection.execute(delete(device_codes).where(device_codes.c.code_hash == row.code_hash))
        return Poll("approved", row.access_token, row.id_token)
    return Poll("denied" if row.status == "denied" else "pending")


def unknown_code() -> CapeError:
    """The error for a code that does not exist or that the caller cannot decide."""
    return CapeError("unknown_code", "no login is waiting with this code")


def normalised(user_code: str) -> str:
    """The stored form of a user code."""
    letters = "".join(character for character in user_code[:20].upper() if character in _LETTERS)
    return f"{letters[:4]}-{letters[4:]}"


def _free_user_code(connection: Connection) -> str:
    while True:
        code = normalised("".join(secrets.choice(_LETTERS) for _ in range(8)))
        taken = select(device_codes.c.user_code).where(device_codes.c.user_code == code)
        if connection.execute(taken).first() is None:
            return code


def _hash(device_code: str) -> str:
    return hashlib.sha256(device_code.encode("utf-8", "surrogatepass")).hexdigest()
