"""Limits of Cape's routes: in the form of Cape's errors, by account, and only where the enclave has work."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from blindsight.errors import CapeError
from blindsight.wire.protocol import FrameKind
from gateway.cape.relay import _Conversation
from gateway.cape.services import Sessions
from gateway.metrics import Metrics
from gateway.ratelimits.limiter import RateLimiter
from gateway.ratelimits.local import LocalCounters
from gateway.ratelimits.policy import parse
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from fastapi import WebSocket

    from gateway.cape.enclave import EnclaveSession
    from gateway.cape.services import CapeServices
    from tests.support.cape_front import Front
    from tests.support.models import TinyModel


def limit(front: Front, text: str) -> None:
    limiter = RateLimiter(parse(text, "requests"), [], LocalCounters(), Metrics(), None)
    front.app.state.services.limiter = limiter


def limited(response: httpx2.Response) -> None:
    assert response.status_code == 429
    body = response.json()
    assert set(body) == {"error", "message"}
    assert body["error"] == body["message"]
    assert body["error"].startswith("too many requests")
    assert 1 <= int(response.headers["retry-after"]) <= 7200


async def test_keys_and_accounts_are_limited_by_address(front: Front) -> None:
    limit(front, "3/hour")
    await front.sign_up("ada")
    for _ in range(2):
        assert (await front.client.get("/v1/user/ada/key")).status_code == 200
    calls = list(front.enclave.calls)
    limited(await front.client.get("/v1/user/ada/key"))
    limited(await front.client.post("/v1/accounts", content=b"{"))
    assert front.enclave.calls == calls


async def test_changes_are_limited_by_account_and_wrong_tokens_count_for_no_one(front: Front) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    functions = [await front.deploy(ada, name) for name in ("one", "two", "three")]
    limit(front, "2/hour")
    forged = {"authorization": f"Bearer {bob.token(username='ada')}"}
    for _ in range(4):
        answer = await front.client.delete(f"/v1/functions/{functions[0].id}", headers=forged)
        assert answer.status_code == 401
    for function in functions[:2]:
        answer = await front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer())
        assert answer.status_code == 200
    limited(await front.client.delete(f"/v1/functions/{functions[2].id}", headers=ada.bearer()))
    limited(await front.client.delete("/v1/token/x", headers=ada.bearer()))
    # The other account has a limit of its own, and lists cost the enclave nothing.
    assert (await front.client.delete("/v1/functions/x", headers=bob.bearer())).status_code == 404
    for _ in range(5):
        assert (await front.client.get("/v1/functions", headers=ada.bearer())).status_code == 200
        assert (await front.client.get("/v1/tokens", headers=ada.bearer())).status_code == 200


class Client:
    """A WebSocket whose client sends what the test says."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.app = SimpleNamespace(state=SimpleNamespace(services=SimpleNamespace(limiter=limiter)))
        self.scope: dict[str, Any] = {"state": {}}
        self.sends: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: list[str] = []

    async def receive(self) -> dict[str, Any]:
        return await self.sends.get()

    async def send_text(self, text: str) -> None:
        self.told.append(text)

    async def close(self, code: int) -> None:
        self.told.append(str(code))


class Session:
    """A session in an enclave that attests itself, and then says what the test says."""

    unreachable_seconds = 0.0

    def __init__(self) -> None:
        self.says: asyncio.Queue[str] = asyncio.Queue()
        self.says.put_nowait("evidence")

    async def send(self, frame: bytes) -> None: ...

    async def receive(self) -> tuple[FrameKind, bytes]:
        return FrameKind.CAPE_TEXT, (await self.says.get()).encode()


def conversing(text: str, *, inputs_each: int = 1) -> tuple[Client, Session, asyncio.Task[tuple[str, str | None]]]:
    client = Client(RateLimiter(parse(text, "requests"), [], LocalCounters(), Metrics(), None))
    session = Session()
    client.sends.put_nowait({"type": "websocket.receive", "text": '{"message": {"nonce": ""}}'})
    conversation = _Conversation(
        cast("WebSocket", client),
        cast("CapeServices", SimpleNamespace(idle_seconds=60.0, sessions=Sessions(1))),
        cast("EnclaveSession", session),
        None,
        "ada",
        inputs_each=inputs_each,
    )
    return client, session, asyncio.create_task(conversation.run(None))


INPUT = {"type": "websocket.receive", "bytes": b"x"}
GONE = {"type": "websocket.disconnect"}


async def test_half_a_test_at_the_limit_does_not_wait_for_its_answer() -> None:
    """`cape test` sends two messages for one answer: after the first alone there will be none."""
    client, _, running = conversing("1/hour", inputs_each=2)
    for _ in range(2):
        client.sends.put_nowait(INPUT)
    async with asyncio.timeout(5):
        assert await running == ("failed", "rate_limited")
    assert client.told[0] == "evidence"
    assert "too many requests" in client.told[1]
    assert client.told[2:] == ["1011"]


async def test_a_client_at_its_limit_that_is_gone_keeps_no_session() -> None:
    """Even if its earlier input is never answered, as by a session that takes none."""
    client, _, running = conversing("1/hour")
    for _ in range(3):
        client.sends.put_nowait(INPUT)
    done, _ = await asyncio.wait([running], timeout=0.2)
    assert not done
    client.sends.put_nowait(GONE)
    async with asyncio.timeout(5):
        assert await running == ("client_ended", None)


async def test_earlier_inputs_are_answered_before_the_refusal() -> None:
    client, session, running = conversing("2/hour")
    for _ in range(4):
        client.sends.put_nowait(INPUT)
    session.says.put_nowait("first")
    await asyncio.sleep(0.05)
    session.says.put_nowait("second")
    async with asyncio.timeout(5):
        assert await running == ("failed", "rate_limited")
    assert client.told[:3] == ["evidence", "first", "second"]
    assert "too many requests" in client.told[3]


@pytest.mark.stack
def test_connections_and_inputs_are_limited(colour_model: TinyModel, tmp_path: Path) -> None:
    with running_stack(colour_model.folder, tmp_path, workers=1, cape=True, rate_limit="10/hour") as stack:
        ada, bob = (Guest.sign_up(name, stack.gateway.url, trust_of(stack)) for name in ("ada", "bob"))
        function = ada.deploy("echo", zipped(), public=True)  # Two connections: the key, and the upload.
        with bob.host.connect(f"/v1/run/{function}", bob.token("run"), bob.trust) as connection:
            for number in range(9):
                assert connection.run(b"%d" % number).output == b"%d" % number
            with pytest.raises(CapeError, match=r"too many requests: At most 10 requests per hour"):
                connection.run(b"one too many")
        with pytest.raises(CapeError, match="too many requests") as refused:
            bob.run(function, b"again")
        assert refused.value.code in {"rate_limited", "refused"}
        # The owner has eight left.
        assert ada.run(function, b"hers") == b"hers"
        stack.gateway.expect_running()
