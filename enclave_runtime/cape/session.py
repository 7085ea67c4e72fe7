"""A Cape client's session on a connection of its own: nonce and evidence, then inputs and results in order."""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING, Any

from blindsight.cape import messages, tracebacks
from blindsight.cape.constants import MAX_INPUT_BYTES
from blindsight.errors import CapeError, TransportError
from blindsight.wire import cape as pieces
from blindsight.wire import frames
from blindsight.wire.gathered import PIECE_BYTES, Gathered
from blindsight.wire.protocol import FrameKind
from enclave_runtime import threads
from enclave_runtime.cape import accounts
from enclave_runtime.cape.functions import BundleReader, LoadedFunction
from enclave_runtime.cape.inputs import Input, Inputs, decrypted, is_ciphertext
from enclave_runtime.cape.line import Line
from enclave_runtime.cape.process import ExplainedError

if TYPE_CHECKING:
    from blindsight.cape.tokens import Token
    from enclave_runtime.cape.accounts import Account, FunctionEntry
    from enclave_runtime.cape.host import CapeHost
    from enclave_runtime.cape.process import HandlerProcess
    from enclave_runtime.cape.quota import Quota, Share

_MAX_WAITING_FRAMES = 8
"""Frames of a client that are read ahead while an input is processed."""
_HANG_UP_LOOK_SECONDS = 1.0


async def serve(
    host: CapeHost,
    opening: dict[str, Any],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    draining: asyncio.Event,
) -> None:
    """Serve the session that `opening`, a CAPE_OPEN's fields, starts.

    It ends when the gateway closes the connection, or, once `draining` is set, when no input is processed.

    Raises `TransportError` for a gateway that violates the protocol, and `OSError`.
    """
    inbox: asyncio.Queue[tuple[FrameKind, bytes]] = asyncio.Queue(_MAX_WAITING_FRAMES)
    line = Line(inbox, writer)
    session = _Session(host, line)
    reading = asyncio.create_task(_read_ahead(reader, inbox))
    hearing = asyncio.create_task(_hung_up(writer))
    working = asyncio.create_task(session.run(opening))
    stopping = asyncio.create_task(line.idle_once(draining))
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


async def _read_ahead(reader: asyncio.StreamReader, inbox: asyncio.Queue[tuple[FrameKind, bytes]]) -> None:
    while (frame := await frames.read(reader)) is not None:
        await inbox.put(frame)


