"""Cape's WebSockets: relays a client's messages to the enclave without reading them, and the enclave's answers back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, TypeVar

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from blindsight.cape import messages, tokens
from blindsight.cape.constants import MAX_INPUT_BYTES, SUBPROTOCOLS
from blindsight.errors import CapeError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from gateway.cape.answers import refusal
from gateway.cape.bearer import token_account, unauthenticated
from gateway.cape.deployments import Deployment
from gateway.cape.enclave import fields_of, text_of, unavailable
from gateway.cape.limits import count
from gateway.cape.services import cape_of
from gateway.cape.store import unknown_function
from gateway.tracing import allowed, current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from gateway.cape.enclave import EnclaveSession
    from gateway.cape.services import CapeServices
    from gateway.cape.store import FunctionRow

router = APIRouter()

_NORMAL, _GOING_AWAY, _INTERNAL = 1000, 1001, 1011
_SCOPES: Final[dict[str, tokens.Scope]] = {"run": "run", "deploy": "deploy"}
"""Required scopes of the token; other routes accept any."""
_MOST_TOLD: Final = 64
"""Maximum number of unanswered inputs that get an error frame each at the end."""
_DEPLOY_IDLE_SECONDS: Final = 600.0
_START_STEP_SECONDS: Final = 300.0
"""For a piece of a function, or for unpacking all of it."""
_LOST_SECONDS: Final = 30.0
"""For which an enclave may answer nothing at all while it holds an input. A function itself may take longer."""
_LOOK_SECONDS: Final = 5.0
_DRAIN_LOOK_SECONDS: Final = 0.05

T = TypeVar("T")

_Ending = tuple[int, "list[str]"]
"""A close code and the text frames to send before it."""


@router.websocket("/v1/run/{function_id}")
async def run_by_id(websocket: WebSocket, function_id: str) -> None:
    """Run a function by its id."""
    services = cape_of(websocket)
    await _serve(websocket, services, lambda: services.store.function(function_id))


@router.websocket("/v1/run/{username}/{name}")
async def run_by_name(websocket: WebSocket, username: str, name: str) -> None:
    """Run the newest function of that name."""
    services = cape_of(websocket)
    await _serve(websocket, services, lambda: services.store.function_named(username, name))


@router.websocket("/v1/deploy")
async def deploy(websocket: WebSocket) -> None:
    """Deploy a function."""
    await _serve(websocket, cape_of(websocket), None, route="deploy")


@router.websocket("/v1/test")
async def test(websocket: WebSocket) -> None:
    """Run a bundle once, without storing it."""
    await _serve(websocket, cape_of(websocket), None, route="test")


@router.websocket("/v1/key")
async def key(websocket: WebSocket) -> None:
    """The caller's own Cape Key."""
    await _serve(websocket, cape_of(websocket), None, route="key")


async def _serve(
    websocket: WebSocket,
    services: CapeServices,
    lookup: Callable[[], Awaitable[FunctionRow | None]] | None,
    *,
    route: str = "run",
) -> None:
    """Let the enclave check the caller, then relay. An earlier refusal is an HTTP response."""
    opened = contextlib.AsyncExitStack()
    async with opened:
        try:
            opened.enter_context(services.sessions.place())
            token = _token(websocket)
            # The enclave proves it again, by what it sealed itself.
            claimed, caller = await token_account(token, services.store, _SCOPES.get(route, tokens.peek(token).scope))
            await count(websocket, caller.username)
            fields: dict[str, str | bytes] = {"route": route, "token": token, "record": caller.record}
            function = None
            if lookup is not None:
                function = await lookup()
                owner = await services.store.account(function.owner) if function else None
                if function is None or owner is None:
                    raise unknown_function()
                fields |= {"owner_record": owner.record, "function_id": function.id}
            session = await opened.enter_async_context(await services.enclave.open(**fields))
            deployment = None
            if route == "deploy":
                upload = await opened.enter_async_context(services.bundles.receiving())
                deployment = Deployment(services, upload, caller.username, token, websocket)
            await services.store.mark_token_used(claimed.id)
        except CapeError as error:
            await websocket.send_denial_response(refusal(websocket, error))
            return
        await websocket.accept(subprotocol=websocket.scope["subprotocols"][0])
        conversation = _Conversation(
            websocket, services, session, deployment, caller.username, inputs_each=2 if route == "test" else 1
        )
        with current.span("cape session", {allowed.CAPE_ROUTE: route}) as span:
            outcome, code = await conversation.run(function.id if function and session.needs_function else None)
            if span is not None:
                span.set(allowed.CAPE_OUTCOME, outcome)
                if code is not None:
                    span.fail(code)


