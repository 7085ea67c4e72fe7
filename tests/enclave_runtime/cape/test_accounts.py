"""Account records: only this enclave opens them, unchanged and in order; and who may do what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from blindsight.cape import envelope, ids
from enclave_runtime.cape import accounts
from enclave_runtime.cape.accounts import Account, AccountVault, FunctionEntry
from enclave_runtime.cape.rootsecret import RootSecret
from tests.support.cape_front import Owner, owner
from tests.support.fake_cape_host import rsa_key
from tests.support.refusals import refused

if TYPE_CHECKING:
    from typing import Any

ROOT = RootSecret(b"\x05" * 32)
ADA, BOB = owner("ada"), owner("bob")
PRIVATE, PUBLIC, OTHER = ids.new(), ids.new(), ids.new()
NOW = 1_800_000_000.0


def der(name: str) -> bytes:
    key = rsa_key(name)
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def account(who: Owner = ADA, **changes: Any) -> Account:
    functions = {
        PRIVATE: FunctionEntry("private", b"\x01" * 32, public=False),
        PUBLIC: FunctionEntry("public", b"\x02" * 32, public=True),
    }
    made = Account(who.username, who.public, der(who.username), functions=functions, revoked={ids.new(): None})
    return replace(made, **changes)


@pytest.fixture
def vault() -> AccountVault:
    return AccountVault(ROOT)


def test_a_record_opens_to_what_was_sealed(vault: AccountVault):
    ada = account(version=3, revoked={ids.new(): 5, ids.new(): None})
    record = vault.seal(ada)
    assert vault.open(record) == ada
    assert AccountVault(RootSecret(b"\x05" * 32)).open(record) == ada
    assert vault.seal(ada) != record


def test_a_record_shows_nothing(vault: AccountVault):
    ada = account()
    record = vault.seal(ada)
    for secret in (b"ada", ada.cape_key[100:116], ADA.public[:16], b"private", PRIVATE.encode()):
        assert secret not in record
    assert ada.cape_key.hex()[40:60] not in repr(ada)
    assert "cape_key" not in repr(ada)


def test_no_byte_of_a_record_can_be_changed(vault: AccountVault):
    record = vault.seal(account())
    for place in range(len(record)):
        changed = bytearray(record)
        changed[place] ^= 1
        with refused("damaged_record"):
            vault.open(bytes(changed))


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 13, 28, -1])
def test_a_cut_record_is_damaged(vault: AccountVault, cut: int):
    with refused("damaged_record"):
        vault.open(vault.seal(account())[:cut])


def test_a_longer_record_is_damaged(vault: AccountVault):
    record = vault.seal(account())
    for changed in (record + b"\0", b"\0" + record, record + record):
        with refused("damaged_record"):
            vault.open(changed)


def test_another_enclaves_record_is_damaged(vault: AccountVault):
    with refused("damaged_record"):
        AccountVault(RootSecret(b"\x06" * 32)).open(vault.seal(account()))


def test_an_older_record_than_a_committed_one_is_stale(vault: AccountVault):
    old, new, newer = (vault.seal(account(version=version)) for version in (1, 2, 3))
    assert vault.open(old).version == 1
    vault.commit(new)
    with refused("stale_record"):
        vault.open(old)
    with refused("stale_record"):
        vault.commit(old)
    assert vault.open(new).version == 2
    assert vault.open(newer).version == 3
    assert vault.open(vault.seal(account(BOB, version=1))).username == "bob"
    # What was only shown could be a change that lost a race: the one that is stored counts.
    assert vault.open(new).version == 2


def test_only_a_record_can_be_committed(vault: AccountVault):
    with refused("damaged_record"):
        vault.commit(b"")


def test_an_account_is_not_begun_anew(vault: AccountVault):
    """By a host that has seen a token of the owner's, and wants a record without what was revoked."""
    vault.check_new("ada", ADA.public)
    vault.commit(vault.seal(account()))
    for username in ("ada", "ADA"):
        with refused("refused"):
            vault.check_new(username, ADA.public)
    vault.check_new("ada", BOB.public)
    vault.check_new("ada2", ADA.public)


def test_accounts_of_one_owner_are_counted_apart(vault: AccountVault):
    vault.commit(vault.seal(account(version=7)))
    assert vault.open(vault.seal(account(username="ada2", version=1))).username == "ada2"
    with refused("stale_record"):
        vault.open(vault.seal(account(username="Ada", version=1)))


