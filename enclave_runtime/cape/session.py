"""A Cape client's session: nonce and evidence, then inputs and results in their order, on a connection of its own."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Any

from blindsight.cape import messages
from blindsight.cape.protocol import MAX_INPUT_BYTES
from blindsight.errors import CapeError, TransportError
from blindsight.wire import cape as pieces
from blindsight.wire import frames
from blindsight.wire.gathered import Gathered
from blindsight.wire.protocol import MAX_NONCE_BYTES, Kind
from enclave_runtime import threads
from enclave_runtime.cape import accounts
from enclave_runtime.cape.functions import BundleReader, LoadedFunction
from enclave_runtime.cape.inputs import Input, Inputs, decrypted, is_ciphertext

if TYPE_CHECKING:
    from enclave_runtime.cape.accounts import Account, FunctionEntry
    from enclave_runtime.cape.host import CapeHost
    from enclave_runtime.cape.process import HandlerProcess

_MAX_WAITING_FRAMES = 8
"""Frames of a client that are read ahead while one of its inputs is at work."""
_HANG_UP_LOOK_SECONDS = 1.0


async def serve(
    host: CapeHost,
    opening: dict[str, Any],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    draining: asyncio.Event,
) -> None:
    """Serve the session that `opening`, a CAPE_OPEN's fields, begins.

    It ends when the gateway hangs up; and once `draining` is set, when no input of its client's is at work.

    Raises `TransportError` for a gateway that does not keep to the protocol, and `OSError`.
    """
    inbox: asyncio.Queue[tuple[Kind, bytes]] = asyncio.Queue(_MAX_WAITING_FRAMES)
    session = _Session(host, opening, inbox, writer)
    reading = asyncio.create_task(_read_ahead(reader, inbox))
    hearing = asyncio.create_task(_hung_up(writer))
    working = asyncio.create_task(session.run())
    stopping = asyncio.create_task(session.idle_once(draining))
    tasks = (working, reading, hearing, stopping)
    try:
        # A gateway that hangs up, because its client did, ends the work at once.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await session.close()


async def _read_ahead(reader: asyncio.StreamReader, inbox: asyncio.Queue[tuple[Kind, bytes]]) -> None:
    while (frame := await frames.read(reader)) is not None:
        await inbox.put(frame)


async def _hung_up(writer: asyncio.StreamWriter) -> None:
    """Wait until the gateway hangs up, though it may have sent more before than is read ahead."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
    while not poll.poll(0):  # noqa: ASYNC110 -- no event tells of it behind unread bytes
        await asyncio.sleep(_HANG_UP_LOOK_SECONDS)


