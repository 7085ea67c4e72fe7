"""Cape's endpoints for tokens before a fake enclave."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import ids
from blindsight.errors import CapeError
from gateway.cape.bearer import token_account
from tests.gateway.cape.rest_refusals import refused
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from tests.support.cape_front import Front


async def test_tokens_from_registration_to_revocation(front: Front) -> None:
    ada = await front.sign_up("ada")
    function_id = ids.new()
    plain = ada.token("run", lifetime=None)
    scoped = ada.token("run", lifetime=timedelta(days=1), function_id=function_id)
    exp = datetime.now(UTC) + timedelta(days=1)
    response = await front.register(ada, plain, name="plain", description="", function_id="")
    assert (response.status_code, response.json()) == (201, {"token": plain})
    # As Cape's command line writes times: nanoseconds and Z. No Content-Type, either.
    body = {
        "name": "scoped", "description": "for\nBob", "function_id": function_id, "token": scoped,
        "expiry": exp.strftime("%Y-%m-%dT%H:%M:%S") + ".123456789Z",
    }  # fmt: skip
    response = await front.client.post("/v1/token", content=json.dumps(body), headers=ada.bearer())
    assert response.status_code == 201, response.text
    listed = (await front.client.get("/v1/tokens", headers=ada.bearer())).json()
    assert [(entry["name"], entry["description"], entry["function_id"]) for entry in listed] == [
        ("plain", "", ""), ("scoped", "for\nBob", function_id),
    ]  # fmt: skip
    assert (listed[0]["expiry"], listed[0]["last_used"]) == (None, None)
    assert abs(datetime.fromisoformat(listed[1]["expiry"]) - exp) <= timedelta(seconds=2)
    assert listed[1]["created_at"].endswith("Z")
    assert plain not in json.dumps(listed)
    await front.store.mark_token_used(listed[0]["id"])
    assert (await front.client.get("/v1/tokens", headers=ada.bearer())).json()[0]["last_used"].endswith("Z")

    await token_account(plain, front.store, "run")
    response = await front.client.delete(f"/v1/token/{listed[0]['id']}", headers=ada.bearer())
    assert (response.status_code, response.json()) == (200, {})
    with pytest.raises(CapeError) as caught:
        await token_account(plain, front.store, "run")
    assert caught.value.code == "token_revoked"
    assert [entry["name"] for entry in (await front.client.get("/v1/tokens", headers=ada.bearer())).json()] == [
        "scoped"
    ]
    account = await front.store.account("ada")
    assert account is not None
    assert json.loads(account.record)["revoked"] == {listed[0]["id"]: None}
    assert front.enclave.committed[-1] == account.record
    refused(await front.client.delete(f"/v1/token/{listed[0]['id']}", headers=ada.bearer()), 404)
    # What was revoked is not made good again by registering it once more.
    refused(await front.register(ada, plain), 400, "registered already")


async def test_tokens_that_are_not_registered(front: Front) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    function_id = ids.new()
    never = ada.token("run", lifetime=None)
    hour = ada.token("run")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(hours=1, seconds=10)).isoformat()
    scoped = ada.token("run", lifetime=None, function_id=function_id)
    odd = ada.token("run", lifetime=None, function_id="a/b")
    cases: list[tuple[str, dict[str, Any]]] = [
        (ada.token("account", lifetime=None), {}),
        (ada.token("deploy", lifetime=None), {}),
        (bob.token("run", lifetime=None), {}),
        (ada.token("run", username="bob", lifetime=None), {}),
        (ada.token("run", lifetime=timedelta(seconds=-1)), {"expiry": soon}),
        (CANARY, {}),
        ("", {}),
        (never, {"expiry": soon}),
        (never, {"function_id": function_id}),
        (never, {"function_id": CANARY}),
        (scoped, {}),
        (scoped, {"function_id": ids.new()}),
        (odd, {"function_id": "a/b"}),
        (hour, {}),
        (hour, {"expiry": later}),
        (hour, {"expiry": CANARY}),
        (hour, {"expiry": 5}),
        (hour, {"expiry": soon.replace("+00:00", "")}),
        (hour, {"expiry": "0001-01-01T00:00:00+14:00"}),
        (never, {"name": ""}),
        (never, {"name": "  "}),
        (never, {"name": None}),
        (never, {"name": "nul\0"}),
        (never, {"name": "n" * 101}),
        (never, {"description": "\0"}),
        (never, {"description": "d" * 1001}),
        (never, {"description": 1}),
    ]
    for token, members in cases:
        refused(await front.register(ada, token, **members), 400)
    without = await front.client.post("/v1/token", json={"name": "x"}, headers=ada.bearer())
    refused(without, 400, "token")
    surrogate = await front.client.post(
        "/v1/token", content=json.dumps({"name": "\ud800", "token": never}), headers=ada.bearer()
    )
    refused(surrogate, 400)
    assert (await front.client.get("/v1/tokens", headers=ada.bearer())).json() == []
    response = await front.register(ada, hour, expiry=soon)
    assert response.status_code == 201, response.text


async def test_a_token_is_its_owners(front: Front) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    token_id = ids.new()
    mine = ada.token("run", lifetime=None, token_id=token_id)
    assert (await front.register(ada, mine)).status_code == 201
    refused(await front.client.delete(f"/v1/token/{token_id}", headers=bob.bearer()), 404)
    # Bob takes an id of Ada's for a token of his own: his entry is refused, and says nothing of hers.
    refused(await front.register(bob, bob.token("run", lifetime=None, token_id=token_id)), 400)
    stolen = ids.new()
    assert (await front.register(bob, bob.token("run", lifetime=None, token_id=stolen))).status_code == 201
    assert (await front.client.delete(f"/v1/token/{stolen}", headers=bob.bearer())).status_code == 200
    await token_account(ada.token("run", token_id=stolen), front.store, "run")