def test_the_cape_key_is_the_accounts_own_and_kept(vault: AccountVault, monkeypatch: pytest.MonkeyPatch):
    ada, bob = account(), account(BOB)
    assert vault.cape_key(ada).private_numbers() == rsa_key("ada").private_numbers()
    value = envelope.encrypt(vault.cape_key(ada).public_key(), b"plaintext")
    assert envelope.decrypt(vault.cape_key(ada), value) == b"plaintext"
    with refused("cannot_decrypt"):
        envelope.decrypt(vault.cape_key(bob), value)
    monkeypatch.setattr(accounts, "_KEPT_KEYS", 1)
    small = AccountVault(ROOT)
    kept = small.cape_key(ada)
    assert small.cape_key(ada) is kept
    small.cape_key(bob)
    assert small.cape_key(ada) is not kept


def test_a_deployment_uses_its_token_up():
    token_id = ids.new()
    token = account().verify(
        ADA.token("deploy", token_id=token_id, func_checksum="ab" * 32, function_name="new", public=False), "deploy"
    )
    new = ids.new()
    entry = FunctionEntry("new", b"\xab" * 32, public=False)
    changed = account().with_function(new, entry, token, now=NOW)
    assert changed.functions[new] == entry
    assert changed.functions.keys() > {PRIVATE, PUBLIC}
    assert changed.version == 2
    assert token.expires is not None
    assert changed.revoked[token_id] == int(token.expires.timestamp())
    gone = changed.without_function(new)
    assert (gone.functions.keys(), gone.version) == ({PRIVATE, PUBLIC}, 3)
    assert token_id in gone.revoked


def test_what_is_not_there_cannot_be_deleted():
    with refused("unknown_function"):
        account().without_function(OTHER)


def test_an_account_has_only_so_many_functions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accounts, "_MAX_FUNCTIONS", 2)
    token = account().verify(ADA.token("deploy"), "deploy")
    with refused("too_large"):
        account().with_function(ids.new(), FunctionEntry("x", bytes(32), public=False), token, now=NOW)


def test_revoked_tokens_are_kept_until_they_expire(monkeypatch: pytest.MonkeyPatch):
    past, future, never, new = ids.new(), ids.new(), ids.new(), ids.new()
    before = account(revoked={past: int(NOW) - 1, future: int(NOW) + 1, never: None})
    after = before.with_revoked(new, int(NOW) + 9, now=NOW)
    assert after.revoked == {future: int(NOW) + 1, never: None, new: int(NOW) + 9}
    assert after.version == before.version + 1
    monkeypatch.setattr(accounts, "_MAX_REVOKED", 2)
    with refused("too_large"):
        before.with_revoked(new, None, now=NOW)
    # What has expired makes room.
    assert set(before.with_revoked(new, None, now=NOW + 2).revoked) == {never, new}


@pytest.mark.parametrize("token_id", ["", "short", "x" * 22, "0" * 22])
def test_only_a_tokens_id_can_be_revoked(token_id: str):
    with refused("token_invalid"):
        account().with_revoked(token_id, None, now=NOW)


@pytest.mark.parametrize("scope", ["run", "account", "deploy"])
@pytest.mark.parametrize("wanted", ["run", "account", "deploy"])
def test_a_token_is_good_for_its_scope_only(scope: Any, wanted: Any):
    if scope == wanted:
        assert account().verify(ADA.token(scope), wanted).scope == scope
    else:
        with refused("forbidden"):
            account().verify(ADA.token(scope), wanted)


def test_a_token_must_be_its_owners_and_valid():
    token_id = ids.new()
    assert account().verify(ADA.token(token_id=token_id), "account").id == token_id
    with refused("token_revoked"):
        account(revoked={token_id: None}).verify(ADA.token(token_id=token_id), "account")
    for wrong, code in (
        (BOB.token(), "token_invalid"),
        (BOB.token(username="ada"), "token_invalid"),
        (ADA.token(username="bob"), "token_invalid"),
        (ADA.token(lifetime=timedelta(seconds=-1)), "token_expired"),
        (ADA.token(now=datetime.now(UTC) + timedelta(minutes=5)), "token_invalid"),
        (ADA.token()[:-2], "token_invalid"),
        ("", "token_invalid"),
    ):
        with refused(code):
            account().verify(wrong, "account", "run", "deploy")


def test_a_name_is_its_owners_whatever_its_case():
    assert account().verify(ADA.token(username="Ada"), "account").username == "Ada"


