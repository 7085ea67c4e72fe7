"""Whose key it is, is not the host's to say: a host that shows another account's key gets nothing encrypted to it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from blindsight.cape import envelope
from blindsight_cli.cape.context import mint_login
from tests.support.fake_cape_host import PCRS, owner_key, rsa_key, running_cape_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost

ATTACKER = owner_key("attacker").public_key().public_bytes_raw()
ATTACKERS_KEY = rsa_key("attacker")
ATTACKERS_DER = ATTACKERS_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(owner: bytes) -> str:
    return f"SHA256:{base64.b64encode(hashlib.sha256(owner).digest()).decode().rstrip('=')}"


@pytest.fixture
def folder(home: Path) -> Path:
    return home / ".config" / "cape"


def swapped(stated: dict[str, Any]) -> dict[str, Any]:
    """The host has put the attacker's account of the same name into the place of the real one."""
    return {**stated, "key": ATTACKERS_DER, "owner": ATTACKER}


def anothers(stated: dict[str, Any]) -> dict[str, Any]:
    """The attacker's account, under its own name."""
    return {"key": ATTACKERS_DER, "owner": ATTACKER, "username": "mallory"}


def same_owner(stated: dict[str, Any]) -> dict[str, Any]:
    """Another account of the same owner."""
    return {**stated, "key": ATTACKERS_DER, "username": "second"}


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The attacker's key, in a document that does not say whose it is."""

    def downgraded(stated: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in swapped(stated).items() if name not in names}

    return downgraded


