"""Parts that stand still: callers are told, and wait for each once."""

from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from blindsight.errors import CapeError
from gateway.cape import relay, rest


class Client:
    """One that sent its nonce, and waits."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.closed: int | None = None

    async def receive(self) -> dict[str, str]:
        nonce = base64.b64encode(b"n" * 12).decode()
        return {"type": "websocket.receive", "text": json.dumps({"message": {"nonce": nonce}})}

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


async def test_a_bucket_that_stalls_is_waited_for_once_when_an_account_goes() -> None:
    asked: list[str] = []

    async def delete(function_id: str) -> None:
        asked.append(function_id)
        raise CapeError("overloaded", "after a minute")

    services: Any = SimpleNamespace(bundles=SimpleNamespace(delete=delete))
    await rest._remove_bundles(services, ["a", "b", "c"])
    assert asked == ["a"]
