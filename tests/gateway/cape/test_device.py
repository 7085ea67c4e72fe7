"""The device flow, from a device's first request to its tokens."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import tokens
from blindsight.cape.fingerprint import fingerprint
from blindsight.errors import CapeError
from gateway.cape import device_codes, guesses
from gateway.cape.device import GRANT_TYPE
from tests.support.problems import CANARY

if TYPE_CHECKING:
    import httpx2

    from tests.support.cape_front import Front, Owner

_CLIENT = {"client_id": "oXITxpCdjvRYSDJtaMeycvveqE9qadUS"}


async def _begin(front: Front) -> dict[str, Any]:
    form = {**_CLIENT, "scope": "openid profile email offline_access", "audience": "https://app.capeprivacy.com/v1/"}
    response = await front.client.post("/oauth/device/code", data=form)
    assert response.status_code == 200
    begun: dict[str, Any] = response.json()
    return begun


async def _poll(front: Front, device_code: str) -> httpx2.Response:
    form = {"client_secret": "", **_CLIENT, "device_code": device_code, "grant_type": GRANT_TYPE}
    return await front.client.post("/oauth/token", data=form)


async def _decide(front: Front, someone: Owner, **members: Any) -> httpx2.Response:
    return await front.client.post("/oauth/device/decision", json=members, headers=someone.bearer())


def _error(response: httpx2.Response) -> str:
    assert response.status_code == 400
    body = response.json()
    assert set(body) <= {"error", "error_description"}
    assert CANARY not in response.text
    assert response.headers["cache-control"] == "no-store"
    error: str = body["error"]
    return error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets time pass for the codes."""

    class Clock(datetime):
        offset = timedelta(0)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + cls.offset

    monkeypatch.setattr(device_codes, "datetime", Clock)
    return Clock


async def test_a_login(front: Front, clock: Any) -> None:
    ada = await front.sign_up("Ada")
    begun = await _begin(front)
    assert set(begun) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    }  # fmt: skip
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", begun["user_code"])
    assert len(begun["device_code"]) >= 43
    assert (begun["expires_in"], begun["interval"]) == (600, 5)
    assert begun["verification_uri"] == "https://cape.test/device"
    assert begun["verification_uri_complete"] == f"https://cape.test/device?user_code={begun['user_code']}"
    assert _error(await _poll(front, begun["device_code"])) == "authorization_pending"
    assert _error(await _poll(front, begun["device_code"])) == "slow_down"
    access = ada.token(lifetime=timedelta(days=30))
    identity = ada.token("run", token_id=tokens.peek(access).id)
    response = await _decide(
        front, ada, user_code=begun["user_code"].lower(), allow=True, access_token=access, id_token=identity
    )
    assert (response.status_code, response.json()) == (200, {})
    clock.offset = timedelta(seconds=10)
    response = await _poll(front, begun["device_code"])
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert 30 * 86400 - 60 <= body.pop("expires_in") <= 30 * 86400
    assert body == {"access_token": access, "id_token": identity, "token_type": "Bearer"}
    # Once.
    assert _error(await _poll(front, begun["device_code"])) == "invalid_grant"
    # It works, too.
    response = await front.client.get("/v1/functions", headers={"authorization": f"Bearer {body['access_token']}"})
    assert response.status_code == 200


async def test_the_access_token_names_the_user_too(front: Front) -> None:
    ada = await front.sign_up("ada")
    begun = await _begin(front)
    access = ada.token(lifetime=None)
    await _decide(front, ada, user_code=begun["user_code"], allow=True, access_token=access)
    body = (await _poll(front, begun["device_code"])).json()
    assert body == {"access_token": access, "id_token": access, "token_type": "Bearer"}


async def test_denied(front: Front) -> None:
    ada = await front.sign_up("ada")
    begun = await _begin(front)
    assert (await _decide(front, ada, user_code=begun["user_code"], allow=False)).status_code == 200
    assert _error(await _poll(front, begun["device_code"])) == "access_denied"
    late = await _decide(front, ada, user_code=begun["user_code"], allow=True, access_token=ada.token())
    assert (late.status_code, set(late.json())) == (404, {"error", "message"})