class _Session:
    def __init__(
        self,
        host: CapeHost,
        opening: dict[str, Any],
        inbox: asyncio.Queue[tuple[Kind, bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        self._host = host
        self._opening = opening
        self._inbox = inbox
        self._writer = writer
        self._inputs = Inputs()
        self._function: LoadedFunction | None = None
        self._process: HandlerProcess | None = None
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled, or until the session cannot go on."""
        try:
            match self._opening:
                case {"token": str() as token, "record": bytes() as record}:
                    caller = self._host.vault.open(record)
                case _:
                    raise TransportError("bad_frame", "A session begins with a token and a record.")
            match self._opening:
                case {
                    "route": "run",
                    "owner_record": bytes() as owner_record,
                    "function_id": str() as function_id,
                }:
                    account = self._host.vault.open(owner_record)
                    entry = accounts.may_run(caller, token, account, function_id)
                    await self._run(account, entry, function_id)
                case {"route": "deploy"}:
                    caller.verify(token, "deploy")
                    await self._deploy(caller, token)
                case {"route": "test"}:
                    scope = caller.verify(token, "run", "account", "deploy").scope
                    await self._test(caller, token if scope == "deploy" else None)
                case {"route": "key"}:
                    caller.verify(token, "run", "account", "deploy")
                    await self._opened()
                    nonce = await self._nonce()
                    await self._text(messages.attestation(self._host.key_document(caller, nonce)))
                    await self._wait_for_end()
                case _:
                    raise TransportError("bad_frame", "There is no such session.")
        except CapeError as error:
            await self._send(pieces.error_frame(error))
            # Reading on, so that the gateway gets to see why: closing over unread bytes would take the answer back.
            self._idle.set()
            while True:
                await self._inbox.get()

    async def idle_once(self, draining: asyncio.Event) -> None:
        """Wait until nothing is at work after `draining` was set."""
        await draining.wait()
        await self._idle.wait()

    async def close(self) -> None:
        """End the process and give the function back."""
        if self._process is not None:
            await self._process.close()
        if self._function is not None:
            await self._host.release(self._function)

    async def _run(self, owner: Account, entry: FunctionEntry, function_id: str) -> None:
        self._function = self._host.functions.acquire(function_id)
        await self._opened(need_function=self._function is None)
        if self._function is None:
            self._function = await self._load(owner, entry, function_id)
            await self._opened()
        nonce = await self._nonce()
        await self._text(messages.attestation(self._host.run_document(self._inputs.public_key, entry.checksum, nonce)))
        while True:
            # An input that cannot be opened or answered fails alone; the client may go on.
            try:
                await self._answer(owner, entry)
            except CapeError as error:
                await self._send(pieces.error_frame(error))

    async def _answer(self, owner: Account, entry: FunctionEntry) -> None:
        opened = await self._input()
        value = opened.value
        if is_ciphertext(value):
            value = await decrypted(self._host.vault.cape_key(owner), value)
        if self._process is None or self._process.ended:
            await self._start(owner)
        assert self._process is not None  # noqa: S101 -- just started
        await self._result(opened, value, entry.checksum, await self._process.call(value))

    async def _start(self, owner: Account) -> None:
        if self._process is not None:
            await self._process.close()
            self._process = None
        assert self._function is not None  # noqa: S101 -- loaded before the first input is read
        self._process = await self._host.process(self._function, owner)

    async def _load(self, owner: Account, entry: FunctionEntry, function_id: str) -> LoadedFunction:
        with BundleReader(self._host.vault.cape_key(owner)) as bundle:
            await self._receive_bundle(bundle, Kind.CAPE_FUNCTION)
            if bundle.finish() != entry.checksum:
                raise CapeError("checksum_mismatch", "the host's function is not the one that was deployed")
            loaded = await threads.BUNDLES.run(bundle.unpack)
        return self._host.functions.add(function_id, loaded)

    async def _deploy(self, caller: Account, token: str) -> None:
        await self._opened()
        nonce = await self._nonce()
        document = self._host.key_document(caller, nonce)
        await self._text(messages.attestation(document))
        name, public = messages.function_of((await self._next(Kind.CAPE_DEPLOYMENT)).decode(errors="replace"))
        _, allowed_name, allowed_public = caller.verify(token, "deploy").deploy
        if (name, public) != (allowed_name, allowed_public):
            raise CapeError("checksum_mismatch", "the token allows another name or visibility")
        with BundleReader(self._host.vault.cape_key(caller)) as bundle:
            await self._receive_bundle(bundle, Kind.CAPE_INPUT)
            accepted = await threads.BUNDLES.run(self._host.check_bundle, caller, token, bundle)
        await self._send(frames.encode(Kind.CAPE_DEPLOYED, frames.pack(accepted)))
        await self._wait_for_end()

    async def _test(self, caller: Account, token: str | None) -> None:
        await self._opened()
        nonce = await self._nonce()
        document = self._host.run_document(self._inputs.public_key, None, nonce)
        await self._text(messages.attestation(document))
        archive = (await self._input()).value
        allowed = None
        with BundleReader(self._host.vault.cape_key(caller)) as bundle:
            await threads.BUNDLES.run(bundle.update_plain, archive)
            # Only for the code that its owner signed is the owner's key used, as in a deployment.
            if token is not None and caller.verify(token, "deploy").deploy[0] == bundle.checksum:
                allowed = caller
            function = await threads.BUNDLES.run(bundle.unpack)
        try:
            self._process = await self._host.test_process(function, allowed)
            opened = await self._input()
            value = opened.value
            if is_ciphertext(value):
                if allowed is None:
                    raise CapeError("forbidden", "only a deploy token for this very code may decrypt")
                value = await decrypted(self._host.vault.cape_key(caller), value)
            output = await self._process.call(value)
        finally:
            function.remove()
        await self._result(opened, value, function.checksum, output)
        await self._wait_for_end()

    async def _receive_bundle(self, bundle: BundleReader, kind: Kind) -> None:
        last = False
        while not last:
            content, last = pieces.split(await self._next(kind))
            await threads.BUNDLES.run(bundle.update, content)

    async def _input(self) -> Input:
        """The next input, opened. Raises `CapeError`; the message has been read whole all the same."""
        part, last = pieces.split(await self._next(Kind.CAPE_INPUT))
        if last:
            return await self._inputs.open(part)
        gathered, total = Gathered(MAX_INPUT_BYTES), 0
        while True:
            total += len(part)
            if total <= MAX_INPUT_BYTES:
                gathered.add(part)
            if last:
                break
            part, last = pieces.split(await self._next(Kind.CAPE_INPUT))
        if total > MAX_INPUT_BYTES:
            raise CapeError("too_large", f"an input has at most {MAX_INPUT_BYTES} bytes")
        return await self._inputs.open(gathered.content)

    async def _result(
        self, opened: Input, value: bytes | memoryview, function: bytes, output: bytes | memoryview
    ) -> None:
        """Answer the input that was `opened`; the handler got it as `value`, decrypted."""
        checksums = await threads.OPENING.run(messages.Checksums.of, value, function, output)
        answered = messages.Answered(self._inputs.public_key, opened.sealed_sha256)
        content = messages.result(output, checksums, self._host.result_key, answered)
        for frame in pieces.streamed(Kind.CAPE_TEXT, content):
            await self._send(frame)
            await asyncio.sleep(0)  # `drain` lets others have a turn only if the gateway does not keep up.

    async def _nonce(self) -> bytes:
        nonce = await self._next(Kind.CAPE_NONCE)
        if len(nonce) > MAX_NONCE_BYTES:
            raise TransportError("bad_frame", f"A nonce has at most {MAX_NONCE_BYTES} bytes.")
        return nonce

    async def _next(self, kind: Kind) -> bytes:
        if self._inbox.empty():
            self._idle.set()
        found, payload = await self._inbox.get()
        self._idle.clear()
        if found is not kind:
            raise TransportError("bad_frame", "A frame of a session is out of turn.")
        return payload

    async def _wait_for_end(self) -> None:
        """All is said; the client closes."""
        self._idle.set()
        await asyncio.Event().wait()

    async def _opened(self, *, need_function: bool = False) -> None:
        await self._send(frames.encode(Kind.CAPE_OPENED, frames.pack({"need_function": need_function})))

    async def _text(self, text: str) -> None:
        for frame in pieces.pieces(Kind.CAPE_TEXT, text.encode()):
            await self._send(frame)

    async def _send(self, frame: bytes) -> None:
        self._writer.write(frame)
        await self._writer.drain()
