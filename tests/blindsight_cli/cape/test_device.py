"""The device flow as `cape` plays it, on the device and where the owner key is."""

from __future__ import annotations

import io
import json
import socket
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import tokens
from blindsight.cape.fingerprint import fingerprint
from blindsight_cli.cape.context import mint_login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

DONE = "Congratulations, you're all set!\n"
CODE = (
    "Your CLI confirmation code is: WDJB-MJHT\n"
    "Visit this URL to complete the login process: {url}/device?user_code=WDJB-MJHT\n"
)
DEVICE_QUESTION = "Is that you, and the key that your other machine shows? [y/N] "


@pytest.fixture
def folder(home: Path) -> Path:
    return home / ".config" / "cape"


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the command would have slept, each time."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What the user types; nothing, if a test does not say."""

    def type_(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    type_("")
    return type_


@pytest.fixture
def granted(host: FakeCapeHost) -> str:
    """The token that the host delivers: ada's."""
    key = Ed25519PrivateKey.generate()
    host.accounts["ada"] = key.public_key().public_bytes_raw()
    token = mint_login(key, "ada")
    host.device_answers.append({"access_token": token, "id_token": token, "token_type": "Bearer", "refresh_token": "r"})
    return token


@pytest.mark.usefixtures("granted")
def test_the_host_sets_the_pace(cape: Callable[..., Any], host: FakeCapeHost, naps: list[float]) -> None:
    pending, slower = {"error": "authorization_pending"}, {"error": "slow_down"}
    host.device_answers[:0] = [pending, slower, pending]
    assert cape("login", "--yes").status == 0
    assert naps == [5, 10, 10]


def test_another_machine_logs_in_by_code(
    cape: Callable[..., Any], host: FakeCapeHost, folder: Path, typed: Any, granted: str
) -> None:
    typed("y\n")
    outcome = cape("login")
    owner = fingerprint(host.accounts["ada"])
    told = f"This machine was let in as ada.\nOwner Key ➜ {owner}\n{DEVICE_QUESTION}"
    assert (outcome.status, outcome.out, outcome.err) == (0, CODE.format(url=host.url) + DONE, told)
    login = json.loads((folder / "auth").read_bytes())
    assert (login["access_token"], login["id_token"], login["refresh_token"]) == (granted, granted, "r")
    assert (folder / "capekey.pub.der").read_bytes() == host.cape_key_der("ada")
    assert not (folder / "owner.key").exists()
    code, *polls = [request.body for request in host.requests if request.path.startswith("/oauth")]
    assert code == {
        "client_id": "oXITxpCdjvRYSDJtaMeycvveqE9qadUS",
        "scope": "openid profile email offline_access",
        "audience": "https://app.capeprivacy.com/v1/",
        "device_name": socket.gethostname()[:64],
    }
    assert {poll["grant_type"] for poll in polls} == {"urn:ietf:params:oauth:grant-type:device_code"}
    assert {poll["device_code"] for poll in polls} == {"device"}


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize("text", ["", "\n", "n\n", "no\n", "yeah\n", "nyes\n"])
def test_a_login_that_is_not_confirmed_is_neither_used_nor_kept(
    cape: Callable[..., Any], host: FakeCapeHost, folder: Path, typed: Any, text: str
) -> None:
    typed(text)
    outcome = cape("login")
    assert (outcome.status, folder.exists()) == (1, False)
    assert outcome.err.endswith(
        "Error: login not confirmed, nothing was kept; in a script, say whose login it is with --owner\n"
    )
    assert all(request.token == "" for request in host.requests)
    assert host.sockets == []


@pytest.mark.parametrize("text", ["y\n", "Y\n", " yes \n", "YES\n"])
def test_what_counts_as_yes(cape: Callable[..., Any], typed: Any, granted: str, text: str) -> None:
    typed(text)
    assert cape("login").status == 0


def test_in_a_script_the_owner_is_named_or_none_is_asked_for(
    cape: Callable[..., Any], host: FakeCapeHost, typed: Any, granted: str
) -> None:
    answer = host.device_answers[0]
    for options in (["--owner", fingerprint(host.accounts["ada"])], ["--yes"], ["-y"]):
        host.device_answers[:] = [answer]
        outcome = cape("login", *options)
        assert (outcome.status, DEVICE_QUESTION in outcome.err) == (0, False), options


@pytest.mark.parametrize("owner", ["SHA256:" + "A" * 43, "SHA256:", "x"])
def test_another_owner_than_named(cape: Callable[..., Any], folder: Path, typed: Any, granted: str, owner: str) -> None:
    typed("y\n")
    outcome = cape("login", "--owner", owner, "--yes")
    assert (outcome.status, folder.exists()) == (1, False)
    assert f"the owner key is another than {owner}" in outcome.err


def test_another_user_than_named(cape: Callable[..., Any], folder: Path, host: FakeCapeHost, granted: str) -> None:
    answer = host.device_answers[0]
    outcome = cape("login", "--yes", "--username", "bob")
    assert (outcome.status, folder.exists()) == (1, False)
    assert "Error: login refused: it is of ada, not of bob; nothing was kept\n" in outcome.err
    assert host.requests[0].body["login_hint"] == "bob"
    host.device_answers[:] = [answer]
    assert cape("login", "--yes", "--username", "Ada").status == 0


@pytest.mark.parametrize("fault", ["forged", "of another account", "unproven", "no token"])
def test_a_login_that_its_owner_did_not_sign(
    cape: Callable[..., Any], folder: Path, host: FakeCapeHost, granted: str, fault: str
) -> None:
    """The host says so, and that is not enough."""
    other = Ed25519PrivateKey.generate()
    if fault == "forged":
        host.device_answers[0]["access_token"] = tokens.mint(other, "ada", "account", lifetime=timedelta(days=1))
    elif fault == "of another account":
        host.faults["owner"] = other.public_key().public_bytes_raw()
    elif fault == "unproven":
        host.faults["owner"] = b""
    else:
        host.device_answers[0] = {"access_token": "opaque"}
    outcome = cape("login", "--yes")
    assert (outcome.status, folder.exists()) == (1, False)
    assert "Error: " in outcome.err


def test_evidence_under_another_root_is_no_proof(
    cape: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, granted: str
) -> None:
    monkeypatch.delenv("CAPE_ATTESTATION_ROOT")
    outcome = cape("login", "--yes")
    assert (outcome.status, folder.exists()) == (1, False)
    assert "Error: the evidence does not descend from the trusted root" in outcome.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"error": "access_denied"}, "access denied by user"),
        ({"error": "expired_token"}, "authorization failed: expired_token"),
        ({"error": "e", "error_description": "d", "error_uri": "u"}, "authorization failed: e: d (see u)"),
        ({}, "authorization failed: the host does not answer as a login host does"),
    ],
)
def test_a_code_that_leads_nowhere(
    answer: dict[str, Any], text: str, cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    host.device_answers.append(answer)
    outcome = cape("login")
    assert (outcome.status, outcome.err) == (1, f"Error: {text}\n")
    assert not folder.exists()


def test_the_login_host_may_be_another(
    cape: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, host: FakeCapeHost, granted: str
) -> None:
    monkeypatch.setenv("CAPE_AUTH_HOST", "http://127.0.0.1:1")
    assert cape("login").err.startswith("Error: http://127.0.0.1:1 cannot be reached: ")
    assert host.requests == []


WAITING = {"device_name": "laptop", "address": "192.0.2.7", "created_at": "2026-11-25T10:00:00Z", "account": None}


def test_whoever_has_the_key_lets_another_machine_in(ada: Callable[..., Any], host: FakeCapeHost, typed: Any) -> None:
    host.waiting = WAITING
    typed("y\n")
    outcome = ada("login", "--approve", "WDJB-MJHT")
    assert (outcome.status, outcome.out) == (0, "Login with code WDJB-MJHT approved.\n")
    assert outcome.err == (
        "A machine asks to act as ada for 30 days:\n"
        "  code          WDJB-MJHT\n"
        "  calls itself  laptop\n"
        "  asks from     192.0.2.7\n"
        "  since         2026-11-25T10:00:00Z\n"
        f"  owner key     {fingerprint(host.accounts['ada'])}\n"
        "Is that the machine in front of you? Let it in? [y/N] "
    )
    request = host.requests[-1]
    assert (request.method, request.path) == ("POST", "/oauth/device/decision")
    assert tokens.verify(request.token, host.accounts["ada"]).scope == "account"
    body = request.body
    assert (body.pop("user_code"), body.pop("allow")) == ("WDJB-MJHT", True)
    made = tokens.verify(body.pop("access_token"), host.accounts["ada"])
    assert (made.scope, made.expires - made.issued) == ("account", tokens.LOGIN_LIFETIME)
    assert body == {}


def test_what_is_not_confirmed_is_not_approved(ada: Callable[..., Any], host: FakeCapeHost, typed: Any) -> None:
    host.waiting = WAITING
    for text in ("", "n\n"):
        typed(text)
        outcome = ada("login", "--approve", "WDJB-MJHT")
        assert (outcome.status, outcome.out) == (1, "")
        assert outcome.err.endswith("Error: approval failed: it was not confirmed; --yes does so in a script\n")
        assert host.requests[-1].method == "GET"
    assert ada("login", "--approve", "WDJB-MJHT", "--yes").status == 0


def test_what_a_device_calls_itself_is_no_command_for_a_terminal(
    ada: Callable[..., Any], host: FakeCapeHost, typed: Any
) -> None:
    host.waiting = {**WAITING, "device_name": "\x1b[2Jlaptop\n  owner key     SHA256:other", "address": None}
    typed("y\n")
    told = ada("login", "--approve", "WDJB-MJHT").err
    assert "\x1b" not in told
    assert told.count("\n  owner key") == 1
    assert "an unknown address" in told


def test_or_turns_it_away(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    """Which asks nothing."""
    assert ada("login", "--deny", "WDJB-MJHT").out == "Login with code WDJB-MJHT denied.\n"
    assert host.requests[-1].body == {"user_code": "WDJB-MJHT", "allow": False}


def test_a_code_that_the_host_does_not_know(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["rest"] = 404, {"error": "no such code", "message": "no such code"}
    assert ada("login", "--approve", "X").err == "Error: approval failed: no such code\n"
    assert ada("login", "--deny", "X").err == "Error: denial failed: no such code\n"
    assert ada("login", "--approve", "X", "--deny", "X").err.startswith("Error: give either")


def test_without_the_key_nobody_approves(ada: Callable[..., Any], folder: Path) -> None:
    (folder / "owner.key").unlink()
    assert ada("login", "--approve", "X").err.startswith(f"Error: no owner key at {folder / 'owner.key'}")
