"""Every administrative act of a gateway and its Cape host is in the audit log, and no secret is."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import blindsight
from blindsight.cape.messages import b64
from blindsight_cli import localca
from gateway import tokens
from gateway.audit.log import ACTS
from gateway.audit.verify import verify
from tests.support.canaries import Search
from tests.support.cape_front import owner
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.images import plain
from tests.support.stack import running_stack
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

NEVER = frozenset({"enclave.refused", "enclave.access_refused"})
"""Acts that do not happen here: tests/gateway/test_audit.py."""


@dataclass
class Audited:
    """A stack with an audit log, what is secret there, and an account."""

    stack: Stack
    file: Path
    secrets: dict[str, bytes]
    ada: Guest

    def entries(self, act: str) -> list[dict[str, Any]]:
        return [entry for entry in map(json.loads, self.file.read_text().splitlines()) if entry["act"] == act]

    def entry(self, act: str, **members: Any) -> dict[str, Any]:
        """The entry of this act with these members, once it is there."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.entries(act) if members.items() <= each.items()), None)

        return wait_until(f"entry {act} {members}", found, seconds=10)

    def rest(self, method: str, path: str, body: Any = None, token: str | None = None) -> str:
        """The request's id."""
        request_id = str(uuid.uuid4())
        headers = {"authorization": f"Bearer {token or self.ada.token()}", "x-request-id": request_id}
        answer = self.stack.client.request(method, path, json=body, headers=headers)
        assert answer.status_code in {200, 201, 400, 404, 409}, answer.text
        return request_id


@pytest.fixture(scope="module")
def audited(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    file = folder / "audit.log"
    api, signup = tokens.create("alice", folder / "tokens"), tokens.create("sponsor", folder / "signup")
    settings = {"audit_log": file, "tokens_file": folder / "tokens", "signup_tokens_file": folder / "signup"}
    tls = localca.ensure(folder / "tls", ["127.0.0.1"])
    settings |= {"tls_port": free_port(), "tls_certificate": tls.certificate, "tls_key": tls.key}
    key = tls.key.read_bytes().splitlines()[1]
    secrets = {"api token": api.encode(), "signup token": signup.encode(), "TLS key": key}
    grant = folder / "grant"
    with running_stack(
        colour_model.folder, folder, workers=1, cape=True, open_signup=False, classifier_grant=grant, **settings
    ) as stack:
        ada = Guest(owner("ada"), stack.gateway.url, trust_of(stack))
        body = {"username": "ada", "owner_public_key": b64(ada.owner.public), "proof": ada.token()}
        answer = stack.client.post("/v1/accounts", json=body, headers={"authorization": f"Bearer {signup}"})
        assert answer.status_code == 201, answer.text
        yield Audited(stack, file, secrets, ada)
    stopped = [json.loads(line) for line in file.read_text().splitlines()][-1]
    assert (stopped["act"], stopped["version"]) == ("gateway.stopped", blindsight.__version__)
    verify(file)


def test_start_policy_and_enclave(audited: Audited) -> None:
    stack = audited.stack
    started, loaded = audited.entries("gateway.started"), audited.entries("policy.loaded")
    accepted = audited.entries("enclave.accepted")
    assert (len(started), len(loaded), len(accepted)) == (1, 1, 1)
    assert started[0]["version"] == blindsight.__version__
    assert {"BLINDSIGHT_POLICY", "BLINDSIGHT_TOKENS_FILE", "BLINDSIGHT_AUDIT_LOG"} <= set(started[0]["settings"])
    assert loaded[0]["subject"] == hashlib.sha256(stack.policy_file.read_bytes()).hexdigest()
    (release,) = loaded[0]["releases"]
    assert release["kind"] == "simulated"
    assert len(release["measurements_sha256"]) == 64
    assert accepted[0]["measurements"]["0"] == stack.measured.pcrs[0]
    assert len(accepted[0]["evidence_sha256"]) == 64
    assert accepted[0]["subject"] == stack.client.get("/attestation").json()["enclave_id"]
    moment = datetime.fromisoformat(started[0]["time"])
    assert moment.tzinfo == UTC
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=10)
    assert started[0]["time"].endswith("Z")


def test_an_account(audited: Audited) -> None:
    created = audited.entry("account.created", subject="ada")
    assert (created["actor"], created["outcome"]) == ("sponsor", "done")
    assert uuid.UUID(created["request_id"])
    other = owner("bob")
    body = {"username": "bob", "owner_public_key": b64(other.public), "proof": other.token()}
    signup = audited.secrets["signup token"].decode()
    request_id = audited.rest("POST", "/v1/accounts", body, signup)
    assert audited.entry("account.created", subject="bob")["request_id"] == request_id
    audited.rest("POST", "/v1/accounts", body, signup)  # Changes nothing.
    assert len(audited.entries("account.created")) == 2
    request_id = audited.rest("DELETE", "/v1/account", token=other.token())
    audited.entry("account.deleted", actor="bob", subject="bob", outcome="done", request_id=request_id)


