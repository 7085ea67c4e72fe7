"""Limits of Cape's routes: in the form of Cape's errors, by account, and only where the enclave has work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight.errors import CapeError
from gateway.metrics import Metrics
from gateway.ratelimits.limiter import RateLimiter
from gateway.ratelimits.local import LocalCounters
from gateway.ratelimits.policy import parse
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

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