def _token(websocket: WebSocket) -> str:
    """The second of the two offered subprotocols. Raises `CapeError`."""
    offered = websocket.scope["subprotocols"]
    if len(offered) < 2 or offered[0] not in SUBPROTOCOLS or not offered[1]:
        raise unauthenticated()
    return str(offered[1])


class _Conversation:
    """An accepted client and its session in the enclave, until one ends or is idle for too long."""

    def __init__(
        self,
        websocket: WebSocket,
        services: CapeServices,
        session: EnclaveSession,
        deployment: Deployment | None,
        caller: str,
        *,
        inputs_each: int = 1,
    ) -> None:
        """`caller`: its account; `inputs_each`: number of the client's binary messages for each answer."""
        self._websocket = websocket
        self._services = services
        self._session = session
        self._deployment = deployment
        self._caller = caller
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued_bytes = 0
        self._room = asyncio.Event()
        self._outstanding = 0
        """Inputs that have not been answered, a half-sent one among them."""
        self._answered = asyncio.Event()
        self._in_message = False
        self._inputs_each = inputs_each
        self._active = time.monotonic()

    async def run(self, function_id: str | None) -> tuple[str, str | None]:
        """Relay all messages; first the function's ciphertext if the enclave does not have `function_id` in its
        cache.

        Returns how it ended, one of `allowed.CAPE_OUTCOMES`, and the code of an error.
        """
        try:
            if not await self._attest(function_id):
                return "client_ended", None
        except CapeError as error:
            await self._end(_INTERNAL, [messages.error(str(error))])
            return "failed", error.code
        except WebSocketDisconnect:
            return "client_ended", None
        outcome, code = "client_ended", None
        parts: list[Coroutine[None, None, _Ending | None]]
        parts = [self._hear_client(), self._pass_on(), self._hear_enclave(), self._watch()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                ending = task.result()
                if ending is not None:
                    outcome = "draining" if ending[0] == _GOING_AWAY else "idle"
                    await self._end(*ending)
        except CapeError as error:
            outcome, code = "failed", error.code
            # Clients that wait would wait for ever: each is told before the connection closes.
            await self._end(_INTERNAL, [messages.error(str(error))] * max(1, min(self._outstanding, _MOST_TOLD)))
        except WebSocketDisconnect:
            pass  # The client went away while it was being told something.
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return outcome, code

    async def _attest(self, function_id: str | None) -> bool:
        """Relay the start frame and its answer; False if the client closed the connection instead."""
        try:
            async with asyncio.timeout(self._services.idle_seconds):
                message = await self._websocket.receive()
        except TimeoutError:
            await self._end(_NORMAL)
            return False
        if message["type"] == "websocket.disconnect":
            return False
        nonce = messages.nonce_of(message.get("text") or "")
        if function_id is not None:
            async for chunk, last in _with_last(self._services.bundles.chunks(function_id)):
                await _step(self._session.send(cape.piece(FrameKind.CAPE_FUNCTION, chunk, last=last)))
            await _step(self._session.opened())
        await _step(self._session.send(frames.encode(FrameKind.CAPE_NONCE, nonce)))
        await self._websocket.send_text(text_of(*await _step(self._session.receive())))
        return True

    async def _hear_client(self) -> _Ending | None:
        """Receive the client's messages as fast as they come, so that its pings are answered while an input is
        processed.
        """
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            self._active = time.monotonic()
            piece = message.get("bytes")
            if piece is None:
                if self._deployment is None:
                    raise CapeError("malformed_frame", "inputs are binary frames")
                await self._send(frames.encode(FrameKind.CAPE_DEPLOYMENT, (message.get("text") or "").encode()))
                continue
            last = not message.get("more_body", False)
            if not self._in_message and self._deployment is None and not await self._count_input():
                return None
            self._outstanding += not self._in_message
            self._in_message = not last
            if self._deployment is not None:
                await self._deployment.take(piece)
                await self._send(cape.piece(FrameKind.CAPE_INPUT, piece, last=last))
                continue
            while self._queued_bytes > MAX_INPUT_BYTES:
                self._room.clear()
                await self._room.wait()
            self._queued_bytes += len(piece)
            for frame in cape.pieces(FrameKind.CAPE_INPUT, piece, last=last):
                self._frames.put_nowait(frame)

    async def _count_input(self) -> bool:
        """Raises `CapeError` (`rate_limited`), after earlier inputs have been answered; False if the client is gone by
        then.
        """
        try:
            await count(self._websocket, self._caller)
        except CapeError:
            if not await self._wait_for_answers():
                return False
            raise
        return True

    async def _wait_for_answers(self) -> bool:
        """Wait until all whole inputs are answered, and drop what comes meanwhile; False if the client is gone before.

        Some are never answered, so only the client's end is certain to come.
        """

        async def answered() -> bool:
            while self._outstanding >= self._inputs_each:
                self._answered.clear()
                await self._answered.wait()
            return True

        async def gone() -> bool:
            while (await self._websocket.receive())["type"] != "websocket.disconnect":
                pass
            return False

        tasks = [asyncio.create_task(answered()), asyncio.create_task(gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self) -> _Ending | None:
        while True:
            frame = await self._frames.get()
            await self._send(frame)
            self._queued_bytes -= len(frame)
            self._room.set()

    async def _send(self, frame: bytes) -> None:
        """Send to the enclave. If it closed the connection, its last message is for the client."""
        try:
            await self._session.send(frame)
        except CapeError:
            await asyncio.Event().wait()

    async def _hear_enclave(self) -> _Ending | None:
        while True:
            try:
                kind, payload = await self._session.receive()
                if kind is FrameKind.CAPE_DEPLOYED and self._deployment is not None:
                    function_id = await self._deployment.finish(fields_of(payload))
                    await self._websocket.send_text(messages.deployed(function_id))
                else:
                    await self._websocket.send_text(text_of(kind, payload))
            except CapeError as error:
                if error.code == "enclave_unavailable" or self._deployment is not None:
                    raise
                await self._websocket.send_text(messages.error(str(error)))
            self._outstanding = max(0, self._outstanding - self._inputs_each)
            self._answered.set()
            self._active = time.monotonic()

    async def _watch(self) -> _Ending:
        """Close a connection that is idle for too long, or idle while the gateway shuts down.

        Raises `CapeError` (`enclave_unavailable`) if the enclave stands still: its connection alone would not tell.
        """
        # Between evidence and upload a client packs and encrypts its function, which takes as long as it takes.
        limit = self._services.idle_seconds if self._deployment is None else _DEPLOY_IDLE_SECONDS
        while True:
            idle = time.monotonic() - self._active if not self._outstanding else 0.0
            if self._services.sessions.draining.is_set() and not self._outstanding:
                return _GOING_AWAY, []
            if self._outstanding and self._session.unreachable_seconds > _LOST_SECONDS:
                raise unavailable()
            left = limit - idle
            if left <= 0:
                return _NORMAL, []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_SECONDS, left)):
                    if self._services.sessions.draining.is_set():
                        await asyncio.sleep(_DRAIN_LOOK_SECONDS)
                    else:
                        await self._services.sessions.draining.wait()

    async def _end(self, code: int, texts: Sequence[str] = ()) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, ClientDisconnected):
            for text in texts:
                await self._websocket.send_text(text)
            await self._websocket.close(code)


async def _step(step: Awaitable[T]) -> T:
    """A step of the enclave's before the conversation, during which the client is not listened to. Raises `CapeError`
    (`enclave_unavailable`) if it does not end.
    """
    try:
        async with asyncio.timeout(_START_STEP_SECONDS):
            return await step
    except TimeoutError as error:
        raise unavailable() from error


async def _with_last(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    held = b""
    async for chunk in chunks:
        if held:
            yield held, False
        held = chunk
    yield held, True