async def test_expired(front: Front, clock: Any) -> None:
    ada = await front.sign_up("ada")
    begun = await _begin(front)
    clock.offset = timedelta(minutes=10)
    late = await _decide(front, ada, user_code=begun["user_code"], allow=True, access_token=ada.token())
    assert late.status_code == 404
    assert _error(await _poll(front, begun["device_code"])) == "expired_token"


async def test_decisions_that_are_none(front: Front) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    code = (begun := await _begin(front))["user_code"]
    right = ada.token()
    for members, status in (
        ({}, 400),
        ({"user_code": code}, 400),
        ({"user_code": code, "allow": "yes"}, 400),
        ({"user_code": code, "allow": 1}, 400),
        ({"user_code": code, "allow": True}, 400),
        ({"user_code": code, "allow": True, "access_token": CANARY}, 400),
        ({"user_code": code, "allow": True, "access_token": ada.token("run")}, 400),
        ({"user_code": code, "allow": True, "access_token": bob.token()}, 400),
        ({"user_code": code, "allow": True, "access_token": ada.token(lifetime=timedelta(seconds=-1))}, 400),
        ({"user_code": code, "allow": True, "access_token": ada.token(username="bob")}, 400),
        ({"user_code": code, "allow": True, "access_token": right, "id_token": 1}, 400),
        ({"user_code": code, "allow": True, "access_token": right, "id_token": f"{CANARY} x"}, 400),
        ({"user_code": code, "allow": True, "access_token": right, "id_token": "x" * 5000 + ".x.x"}, 400),
        ({"user_code": code, "allow": True, "access_token": right, "id_token": ada.token()}, 400),
        ({"user_code": code, "allow": True, "access_token": right, "id_token": bob.token()}, 400),
        ({"user_code": CANARY, "allow": True, "access_token": right}, 404),
        ({"user_code": "BCDF-GHJK", "allow": True, "access_token": right}, 404),
        ({"user_code": "", "allow": False}, 404),
        ({"user_code": "\0", "allow": False}, 404),
    ):
        response = await _decide(front, ada, **members)
        assert response.status_code == status, members
        assert set(response.json()) == {"error", "message"}
        assert CANARY not in response.text
    assert _error(await _poll(front, begun["device_code"])) == "authorization_pending"


async def _waiting(front: Front, someone: Owner, user_code: str) -> httpx2.Response:
    return await front.client.get("/oauth/device/login", params={"user_code": user_code}, headers=someone.bearer())


async def test_what_whoever_decides_is_shown(front: Front) -> None:
    ada = await front.sign_up("ada")
    begun = (await front.client.post("/oauth/device/code", data={**_CLIENT, "device_name": "ada's laptop"})).json()
    answer = (await _waiting(front, ada, begun["user_code"].lower())).json()
    assert datetime.fromisoformat(answer.pop("created_at")).tzinfo is not None
    expected = {"user_code": begun["user_code"], "device_name": None, "address": "127.0.0.1", "account": None}
    assert answer == expected
    begun = (await front.client.post("/oauth/device/code", data={**_CLIENT, "device_name": "laptop 2"})).json()
    assert (await _waiting(front, ada, begun["user_code"])).json()["device_name"] == "laptop 2"
    assert (await _decide(front, ada, user_code=begun["user_code"], allow=False)).status_code == 200
    assert (await _waiting(front, ada, begun["user_code"])).status_code == 404
    assert (await _waiting(front, ada, CANARY)).status_code == 404


@pytest.mark.parametrize(
    "name", ["", " ", "-x", "a" * 65, "<b>", "a\nb", "\x1b[2J", "\u202e", "Zo\u00eb", CANARY + "!"]
)
async def test_a_device_that_calls_itself_what_no_device_is_called(front: Front, name: str) -> None:
    ada = await front.sign_up("ada")
    response = await front.client.post("/oauth/device/code", data={**_CLIENT, "device_name": name})
    assert (await _waiting(front, ada, response.json()["user_code"])).json()["device_name"] is None


