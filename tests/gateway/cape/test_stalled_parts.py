"""Parts that stand still: callers are told, and wait for each once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from blindsight.errors import CapeError, TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from gateway.cape import relay, rest
from gateway.enclave import attested


def a_nonce() -> dict[str, str]:
    nonce = base64.b64encode(b"n" * 12).decode()
    return {"type": "websocket.receive", "text": json.dumps({"message": {"nonce": nonce}})}


class Client:
    """One that sent its nonce, and waits."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.closed: int | None = None

    async def receive(self) -> dict[str, Any]:
        return a_nonce()

    async def send_text(self, text: str) -> None:
        self.told.append(text)

    async def close(self, code: int) -> None:
        self.closed = code


class Stalled:
    """A session of which one step does not end."""

    def __init__(self, step: str) -> None:
        self.step = step

    async def _do(self, step: str) -> None:
        if step == self.step:
            await asyncio.Event().wait()

    async def send(self, _: bytes) -> None:
        await self._do("send")

    async def opened(self) -> None:
        await self._do("opened")

    async def receive(self) -> None:
        await self._do("receive")


@pytest.mark.parametrize("step", ["send", "opened", "receive"])
async def test_the_client_of_an_enclave_that_stalls_at_the_start_is_told(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(relay, "_START_STEP_SECONDS", 0.2, raising=False)

    async def chunks(_: str) -> Any:
        yield b"ciphertext"

    services = SimpleNamespace(idle_seconds=60, bundles=SimpleNamespace(chunks=chunks))
    client = Client()
    conversation = relay._Conversation(
        cast("Any", client), cast("Any", services), cast("Any", Stalled(step)), None, "ada"
    )
    async with asyncio.timeout(5):
        assert await conversation.run("function") == ("failed", "enclave_unavailable")
    assert client.closed == 1011
    assert len(client.told) == 1


class Waiting(Client):
    """One that sent its nonce and one input, and waits."""

    def __init__(self) -> None:
        super().__init__()
        self._messages = [a_nonce(), {"type": "websocket.receive", "bytes": b"sealed"}]

    async def receive(self) -> dict[str, Any]:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


class Working:
    """A session that has started and takes an input, of an enclave that has answered nothing for a while."""

    def __init__(self, unreachable_seconds: float) -> None:
        self.unreachable_seconds = unreachable_seconds
        self.taken: list[bytes] = []

    async def send(self, frame: bytes) -> None:
        self.taken.append(frame)

    async def receive(self) -> tuple[FrameKind, bytes]:
        if len(self.taken) > 1:
            await asyncio.Event().wait()
        return FrameKind.CAPE_TEXT, b"{}"


@pytest.mark.parametrize(("seconds", "ends"), [(0.0, False), (29.0, False), (31.0, True)])
async def test_the_client_of_an_enclave_that_stands_still_later_is_told(
    monkeypatch: pytest.MonkeyPatch, seconds: float, *, ends: bool
) -> None:
    """A function takes as long as it takes, while its enclave answers others."""
    monkeypatch.setattr(relay, "_LOOK_SECONDS", 0.01)
    sessions = SimpleNamespace(draining=asyncio.Event())
    services = SimpleNamespace(idle_seconds=60, sessions=sessions)
    client = Waiting()
    monkeypatch.setattr(relay, "count", _count)
    conversation = relay._Conversation(
        cast("Any", client), cast("Any", services), cast("Any", Working(seconds)), None, "ada"
    )
    running = asyncio.create_task(conversation.run(None))
    done, _ = await asyncio.wait([running], timeout=5 if ends else 0.3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bool(done) is ends
    assert client.closed == (1011 if ends else None)
    assert len(client.told) == (2 if ends else 1)
    if ends:
        assert running.result() == ("failed", "enclave_unavailable")
        assert "cannot be reached" in client.told[1]


async def _count(*_: object) -> None:
    """No limits."""


class Connections:
    """To an enclave that does as it is told."""

    def __init__(self) -> None:
        self.problem: TransportError | None = None

    async def exchange(self, *_: object) -> tuple[FrameKind, bytes]:
        if self.problem is not None:
            raise self.problem
        return FrameKind.STATUS, frames.pack({"ready": True})


async def test_an_enclave_stands_still_from_the_first_silence_to_the_next_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal of another connection is an answer: the access secret is replaced while sessions run."""
    now = 100.0
    monkeypatch.setattr(attested, "time", SimpleNamespace(monotonic=lambda: now))
    connections = Connections()
    anything = cast("Any", MagicMock())
    enclave = attested.AttestedEnclave(
        cast("Any", connections), anything, anything, attest_interval=60, status_interval=1
    )
    for seconds, code, expected in (
        (0, "unreachable", 0.0),
        (7, "unreachable", 7.0),
        (9, None, 0.0),
        (10, "unreachable", 0.0),
        (50, "access_refused", 0.0),
        (60, "unreachable", 0.0),
        (61, "unreachable", 1.0),
    ):
        now = 100.0 + seconds
        connections.problem = None if code is None else TransportError(code, "")
        with contextlib.suppress(TransportError):
            await enclave.look()
        assert enclave.unreachable_seconds == expected, (seconds, code)


async def test_a_bucket_that_stalls_is_waited_for_once_when_an_account_goes() -> None:
    asked: list[str] = []

    async def delete(function_id: str) -> None:
        asked.append(function_id)
        raise CapeError("overloaded", "after a minute")

    services: Any = SimpleNamespace(bundles=SimpleNamespace(delete=delete))
    await rest._remove_bundles(services, ["a", "b", "c"])
    assert asked == ["a"]