def test_a_function(audited: Audited) -> None:
    archive = zipped(secret=b"# a canary of the function's code")
    audited.secrets["code"] = b"a canary of the function's code"
    audited.secrets["name"] = b"a-canary-of-its-name"
    function = audited.ada.deploy("a-canary-of-its-name", archive)
    deployed = audited.entry("function.deployed", subject=function, outcome="done", actor="ada")
    assert deployed["checksum"] == hashlib.sha256(archive).hexdigest()
    assert uuid.UUID(deployed["request_id"])
    request_id = audited.rest("DELETE", f"/v1/functions/{function}")
    audited.entry("function.deleted", actor="ada", subject=function, outcome="done", request_id=request_id)


def test_an_account_token(audited: Audited) -> None:
    token = audited.ada.token("run", lifetime=None)
    audited.secrets["run token"] = token[-40:].encode()
    audited.secrets["token's name"] = b"a canary in a token's name"
    body = {"name": "a canary in a token's name", "token": token}
    request_id = audited.rest("POST", "/v1/token", body)
    registered = audited.entry("account_token.registered", actor="ada", outcome="done", request_id=request_id)
    assert registered["scope"] == "run"
    audited.rest("POST", "/v1/token", body)
    audited.entry("account_token.registered", subject=registered["subject"], outcome="malformed_request")
    request_id = audited.rest("DELETE", f"/v1/token/{registered['subject']}")
    audited.entry("account_token.revoked", actor="ada", subject=registered["subject"], request_id=request_id)


def test_a_device(audited: Audited) -> None:
    def begun() -> str:
        answer = audited.stack.client.post("/oauth/device/code", data={"client_id": "x"})
        code: str = answer.json()["user_code"]
        return code

    access = audited.ada.token()
    audited.secrets["access token"] = access[-40:].encode()
    code = begun()
    request_id = audited.rest(
        "POST", "/oauth/device/decision", {"user_code": code, "allow": True, "access_token": access}
    )
    audited.entry("device_login.approved", actor="ada", outcome="done", request_id=request_id)
    request_id = audited.rest("POST", "/oauth/device/decision", {"user_code": begun(), "allow": False})
    audited.entry("device_login.denied", actor="ada", outcome="done", request_id=request_id)
    audited.rest("POST", "/oauth/device/decision", {"user_code": "AAAA-AAAA", "allow": False})
    audited.entry("device_login.denied", actor="ada", outcome="unknown_code")
    assert code not in audited.file.read_text()


def test_the_classifiers_grant(audited: Audited) -> None:
    audited.entry("classifier_grant.presented", outcome="FileNotFoundError")
    checksum = audited.stack.measured.function_checksum
    grant = audited.ada.token("deploy", func_checksum=checksum, function_name="classifier", public=True)
    (audited.stack.folder / "grant").write_text(grant)
    audited.entry("classifier_grant.presented", actor="ada", outcome="done")


def test_api_tokens(audited: Audited) -> None:
    folder = audited.stack.folder
    audited.secrets["bob's token"] = tokens.create("bob", folder / "tokens").encode()
    audited.entry("token.added", subject="bob", purpose="api")
    tokens.create("second", folder / "signup")
    audited.entry("token.added", subject="second", purpose="signup")
    tokens.revoke("bob", folder / "tokens")
    audited.entry("token.revoked", subject="bob", purpose="api")


def test_what_is_no_administrative_act_is_not_there(audited: Audited) -> None:
    before = audited.file.read_text().count("\n")
    headers = {"authorization": f"Bearer {audited.secrets['api token'].decode()}"}
    for _ in range(3):
        assert audited.stack.client.post("/classify", content=plain(3), headers=headers).status_code == 200
        assert audited.stack.client.post("/classify", content=plain(3)).status_code == 401
        assert audited.stack.client.post("/v1/accounts", json={}).status_code == 401
        assert audited.stack.client.request("DELETE", "/v1/account").status_code == 401
    assert audited.file.read_text().count("\n") == before


def test_all_acts_and_no_secret_are_there(audited: Audited) -> None:
    """The last one of this file: it looks at what the others have left."""
    entries = [json.loads(line) for line in audited.file.read_text().splitlines()]
    assert {entry["act"] for entry in entries} == ACTS - NEVER - {"gateway.stopped"}
    assert all({"time", "act", "actor", "subject", "outcome", "previous"} <= entry.keys() for entry in entries)
    assert Search(audited.secrets).found(audited.file.read_bytes()) == set()
    hashed = {name: hashlib.sha256(secret).hexdigest().encode() for name, secret in audited.secrets.items()}
    assert Search(hashed).found(audited.file.read_bytes()) == set()
    said = [line for line in audited.stack.gateway.events() if line["event"] == "audit entry written"]
    written = audited.file.read_bytes().splitlines()
    assert [line["sha256"] for line in said] == [hashlib.sha256(line).hexdigest() for line in written]