async def test_a_code_for_one_account(front: Front) -> None:
    ada, bob = await front.sign_up("Ada"), await front.sign_up("bob")
    begun = (await front.client.post("/oauth/device/code", data={**_CLIENT, "login_hint": "ada"})).json()
    code = begun["user_code"]
    assert (await _waiting(front, ada, code)).json()["account"] == "Ada"
    assert (await _waiting(front, bob, code)).status_code == 404
    refusal = await _decide(front, bob, user_code=code, allow=True, access_token=bob.token())
    unknown = await _decide(front, bob, user_code="BCDF-GHJK", allow=True, access_token=bob.token())
    # What is another's is as unknown as what is not there.
    assert (refusal.status_code, refusal.json()) == (unknown.status_code, unknown.json())
    assert (await _decide(front, bob, user_code=code, allow=False)).status_code == 404
    assert (await _decide(front, ada, user_code=code, allow=True, access_token=ada.token())).status_code == 200
    assert (await _poll(front, begun["device_code"])).status_code == 200
    for hint in ("carol", "a" * 40, "a b", "ada\0"):
        response = await front.client.post("/oauth/device/code", data={**_CLIENT, "login_hint": hint})
        assert response.status_code == 404, hint


async def test_a_login_is_listed_from_its_approval_on(front: Front) -> None:
    ada = await front.sign_up("ada")
    begun = (await front.client.post("/oauth/device/code", data={**_CLIENT, "device_name": "laptop"})).json()
    access = ada.token(lifetime=timedelta(days=30))
    await _decide(front, ada, user_code=begun["user_code"], allow=True, access_token=access)
    [listed] = (await front.client.get("/v1/tokens", headers=ada.bearer())).json()
    claims = tokens.peek(access)
    assert (listed["id"], listed["name"]) == (claims.id, "laptop")
    assert listed["description"] == "login of a device at 127.0.0.1"
    assert claims.expires is not None
    assert datetime.fromisoformat(listed["expiry"]) == claims.expires
    # One token is one login: it cannot be handed out again, to be there still when the other is revoked.
    again = await _begin(front)
    refusal = await _decide(front, ada, user_code=again["user_code"], allow=True, access_token=access)
    assert (refusal.status_code, refusal.json()["error"]) == (400, "a token with this id is registered already")
    assert _error(await _poll(front, again["device_code"])) == "authorization_pending"
    revoked = await front.client.delete(f"/v1/token/{claims.id}", headers=ada.bearer())
    assert revoked.status_code == 200
    response = await front.client.get("/v1/functions", headers={"authorization": f"Bearer {access}"})
    assert (response.status_code, response.json()["error"]) == (401, "the token was revoked")