CASES: list[tuple[str, Owner, dict[str, Any], str, str | None]] = [
    ("own private", ADA, {"scope": "run"}, PRIVATE, None),
    ("own public", ADA, {"scope": "run"}, PUBLIC, None),
    ("own, with the login", ADA, {"scope": "account"}, PRIVATE, None),
    ("own, scoped to it", ADA, {"scope": "run", "function_id": PRIVATE}, PRIVATE, None),
    ("own, scoped to another", ADA, {"scope": "run", "function_id": PUBLIC}, PRIVATE, "forbidden"),
    ("own, login scoped to another", ADA, {"scope": "account", "function_id": PUBLIC}, PRIVATE, "forbidden"),
    ("own, a deploy token", ADA, {"scope": "deploy"}, PRIVATE, "forbidden"),
    ("own, expired", ADA, {"scope": "run", "lifetime": timedelta(seconds=-1)}, PRIVATE, "token_expired"),
    ("own, not in the record", ADA, {"scope": "run"}, OTHER, "unknown_function"),
    ("another's private", BOB, {"scope": "run"}, PRIVATE, "forbidden"),
    ("another's public", BOB, {"scope": "run"}, PUBLIC, None),
    ("another's public, scoped to it", BOB, {"scope": "run", "function_id": PUBLIC}, PUBLIC, None),
    ("another's public, scoped to another", BOB, {"scope": "run", "function_id": OTHER}, PUBLIC, "forbidden"),
    ("another's private, scoped to it", BOB, {"scope": "run", "function_id": PRIVATE}, PRIVATE, "forbidden"),
    ("another's, not in the record", BOB, {"scope": "run"}, OTHER, "unknown_function"),
]


@pytest.mark.parametrize(
    ("caller", "token", "function_id", "code"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_who_may_run_what(caller: Owner, token: dict[str, Any], function_id: str, code: str | None):
    minted = caller.token(**token)
    if code is None:
        entry = accounts.may_run(account(caller, functions={}), minted, account(), function_id)
        assert entry == account().functions[function_id]
    else:
        with refused(code):
            accounts.may_run(account(caller, functions={}), minted, account(), function_id)


def test_anothers_token_is_not_proven_by_the_owners_record():
    """Whatever record the host shows as the caller's."""
    with refused("token_invalid"):
        accounts.may_run(account(), BOB.token("run"), account(), PRIVATE)


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What keys were asked for: exponent and bits. Making one takes seconds."""
    asked: list[tuple[int, int]] = []
    key = rsa_key("quick")

    def make(exponent: int, bits: int) -> rsa.RSAPrivateKey:
        asked.append((exponent, bits))
        return key

    monkeypatch.setattr(rsa, "generate_private_key", make)
    return asked


def test_an_account_is_made_for_who_has_the_key(quick_keys: list[tuple[int, int]]):
    made = accounts.create("ada", ADA.public, ADA.token())
    assert (made.username, made.owner_public_key, made.version) == ("ada", ADA.public, 1)
    assert (dict(made.functions), dict(made.revoked)) == ({}, {})
    assert made.cape_key == der("quick")
    assert quick_keys == [(65537, 4096)]


@pytest.mark.parametrize(
    ("username", "public", "proof", "code"),
    [
        ("-ada", ADA.public, ADA.token(), "bad_name"),
        ("", ADA.public, ADA.token(), "bad_name"),
        ("a" * 40, ADA.public, ADA.token(), "bad_name"),
        ("ada\n", ADA.public, ADA.token(), "bad_name"),
        ("ada", BOB.public, ADA.token(), "token_invalid"),
        ("ada", ADA.public[:31], ADA.token(), "token_invalid"),
        ("ada", b"", ADA.token(), "token_invalid"),
        ("ada", ADA.public, "", "token_invalid"),
        ("ada", ADA.public, ADA.token("run"), "token_invalid"),
        ("ada", ADA.public, ADA.token("deploy"), "token_invalid"),
        ("ada", ADA.public, ADA.token(username="eve"), "token_invalid"),
        ("Ada", ADA.public, ADA.token(), "token_invalid"),
        ("ada", ADA.public, ADA.token(lifetime=timedelta(seconds=-1)), "token_expired"),
    ],
    ids=[
        "hyphen", "no name", "long name", "line feed", "another's key", "short key", "no key", "no token", "run",
        "deploy", "another's name", "another case", "expired",
    ],
)  # fmt: skip
def test_no_account_without_proof(
    quick_keys: list[tuple[int, int]], username: str, public: bytes, proof: str, code: str
):
    with refused(code):
        accounts.create(username, public, proof)
    assert quick_keys == []


@pytest.mark.parametrize("name", ["echo", "a", "A.b-c_9", "x" * 100])
def test_a_functions_name(name: str):
    accounts.check_function_name(name)


@pytest.mark.parametrize("name", ["", "x" * 101, "a/b", "a b", "ä", "a\n", "\0"])
def test_what_is_no_functions_name(name: str):
    with refused("bad_bundle"):
        accounts.check_function_name(name)
