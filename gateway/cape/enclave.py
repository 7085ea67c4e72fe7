"""The gateway's interface to the enclave's Cape host: requests about accounts, and sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from blindsight.cape import ids
from blindsight.errors import CapeError, TransportError
from blindsight.problems import Problem
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from gateway.admission import Places
    from gateway.enclave.attested import AttestedEnclave
    from gateway.enclave.connection import EnclaveConnections
    from gateway.enclave.member import Member


class RemoteCapeEnclave:
    """Sends requests to the enclave. Every method raises `CapeError`: the enclave's own, or `enclave_unavailable`."""

    def __init__(
        self, enclave: AttestedEnclave, connections: EnclaveConnections, evidence_places: Places, *, deadline: float
    ) -> None:
        """`evidence_places` limits requests that any caller can make; `deadline` is the timeout for an answer in
        seconds.
        """
        self._enclave = enclave
        self._connections = connections
        self._evidence_places = evidence_places
        self._deadline = deadline

    async def create_account(self, username: str, owner_public_key: bytes, proof: str) -> bytes:
        """The record of a new account."""
        return await self._record("create_account", username=username, owner_public_key=owner_public_key, proof=proof)

    async def user_key(self, record: bytes) -> bytes:
        """The attestation document of an account's Cape Key."""
        try:
            with self._evidence_places.place():
                async with asyncio.timeout(self._deadline):
                    return await self._bytes("document", "user_key", record=record)
        except Problem as problem:
            raise CapeError("overloaded", "too many ask for keys now; try again in a moment") from problem
        except TimeoutError as error:
            raise unavailable() from error

    async def add_function(self, record: bytes, token: str) -> tuple[str, bytes]:
        """The id of the function that a deploy token allows, and the record that has it."""
        match await self._ask("add_function", record=record, token=token):
            # The id becomes a file's name.
            case {"id": str() as function_id, "record": bytes() as changed} if ids.is_id(function_id):
                return function_id, changed
        raise unavailable()

    async def delete_function(self, record: bytes, token: str, function_id: str) -> bytes:
        """The record without the function."""
        return await self._record("delete_function", record=record, token=token, function_id=function_id)

    async def revoke_token(self, record: bytes, token: str, token_id: str, expires: datetime | None) -> bytes:
        """The record in which the token is revoked."""
        until = None if expires is None else int(expires.timestamp())
        return await self._record("revoke_token", record=record, token=token, token_id=token_id, expires=until)

    async def commit(self, record: bytes) -> None:
        """Inform the enclave that this record is stored, so that it refuses older ones."""
        await self._ask("commit", record=record)

    async def grant(self, record: bytes, token: str) -> None:
        """Let the built-in classifier decrypt for the account."""
        await self._ask("grant", record=record, token=token)

    async def open(self, **fields: str | bytes) -> EnclaveSession:
        """Start a session; `fields` are those of CAPE_OPEN."""
        self._current()
        try:
            reader, writer = await self._connections.dedicated()
        except TransportError as error:
            raise unavailable() from error
        session = EnclaveSession(reader, writer)
        try:
            await session.send(frames.encode(FrameKind.CAPE_OPEN, frames.pack(fields)))
            await session.opened()
        except BaseException:
            session.close()
            raise
        return session

    async def _record(self, op: str, **fields: str | bytes | int | None) -> bytes:
        return await self._bytes("record", op, **fields)

    async def _bytes(self, name: str, op: str, **fields: str | bytes | int | None) -> bytes:
        value = (await self._ask(op, **fields)).get(name)
        if not isinstance(value, bytes):
            raise unavailable()
        return value

    async def _ask(self, op: str, **fields: str | bytes | int | None) -> dict[str, Any]:
        self._current()
        try:
            kind, payload = await self._connections.exchange(FrameKind.CAPE_CALL, frames.pack({"op": op, **fields}))
            if kind is FrameKind.CAPE_ERROR:
                raise cape.error_of(payload)
        except TransportError as error:
            raise unavailable() from error
        if kind is not FrameKind.CAPE_ANSWER:
            raise unavailable()
        return fields_of(payload)

    def _current(self) -> None:
        """The verified enclave: without accepted evidence the gateway sends nothing."""
        try:
            _ = self._enclave.current
        except Problem as problem:
            raise unavailable() from problem


class EnclaveSession:
    """One open session. `opened` and `receive` raise `CapeError`, `enclave_unavailable` if the connection is lost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._member: Member | None = None
        self.needs_function = False

    def count_at(self, member: Member) -> None:
        """It is one of the sessions of `member` until it is closed."""
        self._member = member
        member.sessions += 1

    @property
    def unreachable_seconds(self) -> float:
        """For how long its enclave has answered no other request either; 0 if it does."""
        return 0.0 if self._member is None else self._member.enclave.unreachable_seconds

    async def __aenter__(self) -> EnclaveSession:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the enclave then ends the session's process."""
        self._writer.close()
        member, self._member = self._member, None
        if member is not None:
            member.sessions -= 1

    async def send(self, frame: bytes) -> None:
        """Send a frame, with backpressure."""
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except OSError as error:
            raise unavailable() from error

    async def opened(self) -> None:
        """Wait for CAPE_OPENED."""
        kind, payload = await self.receive()
        if kind is not FrameKind.CAPE_OPENED:
            raise unavailable()
        needs_function = fields_of(payload).get("need_function")
        if not isinstance(needs_function, bool):
            raise unavailable()
        self.needs_function = needs_function

    async def receive(self) -> tuple[FrameKind, bytes]:
        """The next frame; a long text is collected. Raises a reported error."""
        try:
            frame = await frames.read(self._reader)
            if frame is None:
                raise unavailable()
            kind, payload = frame
            if kind is FrameKind.CAPE_ERROR:
                raise cape.error_of(payload)
            if kind is FrameKind.CAPE_TEXT:
                payload = await cape.read_rest(self._reader, payload, kind=kind, limit=_MAX_TEXT_BYTES)
        except (TransportError, OSError) as error:
            raise unavailable() from error
        return kind, payload


_MAX_TEXT_BYTES = 100 * 1024 * 1024


def text_of(kind: FrameKind, payload: bytes) -> str:
    """The text of a CAPE_TEXT. Raises `CapeError` (`enclave_unavailable`) for any other frame."""
    if kind is not FrameKind.CAPE_TEXT:
        raise unavailable()
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise unavailable() from error


def fields_of(payload: bytes) -> dict[str, Any]:
    """The members of a payload that is an object. Raises `CapeError` (`enclave_unavailable`)."""
    try:
        return frames.unpack(payload)
    except TransportError as error:
        raise unavailable() from error


def unavailable() -> CapeError:
    """The error for a lost enclave, or one that violates the protocol."""
    return CapeError("enclave_unavailable", "the enclave cannot be reached; it may be restarting")