async def test_codes_are_not_guessed(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    code = (await _begin(front))["user_code"]
    wrong = [await _waiting(front, ada, f"BCDF-GHJ{letter}") for letter in "BCDFG"]
    wrong += [await _decide(front, ada, user_code=f"BCDF-GHJ{letter}", allow=False) for letter in "BCDFGHJ"]
    assert [response.status_code for response in wrong] == [404] * 10 + [429] * 2
    assert (wrong[-1].headers["retry-after"], set(wrong[-1].json())) == ("600", {"error", "message"})
    for refused in (
        await _waiting(front, ada, code),
        await _decide(front, ada, user_code=code, allow=False),
        await _decide(front, ada, user_code=code, allow=True, access_token=ada.token()),
    ):
        assert refused.status_code == 429
    # No other account is slowed down, nor hers for ever.
    assert (await _waiting(front, bob, code)).status_code == 200
    monkeypatch.setattr(guesses, "WINDOW_SECONDS", 0)
    assert (await _decide(front, ada, user_code=code, allow=False)).status_code == 200


async def test_many_guesses_at_once_are_as_many(front: Front) -> None:
    ada = await front.sign_up("ada")
    letters = "BCDFGHJKLMNPQRSTVWXZ"
    many = await asyncio.gather(*(_decide(front, ada, user_code=f"BCDF-GH{x}{x}", allow=False) for x in letters))
    assert sorted(response.status_code for response in many) == [404] * 10 + [429] * 10


async def test_right_codes_cost_nothing(front: Front) -> None:
    ada = await front.sign_up("ada")
    for _ in range(12):
        code = (await _begin(front))["user_code"]
        assert (await _waiting(front, ada, code)).status_code == 200
        assert (await _decide(front, ada, user_code=code, allow=True, access_token="x")).status_code == 400
        assert (await _decide(front, ada, user_code=code, allow=False)).status_code == 200


async def test_those_who_guess_are_forgotten_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_MAX_KNOWN", 3)
    known = guesses.Guesses()
    for name in "abcd":
        with pytest.raises(CapeError), known.attempt(name):
            raise CapeError("unknown_code", "x")
    assert list(known._wrong) == ["b", "c", "d"]


async def test_malformed_polls(front: Front) -> None:
    async def error(**options: Any) -> str:
        return _error(await front.client.post("/oauth/token", **options))

    grant, code = {"grant_type": GRANT_TYPE}, {"device_code": CANARY}
    assert await error() == "invalid_request"
    assert await error(data=code) == "invalid_request"
    assert await error(data=grant) == "invalid_request"
    assert await error(json={**grant, **code}) == "invalid_request"
    assert await error(data={**grant, "device_code": [CANARY, CANARY]}) == "invalid_request"
    assert await error(data={**grant, **code}, files={"x": b"x"}) == "invalid_request"
    assert await error(content=b"x", headers={"content-type": "multipart/form-data"}) == "invalid_request"
    assert await error(data={"grant_type": "refresh_token", **code}) == "unsupported_grant_type"
    assert await error(data={**grant, **code}) == "invalid_grant"
    assert await error(content=b"grant_type=%s&device_code=%%ff%%00" % GRANT_TYPE.encode(), headers=_FORM) in {
        "invalid_grant", "invalid_request",
    }  # fmt: skip
    many = b"&".join(b"a%d=1" % number for number in range(100))
    assert await error(content=many, headers=_FORM) == "invalid_request"
    large = await front.client.post("/oauth/token", content=b"a=" + b"x" * 70_000, headers=_FORM)
    assert large.status_code == 413


_FORM = {"content-type": "application/x-www-form-urlencoded"}


async def test_a_malformed_beginning(front: Front) -> None:
    response = await front.client.post("/oauth/device/code", files={"x": b"x"})
    assert (response.status_code, set(response.json())) == (400, {"error", "message"})
    # The client is not told apart, so it need not say who it is.
    assert (await front.client.post("/oauth/device/code")).status_code == 200


@pytest.mark.parametrize("host", ["[", "a b", "x:y", ""])
async def test_odd_hosts(front: Front, host: str) -> None:
    response = await front.client.post("/oauth/device/code", data=_CLIENT, headers={"host": host})
    assert response.status_code in {200, 400}


@pytest.mark.parametrize(
    "given",
    ["", "<script>alert(1)</script>", "<b>XXXXXX", "bcdf-ghjk", "BCDF-GHJKL", "BCDF-GHJK\n", CANARY, "A<script>"],
)
async def test_the_page_repeats_nothing_but_codes(front: Front, given: str) -> None:
    response = await front.client.get("/device", params={"user_code": given})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "cape login --approve CODE</pre>" in response.text
    assert "script" not in response.text
    assert CANARY not in response.text


async def test_the_page_says_how_to_approve(front: Front) -> None:
    ada = await front.sign_up("ada")
    named = {**_CLIENT, "device_name": "laptop 2", "login_hint": "ada"}
    begun = (await front.client.post("/oauth/device/code", data=named)).json()
    response = await front.client.get(begun["verification_uri_complete"])
    assert f"<pre>cape login --approve {begun['user_code']}</pre>" in response.text
    for shown in ("laptop 2", "127.0.0.1", "ada", fingerprint(ada.public)):
        assert f"<dd>{shown}</dd>" in response.text
    response = await front.client.get((await _begin(front))["verification_uri_complete"])
    assert "<dd>nothing</dd>" in response.text
    assert fingerprint(ada.public) not in response.text
    response = await front.client.get("/device?user_code=BCDF-GHJK")
    assert "<pre>cape login --approve BCDF-GHJK</pre>" in response.text
    assert "No device is waiting" in response.text
    assert "default-src 'self'" in response.headers["content-security-policy"]
