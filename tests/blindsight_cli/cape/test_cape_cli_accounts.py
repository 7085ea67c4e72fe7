"""Signing up and logging in: the owner key, the login, the cached Cape Key."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import tokens
from blindsight_cli.cape import context as contexts
from blindsight_cli.cape.accounts import clean_username
from tests.support.fake_cape_host import running_cape_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

DONE = "Congratulations, you're all set!\n"


@pytest.fixture
def folder(home: Path) -> Path:
    return home / ".config" / "cape"


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the command would have slept, each time."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def login_of(folder: Path) -> dict[str, str]:
    return json.loads((folder / "auth").read_bytes())


def pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_signing_up_makes_a_key_an_account_and_a_login(
    cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    outcome = cape("signup", "ada")
    assert (outcome.status, outcome.out, outcome.warned) == (0, DONE, True)
    assert "Error" not in outcome.err
    assert str(folder / "owner.key") in outcome.err
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("owner.key", "auth", "capekey.pub.der"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert (folder / "capekey.pub.der").read_bytes() == host.cape_key_der("ada")
    assert (folder / "auth").read_text().startswith('{\n  "access_token": "')
    login = login_of(folder)
    assert set(login) == {"access_token", "token_type", "refresh_token", "expiry", "id_token"}
    access = tokens.verify(login["access_token"], host.accounts["ada"])
    assert (access.scope, access.username) == ("account", "ada")
    assert access.expires - access.issued == tokens.LOGIN_LIFETIME
    assert login["expiry"] == access.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert tokens.verify(login["id_token"], host.accounts["ada"]).claims["nickname"] == "ada"


def test_a_second_time_the_key_stays(ada: Callable[..., Any], folder: Path) -> None:
    before = (folder / "owner.key").read_bytes()
    outcome = ada("signup")
    assert (outcome.status, outcome.out) == (0, DONE)
    [line] = outcome.err.splitlines()
    assert line.startswith("Owner of ada ➜ SHA256:")
    assert (folder / "owner.key").read_bytes() == before


def test_another_key_gets_another_name_only(ada: Callable[..., Any], folder: Path, host: FakeCapeHost) -> None:
    (folder / "owner.key").write_bytes(pem(Ed25519PrivateKey.generate()))
    outcome = ada("signup")
    assert (outcome.status, outcome.err) == (1, "Error: signup failed: this username is taken\n")
    assert ada("signup", "bob").status == 0
    assert (folder / "capekey.pub.der").read_bytes() == host.cape_key_der("bob")


@pytest.mark.parametrize("content", [b"", b"no key", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_file_that_is_no_owner_key_is_neither_used_nor_replaced(
    content: bytes, cape: Callable[..., Any], folder: Path, host: FakeCapeHost
) -> None:
    folder.mkdir(parents=True)
    (folder / "owner.key").write_bytes(content)
    (folder / "owner.key").chmod(0o600)
    outcome = cape("signup")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == f"Error: the owner key {folder / 'owner.key'} is not an Ed25519 key in PEM\n"
    assert (folder / "owner.key").read_bytes() == content
    assert host.requests == []


def test_an_owner_key_that_others_can_read_is_refused(ada: Callable[..., Any], folder: Path) -> None:
    (folder / "owner.key").chmod(0o640)
    outcome = ada("login")
    assert (outcome.status, outcome.err) == (
        1,
        f"Error: others can read the owner key: chmod 600 {folder / 'owner.key'}\n",
    )


def test_the_hosts_api_token_goes_along(
    cape: Callable[..., Any], host: FakeCapeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLINDSIGHT_API_TOKEN", "from the environment")
    cape("signup", "ada")
    cape("signup", "ada", "--api-token", "from the flag")
    assert [request.token for request in host.requests] == ["from the environment", "from the flag"]


@pytest.mark.parametrize("name", ["a b", "-ada", "ada-", "ä", "a" * 40, "a/b"])
def test_a_name_that_is_none(name: str, cape: Callable[..., Any], folder: Path) -> None:
    outcome = cape("signup", "--", name)
    assert outcome.err.startswith("Error: signup failed: a username has 1 to 39 letters")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("user", "name"), [("ada", "ada"), ("ada.l", "ada-l"), ("_ada_", "ada"), ("é", ""), ("a" * 38 + ".b", "a" * 38)]
)
def test_a_systems_user_becomes_a_name(user: str, name: str) -> None:
    assert clean_username(user) == name


def test_logging_in_anew_makes_new_tokens(ada: Callable[..., Any], folder: Path) -> None:
    before = login_of(folder)
    assert ada("login").out == DONE
    assert login_of(folder)["access_token"] != before["access_token"]


def test_logging_in_without_an_old_login_needs_the_name(ada: Callable[..., Any], folder: Path) -> None:
    (folder / "auth").unlink()
    assert ada("login").err.startswith("Error: no account to log in to")
    assert ada("login", "--username", "ada").out == DONE


def test_logging_in_elsewhere_replaces_the_cached_key(
    ada: Callable[..., Any], folder: Path, host: FakeCapeHost, tmp_path: Path
) -> None:
    with running_cape_host(tmp_path / "elsewhere") as other:
        other.accounts.update(host.accounts)
        assert ada("login", "-u", other.url, "--root", str(other.root)).out == DONE
        assert (folder / "capekey.pub.der").read_bytes() == other.cape_key_der("ada") != host.cape_key_der("ada")


def test_a_key_that_cannot_be_had_is_not_fatal_but_no_old_one_stays(
    ada: Callable[..., Any], folder: Path, host: FakeCapeHost
) -> None:
    host.faults["refusal"] = 503, "busy"
    outcome = ada("login")
    assert outcome.status == 0
    assert outcome.out == f"Unable to fetch cape key, try running 'cape key' after login\n{DONE}"
    assert "Error" not in outcome.err
    assert not (folder / "capekey.pub.der").exists()


def test_evidence_under_another_root_is_fatal(
    cape: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAPE_ATTESTATION_ROOT")
    outcome = cape("signup")
    assert (outcome.status, outcome.out, outcome.warned) == (1, "", False)
    assert outcome.err.endswith("Error: the evidence does not descend from the trusted root\n")
    assert not (folder / "capekey.pub.der").exists()


def device(host: FakeCapeHost, *answers: dict[str, Any]) -> tuple[str, str]:
    """Have the host answer polls so; returns the tokens of a last one that is granted."""
    key = Ed25519PrivateKey.generate()
    host.accounts["ada"] = key.public_key().public_bytes_raw()
    access, identity = contexts.mint_login(key, "ada")
    granted = {"access_token": access, "id_token": identity, "token_type": "Bearer", "refresh_token": "r"}
    host.device_answers += [*answers, granted]
    return access, identity


CODE = (
    "Your CLI confirmation code is: WDJB-MJHT\n"
    "Visit this URL to complete the login process: {url}/device?user_code=WDJB-MJHT\n"
)


def test_another_machine_logs_in_by_code(
    cape: Callable[..., Any], host: FakeCapeHost, folder: Path, naps: list[float]
) -> None:
    pending, slower = {"error": "authorization_pending"}, {"error": "slow_down"}
    access, identity = device(host, pending, slower, pending)
    outcome = cape("login")
    assert (outcome.status, outcome.out) == (0, CODE.format(url=host.url) + DONE)
    first, owner = outcome.err.splitlines()
    fingerprint = owner.removeprefix("Owner of ada ➜ ")
    assert first.startswith(f"First use: {fingerprint} is the owner of ada at ")
    assert naps == [5, 10, 10]
    login = login_of(folder)
    assert (login["access_token"], login["id_token"], login["refresh_token"]) == (access, identity, "r")
    assert (folder / "capekey.pub.der").read_bytes() == host.cape_key_der("ada")
    assert not (folder / "owner.key").exists()
    code, *polls = [request.body for request in host.requests if request.path.startswith("/oauth")]
    assert code == {
        "client_id": "oXITxpCdjvRYSDJtaMeycvveqE9qadUS",
        "scope": "openid profile email offline_access",
        "audience": "https://app.capeprivacy.com/v1/",
    }
    assert {poll["grant_type"] for poll in polls} == {"urn:ietf:params:oauth:grant-type:device_code"}
    assert {poll["device_code"] for poll in polls} == {"device"}


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
    cape: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, host: FakeCapeHost
) -> None:
    device(host)
    monkeypatch.setenv("CAPE_AUTH_HOST", "http://127.0.0.1:1")
    assert cape("login").err.startswith("Error: http://127.0.0.1:1 cannot be reached: ")
    assert host.requests == []


def test_whoever_has_the_key_lets_another_machine_in(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    outcome = ada("login", "--approve", "WDJB-MJHT")
    assert (outcome.status, outcome.out) == (0, "Login with code WDJB-MJHT approved.\n")
    request = host.requests[-1]
    assert (request.method, request.path) == ("POST", "/oauth/device/decision")
    assert tokens.verify(request.token, host.accounts["ada"]).scope == "account"
    body = request.body
    assert (body.pop("user_code"), body.pop("allow")) == ("WDJB-MJHT", True)
    made = [tokens.verify(body.pop(name), host.accounts["ada"]) for name in ("access_token", "id_token")]
    assert [token.scope for token in made] == ["account", "account"]
    assert body == {}


def test_or_turns_it_away(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    assert ada("login", "--deny", "WDJB-MJHT").out == "Login with code WDJB-MJHT denied.\n"
    assert host.requests[-1].body == {"user_code": "WDJB-MJHT", "allow": False}


def test_a_code_that_the_host_does_not_know(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["rest"] = 404, {"error": "no such code", "message": "no such code"}
    assert ada("login", "--approve", "X").err == "Error: approval failed: no such code\n"
    assert ada("login", "--approve", "X", "--deny", "X").err.startswith("Error: give either")


def test_without_the_key_nobody_approves(ada: Callable[..., Any], folder: Path) -> None:
    (folder / "owner.key").unlink()
    assert ada("login", "--approve", "X").err.startswith(f"Error: no owner key at {folder / 'owner.key'}")