def malformed(owner: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda stated: {**swapped(stated), "owner": owner}


ATTACKS = {
    "the attacker's account of that name": swapped,
    "another account": anothers,
    "another account of the same owner": same_owner,
    "no owner": without("owner"),
    "no username": without("username"),
    "neither": without("owner", "username"),
    "an owner that is no key": malformed(b"short"),
    "an owner that is not base64": malformed("!"),
    "an empty owner": malformed(b""),
}


def refused(outcome: Any) -> str:
    """The one line with which a command was refused; nothing went out."""
    assert outcome.out == ""
    assert outcome.status == 1
    [line] = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in outcome.err
    return line


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_nothing_of_mine_is_encrypted_to_anothers_key(attack: Any, ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["key data"] = attack
    for name in ((), ("--username", "ada"), ("--username", "ADA")):
        refused(ada("encrypt", "secret", *name))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
@pytest.mark.parametrize("kept", [True, False], ids=["kept key", "fetched key"])
def test_no_function_of_mine_either(
    kept: bool, attack: Any, ada: Callable[..., Any], host: FakeCapeHost, echo: Path
) -> None:
    """A kept key does not help such a host: the upload's own evidence has to name the account's owner."""
    key_file = echo.parent / "home" / ".config" / "cape" / "capekey.pub.der"
    mine = key_file.read_bytes()
    host.faults["key data"] = attack
    if not kept:
        key_file.unlink()
    before = len(host.functions)
    refused(ada("deploy", str(echo)))
    assert len(host.functions) == before
    if kept:
        assert key_file.read_bytes() == mine
        return
    refused(ada("key"))
    assert not key_file.exists()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_a_host_that_is_hostile_from_the_start(
    attack: Any, cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    """The key at the signup has to be of the owner key that was made for it."""
    host.faults["key data"] = attack
    for argv in (("signup", "ada"), ("login", "--username", "ada")):
        outcome = cape(*argv)
        assert outcome.status == 1
        assert "Congratulations" not in outcome.out
        assert not (folder / "capekey.pub.der").exists()


def test_the_error_has_both_owners_and_what_to_do(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    host.faults["key data"] = swapped
    line = refused(ada("encrypt", "secret"))
    assert fingerprint(ATTACKER) in line
    assert fingerprint(host.accounts["ada"]) in line
    assert "--owner" not in line  # There is no other owner of the own account to accept.
    assert refused(ada("encrypt", "secret", "--owner", fingerprint(ATTACKER)))
    assert "owner_mismatch: " in ada("encrypt", "secret", "-v").err


# Other people's keys: the first owner that is seen is the one.


def test_anothers_owner_is_kept_from_the_first_use_on(
    ada: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    bob = host.key_data("bob")["owner"]
    outcome = ada("encrypt", "hello", "--username", "bob")
    assert envelope.decrypt(host.cape_key("bob"), outcome.out.encode()) == b"hello"
    assert fingerprint(bob) in outcome.err
    assert "Error" not in outcome.err
    assert ada("encrypt", "hello", "--username", "Bob").err == ""
    host.faults["key data"] = swapped
    line = refused(ada("encrypt", "secret", "--username", "bob"))
    assert fingerprint(bob) in line
    assert f"--owner {fingerprint(ATTACKER)}" in line
    refused(ada("encrypt", "secret", "--username", "BOB"))
    file = folder / "owners.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert fingerprint(bob) in file.read_text()


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "the attacker's account of that name"])
def test_a_key_without_an_owner_is_refused_at_the_first_use_too(
    attack: str, cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    host.faults["key data"] = ATTACKS[attack]
    refused(cape("encrypt", "secret", "--username", "bob"))
    assert not (folder / "owners.json").exists()


def test_a_new_owner_is_accepted_by_its_fingerprint(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    assert ada("encrypt", "hello", "--username", "bob").status == 0
    host.faults["key data"] = swapped
    others = fingerprint(owner_key("stranger").public_key().public_bytes_raw())
    line = refused(ada("encrypt", "secret", "--username", "bob", "--owner", others))
    assert others in line
    assert fingerprint(ATTACKER) in line
    for text in ("x", "SHA256:", "SHA256:x", fingerprint(ATTACKER).lower(), f"{fingerprint(ATTACKER)}="):
        assert "--owner" in refused(ada("encrypt", "secret", "--username", "bob", "--owner", text))
    refused(ada("encrypt", "secret", "--username", "bob"))
    accepted = ada("encrypt", "hello", "--username", "bob", "--owner", fingerprint(ATTACKER))
    assert envelope.decrypt(ATTACKERS_KEY, accepted.out.encode()) == b"hello"
    assert ada("encrypt", "hello", "--username", "bob").status == 0
    host.faults.clear()
    refused(ada("encrypt", "secret", "--username", "bob"))


def test_the_first_use_may_be_told_whom_to_expect(cape: Callable[..., Any], host: FakeCapeHost) -> None:
    bob = fingerprint(host.key_data("bob")["owner"])
    host.faults["key data"] = swapped
    refused(cape("encrypt", "secret", "--username", "bob", "--owner", bob))
    host.faults.clear()
    outcome = cape("encrypt", "hello", "--username", "bob", "--owner", bob)
    assert envelope.decrypt(host.cape_key("bob"), outcome.out.encode()) == b"hello"


SPELLINGS = [
    "http://127.0.0.1:{port}/", "ws://127.0.0.1:{port}", "http://localhost:{port}", "http://LOCALHOST:{port}//",
    "ws://127.0.0.1:{port}///",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_host_is_the_same_however_it_is_spelled(spelling: str, cape: Callable[..., Any], host: FakeCapeHost) -> None:
    assert cape("encrypt", "hello", "--username", "bob").status == 0
    host.faults["key data"] = swapped
    assert fingerprint(ATTACKER) in refused(
        cape("encrypt", "secret", "--username", "bob", "-u", spelling.format(port=host.port))
    )


def test_another_port_of_the_host_does_not_change_whose_key_it_is(
    cape: Callable[..., Any], host: FakeCapeHost, tmp_path: Path
) -> None:
    assert cape("encrypt", "hello", "--username", "bob").status == 0
    with running_cape_host(tmp_path / "elsewhere") as other:
        argv = ("encrypt", "hello", "--username", "bob", "-u", other.url, "--root", str(other.root))
        line = refused(cape(*argv))
        theirs = fingerprint(other.key_data("bob")["owner"])
        assert f"--owner {theirs}" in line
        assert cape(*argv, "--owner", theirs).status == 0
        assert cape(*argv).status == 0
    assert cape("encrypt", "hello", "--username", "bob").status == 0


# Tokens say whose they are, too.


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_a_token_of_anothers_gets_its_owners_key_or_none(
    attack: Any, ada: Callable[..., Any], host: FakeCapeHost
) -> None:
    """Without any pin: who signed the token is the owner."""
    bob = owner_key("bob")
    host.accounts["bob"] = bob.public_key().public_bytes_raw()
    token = mint_login(bob, "bob")
    host.faults["key data"] = attack
    refused(ada("key", "-t", token))


def test_a_device_without_the_owner_key_knows_its_owner_from_its_login(
    cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    owner = owner_key("ada elsewhere")
    host.accounts["ada"] = owner.public_key().public_bytes_raw()
    token = mint_login(owner, "ada")
    host.device_answers.append({"access_token": token, "id_token": token, "token_type": "Bearer"})
    host.faults["refusal"] = 503, "busy"
    outcome = cape("login", "--yes")  # The key could not be had; who signed the login is known all the same.
    assert outcome.status == 0
    assert fingerprint(host.accounts["ada"]) in (folder / "owners.json").read_text()
    del host.faults["refusal"]
    host.faults["key data"] = swapped
    refused(cape("encrypt", "secret"))
    host.faults.clear()
    outcome = cape("encrypt", "hello")
    assert envelope.decrypt(host.cape_key("ada"), outcome.out.encode()) == b"hello"


# What is shown, and what is kept.


def test_owners_are_shown_where_they_are_compared(ada: Callable[..., Any], host: FakeCapeHost) -> None:
    mine = fingerprint(host.accounts["ada"])
    for argv in (("login",), ("key",), ("login", "--approve", "WDJB-MJHT", "--yes")):
        outcome = ada(*argv)
        assert outcome.status == 0
        assert f"{mine}\n" in outcome.err


def test_the_kept_key_is_its_owners(ada: Callable[..., Any], host: FakeCapeHost, folder: Path) -> None:
    """Another owner key, and the Cape Key that was kept for the old one counts no more."""
    key = owner_key("new")
    host.accounts["ada"] = key.public_key().public_bytes_raw()
    old = load_pem_private_key((folder / "owner.key").read_bytes(), None)
    assert old.public_key().public_bytes_raw() != host.accounts["ada"]
    (folder / "owner.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    access = mint_login(key, "ada")
    host.sockets.clear()
    assert ada("key", "-t", access).status == 0
    assert host.sockets == ["/v1/key"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"localhost": 5}', b'{"localhost": {"bob": 5}}', b"\xff"])
def test_a_damaged_file_is_no_first_use(
    content: bytes, cape: Callable[..., Any], host: FakeCapeHost, folder: Path
) -> None:
    assert cape("encrypt", "hello", "--username", "bob").status == 0
    (folder / "owners.json").write_bytes(content)
    host.faults["key data"] = swapped
    line = refused(cape("encrypt", "secret", "--username", "bob"))
    assert str(folder / "owners.json") in line
    assert (folder / "owners.json").read_bytes() == content


def test_an_owner_that_cannot_be_kept_is_not_relied_on(
    cape: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CAPE_LOCAL_CONFIG_DIR", str(tmp_path / "file" / "folder"))
    assert "owners.json" in refused(cape("encrypt", "secret", "--username", "bob"))


def test_measurements_are_checked_before_whose_key_it_is(cape: Callable[..., Any], folder: Path) -> None:
    """An enclave of any code could state any owner."""
    argv = ("encrypt", "secret", "--username", "bob")
    assert "does not match [ab]" in refused(cape(*argv, "-p", "1:ab"))
    assert not (folder / "owners.json").exists()
    assert cape(*argv, "-p", f"1:{PCRS[1].hex()}").status == 0


def test_processes_do_not_forget_each_others_owners(host: FakeCapeHost, folder: Path, home: Path) -> None:
    """Several first uses at once, of several people and of one."""
    names = [f"user-{number % 4}" for number in range(8)]
    variables = {**os.environ, "CAPE_ENCLAVE_HOST": host.url, "CAPE_ATTESTATION_ROOT": str(host.root)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "blindsight_cli.cape.main", "encrypt", "hello", "--username", name],
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    [kept] = json.loads((folder / "owners.json").read_bytes()).values()
    assert kept == {name: fingerprint(host.key_data(name)["owner"]) for name in set(names)}
