"""Cape's REST endpoints before a fake enclave."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import ids
from blindsight.cape.messages import b64
from blindsight.errors import CapeError
from blindsight.problems import Problem
from gateway.cape import answers
from gateway.cape.bearer import token_account
from tests.gateway.cape.rest_refusals import refused
from tests.support.cape_front import owner
from tests.support.fake_cape_enclave import with_function
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.support.cape_front import Front, Owner


def _bundles(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "bundles").iterdir())


def _sign_up(someone: Owner, **members: Any) -> dict[str, Any]:
    return {
        "username": someone.username, "owner_public_key": b64(someone.public), "proof": someone.token(), **members,
    }  # fmt: skip


async def test_an_account_is_made_once_for_its_key(front: Front) -> None:
    ada = await front.sign_up("Ada")
    account = await front.store.account("ada")
    assert account is not None
    assert (account.username, account.version, account.owner_public_key) == ("Ada", 1, ada.public)
    assert front.enclave.committed == [account.record]
    # Again, as after a lost answer: the same answer, and no second Cape Key.
    again = await front.client.post("/v1/accounts", json=_sign_up(ada))
    assert (again.status_code, again.json()) == (201, {"username": "Ada"})
    assert front.enclave.calls.count("create_account") == 1
    for name in ("Ada", "aDA"):
        other = owner(name)
        refused(await front.client.post("/v1/accounts", json=_sign_up(other)), 409, "taken")
    assert await front.store.account("ada") == account


async def test_two_sign_up_under_one_name_at_once(front: Front) -> None:
    people = [owner("ada") for _ in range(4)]
    done = await asyncio.gather(*(front.client.post("/v1/accounts", json=_sign_up(someone)) for someone in people))
    assert sorted(response.status_code for response in done) == [201, 409, 409, 409]
    account = await front.store.account("ada")
    assert account is not None
    winner = [response.status_code for response in done].index(201)
    assert account.owner_public_key == people[winner].public
    assert front.enclave.committed == [account.record]


@pytest.mark.parametrize("username", ["", "-ada", "ada-", "a" * 40, "ä", "a/b", "a b", f"{CANARY}_", "ada\n", "\ud800"])
async def test_usernames_that_are_none(front: Front, username: str) -> None:
    someone = owner(username)
    body = json.dumps(_sign_up(someone, proof=owner("ada").token()))
    refused(await front.client.post("/v1/accounts", content=body), 400, "username")
    assert front.enclave.calls == []


async def test_a_proof_must_be_of_that_key_for_that_name(front: Front) -> None:
    ada = owner("ada")
    for proof, status in (
        (owner("ada").token(), 401),
        (ada.token("run"), 403),
        (ada.token(username="bob"), 403),
        (ada.token(username="Ada"), 403),
        (ada.token(lifetime=timedelta(seconds=-1)), 401),
        (CANARY, 401),
        ("", 401),
    ):
        refused(await front.client.post("/v1/accounts", json=_sign_up(ada, proof=proof)), status)
    assert front.enclave.calls == []
    assert await front.store.account("ada") is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 50_000, b'{"username": 1}',
        json.dumps(_sign_up(owner("ada"), owner_public_key=CANARY)).encode(),
        json.dumps(_sign_up(owner("ada"), owner_public_key=b64(bytes(31)))).encode(),
        json.dumps(_sign_up(owner("ada"), proof=None)).encode(),
    ],
)  # fmt: skip
async def test_malformed_bodies(front: Front, body: bytes) -> None:
    refused(await front.client.post("/v1/accounts", content=body), 400)
    assert front.enclave.calls == []


async def test_large_bodies_are_refused(front: Front) -> None:
    ada = owner("ada")
    body = json.dumps(_sign_up(ada)).encode()
    padded = body + b" " * (answers.MAX_BODY_BYTES - len(body))
    refused(await front.client.post("/v1/accounts", content=padded + b" "), 413)

    async def endless() -> Any:
        while True:
            yield b" " * 10_000

    refused(await front.client.post("/v1/accounts", content=endless()), 413)
    assert (await front.client.post("/v1/accounts", content=padded)).status_code == 201


async def test_slow_bodies_are_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BODY_SECONDS", 0.05)

    async def stalled() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    refused(await front.client.post("/v1/accounts", content=stalled()), 400, "arrive")


async def test_a_gateway_with_api_tokens_asks_for_one(front: Front) -> None:
    def required(request: Any) -> None:
        if request.headers.get("authorization") != "Bearer bs_right":
            raise Problem("unauthenticated", "Send an API token.")

    object.__setattr__(front.app.state.services.cape, "may_sign_up", required)
    body = _sign_up(owner("ada"))
    response = await front.client.post("/v1/accounts", json=body)
    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"
    response = await front.client.post("/v1/accounts", json=body, headers={"authorization": "Bearer bs_right"})
    assert response.status_code == 201


async def test_a_users_key(front: Front) -> None:
    await front.sign_up("Ada")
    for name in ("Ada", "ada"):
        response = await front.client.get(f"/v1/user/{name}/key")
        assert response.status_code == 200
        assert response.json() == {"attestation_document": b64(b"document of Ada")}
        assert response.headers["access-control-allow-origin"] == "*"
    for name in ("bob", "%00", "a%2Fb", CANARY + "_", "%F0%9F%98%80"):
        response = await front.client.get(f"/v1/user/{name}/key")
        assert response.status_code == 404
        if name != "a%2Fb":  # which is another path
            refused(response, 404, "account")
            assert response.headers["access-control-allow-origin"] == "*"
    front.enclave.broken = True
    refused(await front.client.get("/v1/user/ada/key"), 503)


SOME_ID = "bbaxtm5hzNzScaDwfW8gkJ"
ACCOUNT_ENDPOINTS = [
    ("GET", "/v1/functions"), ("GET", f"/v1/functions/{SOME_ID}"), ("DELETE", f"/v1/functions/{SOME_ID}"),
    ("POST", "/v1/token"), ("GET", "/v1/tokens"), ("DELETE", f"/v1/token/{SOME_ID}"), ("DELETE", "/v1/account"),
    ("POST", "/oauth/device/decision"), ("GET", "/oauth/device/login"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ACCOUNT_ENDPOINTS)
async def test_only_the_account_may(front: Front, method: str, path: str) -> None:
    ada = await front.sign_up("ada")

    async def ask(authorization: str | None) -> httpx2.Response:
        headers = {} if authorization is None else {"authorization": authorization}
        response = await front.client.request(method, path, headers=headers)
        assert "access-control-allow-origin" not in response.headers
        return response

    for nothing in (None, "", "Bearer", "Bearer ", f"Basic {ada.token()}", ada.token()):
        refused(await ask(nothing), 401, "unauthorized: authentication required")
    expired = ada.token(lifetime=timedelta(seconds=-1))
    refused(await ask(f"Bearer {expired}"), 401, "token is expired")
    for token in (CANARY, f"{CANARY}.{CANARY}.{CANARY}", ada.token()[:-8], owner("ada").token(), owner("bob").token()):
        refused(await ask(f"Bearer {token}"), 401, "not valid")
    for scope in ("run", "deploy"):
        refused(await ask(f"Bearer {ada.token(scope)}"), 403)
    assert await front.store.account("ada") is not None
    assert (await ask(f"bearer {ada.token()}")).status_code in {200, 400, 404}


async def test_an_account_token_runs_functions_and_no_token_deploys_but_its_own(front: Front) -> None:
    ada = await front.sign_up("ada")
    for scope, sufficient in (("run", {"run"}), ("account", {"run", "account"}), ("deploy", {"deploy"})):
        for wanted in ("run", "account", "deploy"):
            if wanted in sufficient:
                token, account = await token_account(ada.token(scope), front.store, wanted)
                assert (token.scope, account.username) == (scope, "ada")
            else:
                with pytest.raises(CapeError) as caught:
                    await token_account(ada.token(scope), front.store, wanted)
                assert caught.value.code == "forbidden"
    with pytest.raises(CapeError) as caught:
        await token_account("", front.store, "run")
    assert str(caught.value) == "unauthorized: authentication required"


async def test_listing_functions(front: Front) -> None:
    ada, bob = await front.sign_up("Ada"), await front.sign_up("bob")
    assert (await front.client.get("/v1/functions", headers=ada.bearer())).json() == []
    deployed = [await front.deploy(ada, f"f{number}") for number in range(3)]
    await front.deploy(bob, "foreign")
    response = await front.client.get("/v1/functions?limit=50&offset=0", headers=ada.bearer())
    assert response.status_code == 200
    listed = response.json()
    assert [entry["id"] for entry in listed] == [function.id for function in deployed]
    assert listed[0] == {
        "id": deployed[0].id, "name": "f0", "public": False, "checksum": "00" * 32, "size": 7,
        "created_at": deployed[0].created_at.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    for query, expected in (("limit=2", deployed[:2]), ("offset=2", deployed[2:]), ("limit=1&offset=1", deployed[1:2])):
        response = await front.client.get(f"/v1/functions?{query}", headers=ada.bearer())
        assert [entry["id"] for entry in response.json()] == [function.id for function in expected]
    for query in ("limit=0", "limit=1001", "offset=-1", f"limit={CANARY}", "offset=" + "9" * 30, "limit=1.5"):
        refused(await front.client.get(f"/v1/functions?{query}", headers=ada.bearer()), 400)


async def test_one_function(front: Front) -> None:
    ada, bob = await front.sign_up("Ada"), await front.sign_up("bob")
    function = await front.deploy(ada, "echo")
    response = await front.client.get(f"/v1/functions/{function.id}", headers=ada.bearer())
    body = response.json()
    assert response.status_code == 200
    assert (body["id"], body["user_id"], body["name"], body["location"]) == (function.id, "Ada", "echo", "Ada/echo")
    assert datetime.fromisoformat(body["created_at"]) == function.created_at
    refused(await front.client.get(f"/v1/functions/{function.id}", headers=bob.bearer()), 404)
    for unknown in (ids.new(), CANARY, "%00"):
        refused(await front.client.get(f"/v1/functions/{unknown}", headers=ada.bearer()), 404)


async def test_deleting_a_function(front: Front, tmp_path: Path) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    gone, kept = await front.deploy(ada, "gone"), await front.deploy(ada, "kept")
    refused(await front.client.delete(f"/v1/functions/{gone.id}", headers=bob.bearer()), 404)
    assert _bundles(tmp_path) == sorted([gone.id, kept.id])
    response = await front.client.delete(f"/v1/functions/{gone.id}", headers=ada.bearer())
    assert (response.status_code, response.json()) == (200, {})
    assert _bundles(tmp_path) == [kept.id]
    account = await front.store.account("ada")
    assert account is not None
    assert account.version == 4
    assert json.loads(account.record)["functions"] == [kept.id]
    assert front.enclave.committed[-1] == account.record
    refused(await front.client.delete(f"/v1/functions/{gone.id}", headers=ada.bearer()), 404)
    refused(await front.client.delete(f"/v1/functions/{CANARY}", headers=ada.bearer()), 404)


async def test_a_change_that_meets_another_is_made_anew(front: Front) -> None:
    ada = await front.sign_up("ada")
    function = await front.deploy(ada, "echo")
    meanwhile: list[str] = []

    async def deploy_meanwhile() -> None:
        if not meanwhile:
            meanwhile.append((await front.deploy(ada, "meanwhile")).id)

    front.enclave.before_answer = deploy_meanwhile
    response = await front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer())
    assert response.status_code == 200
    account = await front.store.account("ada")
    assert account is not None
    assert json.loads(account.record)["functions"] == meanwhile
    assert await front.store.function_ids() == set(meanwhile)
    assert front.enclave.committed[-1] == account.record


async def test_a_change_that_always_meets_another_is_refused(front: Front, tmp_path: Path) -> None:
    ada = await front.sign_up("ada")
    function = await front.deploy(ada, "echo")

    async def deploy_meanwhile() -> None:
        await front.deploy(ada, "meanwhile")

    front.enclave.before_answer = deploy_meanwhile
    refused(await front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer()), 409)
    assert front.enclave.calls.count("delete_function") == 2
    assert function.id in _bundles(tmp_path)
    assert function.id in await front.store.function_ids()


async def test_nothing_is_deleted_without_the_enclave(front: Front, tmp_path: Path) -> None:
    ada = await front.sign_up("ada")
    function = await front.deploy(ada, "echo")
    front.enclave.broken = True
    refused(await front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer()), 503)
    assert await front.store.function_ids() == {function.id}
    assert _bundles(tmp_path) == [function.id]


async def test_what_is_stored_has_succeeded(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    ada = await front.sign_up("ada")
    function = await front.deploy(ada, "echo")
    front.enclave.commit_broken = True
    with caplog.at_level(logging.WARNING, "gateway.cape"):
        response = await front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer())
    assert response.status_code == 200
    assert await front.store.function_ids() == set()
    assert [record.code for record in caplog.records] == ["enclave_unavailable"]


async def test_deleting_the_account(front: Front, tmp_path: Path) -> None:
    ada, bob = await front.sign_up("ada"), await front.sign_up("bob")
    await front.deploy(ada, "a")
    await front.deploy(ada, "b")
    kept = await front.deploy(bob, "c")
    await front.register(ada, ada.token("run", lifetime=None))
    response = await front.client.delete("/v1/account", headers=ada.bearer())
    assert (response.status_code, response.json()) == (200, {})
    assert _bundles(tmp_path) == [kept.id]
    assert await front.store.function_ids() == {kept.id}
    refused(await front.client.delete("/v1/account", headers=ada.bearer()), 401)
    refused(await front.client.get("/v1/user/ada/key"), 404)
    assert (await front.client.get("/v1/functions", headers=bob.bearer())).json()[0]["id"] == kept.id


async def test_deployments_and_deletions_at_once(front: Front) -> None:
    """What the record says and what the rows say never differ."""
    ada = await front.sign_up("ada")
    functions = [await front.deploy(ada, f"f{number}") for number in range(6)]
    await asyncio.gather(
        *(front.client.delete(f"/v1/functions/{function.id}", headers=ada.bearer()) for function in functions)
    )
    account = await front.store.account("ada")
    assert account is not None
    assert set(json.loads(account.record)["functions"]) == await front.store.function_ids()
    assert account.version == json.loads(account.record)["version"]


async def test_the_store_being_gone_is_told_as_such(front: Front, tmp_path: Path) -> None:
    ada = await front.sign_up("ada")
    await front.store.close()
    (tmp_path / "store.db").unlink()
    (tmp_path / "store.db").mkdir()
    refused(await front.client.get("/v1/functions", headers=ada.bearer()), 503)
    (tmp_path / "store.db").rmdir()


async def test_the_openapi_page_knows_them(front: Front) -> None:
    schema = (await front.client.get("/openapi.json")).json()
    operations = {
        (method.upper(), path): operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    bearer = {
        ("GET", "/v1/functions"), ("GET", "/v1/functions/{function_id}"), ("DELETE", "/v1/functions/{function_id}"),
        ("POST", "/v1/token"), ("GET", "/v1/tokens"), ("DELETE", "/v1/token/{token_id}"), ("DELETE", "/v1/account"),
        ("POST", "/oauth/device/decision"), ("GET", "/oauth/device/login"),
    }  # fmt: skip
    free = {
        ("POST", "/v1/accounts"), ("GET", "/v1/user/{username}/key"), ("POST", "/oauth/device/code"),
        ("POST", "/oauth/token"),
    }  # fmt: skip
    assert set(operations) == bearer | free
    for operation, described in operations.items():
        assert described["tags"] == ["cape"]
        assert described.get("security") == ([{"cape": []}] if operation in bearer else None)
        assert ("401" in described["responses"]) == (operation in bearer | {("POST", "/v1/accounts")})
        assert ("requestBody" in described) == (operation[0] == "POST")
    assert schema["components"]["securitySchemes"]["cape"]["scheme"] == "bearer"


async def test_other_methods_are_told_the_right_ones(front: Front) -> None:
    for path, allowed in ((f"/v1/functions/{ids.new()}", "DELETE, GET"), ("/v1/token", "POST")):
        response = await front.client.options(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_the_fake_enclave_counts_versions() -> None:
    record = with_function(b'{"version": 1, "functions": []}', "x")
    assert json.loads(record) == {"version": 2, "functions": ["x"]}