async def _hung_up(writer: asyncio.StreamWriter) -> None:
    """Wait until the gateway closes the connection, even if it has sent more than is read ahead."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
    while not poll.poll(0):  # noqa: ASYNC110 -- no event tells of it behind unread bytes
        await asyncio.sleep(_HANG_UP_LOOK_SECONDS)


class _Session:
    def __init__(self, host: CapeHost, line: Line) -> None:
        self._host = host
        self._line = line
        self._inputs = Inputs()
        self._function: LoadedFunction | None = None
        self._process: HandlerProcess | None = None
        self._held = contextlib.ExitStack()
        """What it has of the quotas."""
        self._caller: Account

    async def run(self, opening: dict[str, Any]) -> None:
        """Run until cancelled, or until the session cannot continue."""
        try:
            match opening:
                case {"token": str() as token, "record": bytes() as record}:
                    self._caller = self._host.vault.open(record)
                    await self._route(opening, token)
                case _:
                    raise TransportError("bad_frame", "A session begins with a token and a record.")
        except CapeError as error:
            await self.close()
            await self._line.write(pieces.error_frame(error))
            await self._line.read_to_end()

    async def close(self) -> None:
        """End the process and return all quotas. Can be called repeatedly."""
        if self._process is not None:
            await self._process.close()
        if self._function is not None:
            self._host.functions.release(self._function)
            self._function = None
        self._held.close()

    async def _route(self, opening: dict[str, Any], token: str) -> None:
        """Verify the token, once: it authorises everything in the session."""
        caller = self._caller
        match opening:
            case {"route": "run", "owner_record": bytes() as owner_record, "function_id": str() as function_id}:
                owner = self._host.vault.open(owner_record)
                entry = accounts.may_run(caller, token, owner, function_id)
                self._hold(self._host.sessions).take(1)
                await self._run(owner, entry, function_id)
            case {"route": "deploy"}:
                verified = caller.verify(token, "deploy")
                self._hold(self._host.sessions).take(1)
                await self._deploy(caller, verified)
            case {"route": "test"}:
                verified = caller.verify(token, "run", "account", "deploy")
                if verified.function_id is not None:
                    raise CapeError("forbidden", "the token is for one function; it runs no other code")
                self._hold(self._host.sessions).take(1)
                await self._test(caller, verified)
            case {"route": "key"}:
                caller.verify(token, "run", "account", "deploy")
                self._hold(self._host.sessions).take(1)
                await self._key(caller)
            case _:
                raise TransportError("bad_frame", "There is no such session.")

    def _hold(self, quota: Quota) -> Share:
        """A share of the caller's in `quota`, until the session ends."""
        return self._held.enter_context(quota.share(self._caller.identity))

    async def _key(self, caller: Account) -> None:
        await self._line.opened()
        document = self._host.key_document(caller, await self._line.nonce())
        await self._line.text(messages.attestation(document))
        await self._line.wait_for_end()

    async def _run(self, owner: Account, entry: FunctionEntry, function_id: str) -> None:
        self._function = self._host.functions.acquire(function_id)
        await self._line.opened(need_function=self._function is None)
        if self._function is None:
            self._function = await self._load(owner, entry, function_id)
            await self._line.opened()
        nonce = await self._line.nonce()
        document = self._host.run_document(self._inputs.public_key, entry.checksum, nonce)
        await self._line.text(messages.attestation(document))
        while True:
            # An input that cannot be opened or answered fails alone; the client may go on.
            try:
                await self._answer(owner, entry)
            except CapeError as error:
                await self._line.write(pieces.error_frame(error))

    async def _answer(self, owner: Account, entry: FunctionEntry) -> None:
        with self._host.inputs.share(self._caller.identity) as share:
            opened = await self._input(share)
            value = await self._readable(opened, owner, share)
            if self._process is None or self._process.ended:
                await self._start(owner)
            assert self._process is not None  # noqa: S101 -- just started
            output = await self._process.call(value)
            _take_if_large(share, output)
            await self._result(opened, value, entry.checksum, output)

    async def _readable(self, opened: Input, owner: Account, share: Share) -> bytes | memoryview:
        """The input as the handler gets it, with a ciphertext for `owner` decrypted.

        A ciphertext for the caller is not decrypted: a party that has seen the caller's token could read any with its
        own function.
        """
        if not is_ciphertext(opened.value):
            return opened.value
        _take_if_large(share, opened.value)
        try:
            return await decrypted(self._host.vault.cape_key(owner), opened.value)
        except CapeError as error:
            text = f"a cape: value has to be encrypted for {owner.username}, whose function this is"
            raise CapeError(error.code, f"the input cannot be decrypted: {text}") from error

    async def _start(self, owner: Account) -> None:
        assert self._function is not None  # noqa: S101 -- loaded before the first input is read
        if self._process is not None:
            await self._process.close()
            self._process = None
        else:
            await self._host.functions.take(self._hold(self._host.bundles), self._function.copied_bytes)
        self._process = await self._host.process(self._function, owner)

    async def _load(self, owner: Account, entry: FunctionEntry, function_id: str) -> LoadedFunction:
        with (
            self._host.bundles.share(owner.identity) as share,
            BundleReader(self._host.vault.cape_key(owner)) as bundle,
        ):
            await self._receive_bundle(bundle, FrameKind.CAPE_FUNCTION, share)
            if bundle.finish() != entry.checksum:
                raise CapeError("checksum_mismatch", "the host's function is not the one that was deployed")
            return await self._host.functions.add(function_id, await self._unpack(bundle, share), share)

    async def _unpack(self, bundle: BundleReader, share: Share) -> LoadedFunction:
        await self._host.functions.take(share, await threads.BUNDLES.run(bundle.check))
        unpacking = asyncio.ensure_future(threads.BUNDLES.run(bundle.unpack))
        try:
            return await asyncio.shield(unpacking)
        except asyncio.CancelledError:
            # The client is gone, the thread is not: what it makes has no user.
            unpacking.add_done_callback(_remove)
            raise

    async def _deploy(self, caller: Account, token: Token) -> None:
        await self._line.opened()
        document = self._host.key_document(caller, await self._line.nonce())
        await self._line.text(messages.attestation(document))
        text = await self._line.next(FrameKind.CAPE_DEPLOYMENT)
        name, public = messages.function_of(text.decode(errors="replace"))
        _, allowed_name, allowed_public = token.deploy
        if (name, public) != (allowed_name, allowed_public):
            raise CapeError("checksum_mismatch", "the token allows another name or visibility")
        with (
            self._host.bundles.share(caller.identity) as share,
            BundleReader(self._host.vault.cape_key(caller)) as bundle,
        ):
            await self._receive_bundle(bundle, FrameKind.CAPE_INPUT, share)
            accepted = await threads.BUNDLES.run(self._host.check_bundle, token, bundle)
        await self._line.send(FrameKind.CAPE_DEPLOYED, accepted)
        await self._line.wait_for_end()

    async def _test(self, caller: Account, token: Token) -> None:
        await self._line.opened()
        document = self._host.run_document(self._inputs.public_key, None, await self._line.nonce())
        await self._line.text(messages.attestation(document))
        bundles = self._hold(self._host.bundles)
        with self._host.inputs.share(caller.identity) as share:
            archive = (await self._input(share)).value
            allowed = None
            with BundleReader(self._host.vault.cape_key(caller)) as bundle:
                await self._host.functions.take(bundles, len(archive))
                await threads.BUNDLES.run(bundle.update_plain, archive)
                # Only for the code that its owner signed is the owner's key used, as in a deployment.
                if token.scope == "deploy" and token.deploy[0] == bundle.checksum:
                    allowed = caller
                function = await self._unpack(bundle, bundles)
            bundles.give_back(len(archive))
            try:
                opened = await self._input(share)
                if is_ciphertext(opened.value) and allowed is None:
                    raise CapeError("forbidden", "only a deploy token for this very code may decrypt")
                value = await self._readable(opened, caller, share)
                try:
                    self._process = await self._host.test_process(function, allowed)
                    output = await self._process.call(value)
                except ExplainedError as error:
                    await self._explain(error, opened)
                    return
                _take_if_large(share, output)
            finally:
                await threads.BUNDLES.run(function.remove)
            await self._result(opened, value, function.checksum, output)
        await self._line.wait_for_end()

    async def _explain(self, error: ExplainedError, opened: Input) -> None:
        """Send the traceback to the client that encrypted the input, unreadable to other parties."""
        traceback = tracebacks.sealed(opened.traceback_key, error.traceback) if error.traceback else None
        await self._line.text(messages.error(str(error), **({"traceback": traceback} if traceback else {})))
        await self._line.wait_for_end()

    async def _receive_bundle(self, bundle: BundleReader, kind: FrameKind, share: Share) -> None:
        last = False
        while not last:
            content, last = pieces.split(await self._line.next(kind))
            await self._host.functions.take(share, len(content))
            await threads.BUNDLES.run(bundle.update, content)

    async def _input(self, share: Share) -> Input:
        """Read and decrypt the next input. Raises `CapeError` after reading the whole message."""
        part, last = pieces.split(await self._line.next(FrameKind.CAPE_INPUT))
        if last:
            return await self._inputs.open(part)
        gathered, refusal = Gathered(MAX_INPUT_BYTES), None
        while True:
            try:
                if refusal is None:
                    share.take(2 * len(part))  # As it came, and opened.
                    gathered.add(part)
            except CapeError as error:
                refusal = error
            except ValueError:
                refusal = CapeError("too_large", f"an input has at most {MAX_INPUT_BYTES} bytes")
            if last:
                break
            part, last = pieces.split(await self._line.next(FrameKind.CAPE_INPUT))
        if refusal is not None:
            raise refusal
        return await self._inputs.open(gathered.content)

    async def _result(
        self, opened: Input, value: bytes | memoryview, function: bytes, output: bytes | memoryview
    ) -> None:
        """Send the answer to the input that was `opened`; the handler got it as `value`, decrypted."""
        checksums = await threads.OPENING.run(messages.Checksums.of, value, function, output)
        answered = messages.Answered(self._inputs.public_key, opened.sealed_sha256)
        await self._line.long_text(messages.result(output, checksums, self._host.result_key, answered))


def _take_if_large(share: Share, content: bytes | memoryview) -> None:
    if len(content) > PIECE_BYTES:
        share.take(len(content))


def _remove(unpacking: asyncio.Future[LoadedFunction]) -> None:
    if not unpacking.cancelled() and unpacking.exception() is None:
        threads.BUNDLES.submit(unpacking.result().remove)
