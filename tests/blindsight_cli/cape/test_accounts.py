"""Signing up and logging in: the owner key, the login, the cached Cape Key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import tokens
from blindsight.cape.fingerprint import fingerprint
from tests.support.fake_cape_host import running_cape_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

DONE = "Congratulations, you're all set!\n"


@pytest.fixture
def folder(home: Path) -> Path:
    return home / ".config" / "cape"


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
    # One token for both: what revokes it leaves nothing behind.
    assert login["id_token"] == login["access_token"]
    assert access.claims["nickname"] == "ada"
    assert fingerprint(host.accounts["ada"]) in outcome.err


def test_a_second_time_the_key_stays(ada: Callable[..., Any], folder: Path) -> None:
    before = (folder / "owner.key").read_bytes()
    outcome = ada("signup", "ada")
    assert (outcome.status, outcome.out) == (0, DONE)
    line, exists = outcome.err.splitlines()
    assert line.startswith("Owner of ada ➜ SHA256:")
    assert exists == "The account ada exists already; this machine uses it."
    assert (folder / "owner.key").read_bytes() == before


def test_another_key_gets_another_name_only(ada: Callable[..., Any], folder: Path, host: FakeCapeHost) -> None:
    (folder / "owner.key").write_bytes(pem(Ed25519PrivateKey.generate()))
    outcome = ada("signup", "ada")
    assert (outcome.status, outcome.err) == (1, "Error: signup failed: this username is taken\n")
    switched = ada("signup", "bob")
    assert switched.status == 0
    assert "now uses the account bob; before, it used ada" in switched.err
    assert (folder / "capekey.pub.der").read_bytes() == host.cape_key_der("bob")


@pytest.mark.parametrize("content", [b"", b"no key", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_file_that_is_no_owner_key_is_neither_used_nor_replaced(
    content: bytes, cape: Callable[..., Any], folder: Path, host: FakeCapeHost
) -> None:
    folder.mkdir(parents=True)
    (folder / "owner.key").write_bytes(content)
    (folder / "owner.key").chmod(0o600)
    outcome = cape("signup", "ada")
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


def test_a_key_of_another_owner_is_not_kept(ada: Callable[..., Any], folder: Path, host: FakeCapeHost) -> None:
    """Which a host could show that has an account of the same name with an owner key of its own."""
    host.faults["owner"] = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    outcome = ada("login")
    assert "the owner of ada that the host shows has not signed the token of ada" in outcome.err
    assert not (folder / "capekey.pub.der").exists()


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
    outcome = cape("signup", "ada")
    assert (outcome.status, outcome.out, outcome.warned) == (1, "", False)
    remedy = "; if the stack is this machine's own, run `blindsight with-local-trust cape …`"
    assert outcome.err.endswith(f"Error: the evidence does not descend from the trusted root{remedy}\n")
    assert not (folder / "capekey.pub.der").exists()
