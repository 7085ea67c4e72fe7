"""The host as the enemy, as in `test_hostile_host`: old and damaged stores, code of its choice, others' tokens."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import ids, tokens
from tests.support.cape_front import owner
from tests.support.cape_guest import ECHO, Guest, enveloped, hands_of, query, zipped
from tests.support.hostile import CANARY, CODE_CANARY, GREEDY, PRIVATE, World, found, on_disk, told
from tests.support.processes import Server
from tests.support.refusals import refused

if TYPE_CHECKING:
    from tests.support.cape_front import Owner


pytestmark = pytest.mark.usefixtures("nothing_seen")


# (e) Old and damaged stores, while the enclave runs on.


def test_a_rolled_back_store_gives_a_revoked_token_nothing(world: World) -> None:
    token_id = ids.new()
    token = world.ada.token("run", token_id=token_id, lifetime=None)
    body = {"name": "leaked", "token": token}
    assert world.ada.host.rest("POST", "/v1/token", token=world.ada.token(), body=body).status_code == 201
    old, old_record = world.copy("old"), world.record("ada")
    assert world.ada.host.rest("DELETE", f"/v1/token/{token_id}", token=world.ada.token()).status_code == 200
    newest = world.record("ada")
    with told(world, "revoked"):
        world.ada.run(world.functions["private"], world.ciphertext, token=token)
    with refused("token_revoked"):
        world.run("private", token)
    as_caller, as_owner = {"record": old_record}, {"owner_record": old_record}
    for shown in (as_caller, as_owner, as_caller | as_owner):
        with refused("stale_record", "token_revoked"):
            world.run("private", token, **shown)
    world.restart(lambda: world.put_back(old))
    with told(world, "old state"):
        world.ada.run(world.functions["private"], world.ciphertext, token=token)
    keep_newest(world, newest)


def test_a_rolled_back_store_brings_no_deleted_function_back(world: World) -> None:
    function_id = world.ada.deploy("deleted", PRIVATE)
    old, old_record = world.copy("old"), world.record("ada")
    world.ada.delete(function_id)
    newest = world.record("ada")
    with refused("unknown_function"):
        world.run("private", world.ada.token("run"), function_id=function_id)
    with refused("stale_record"):
        world.run("private", world.ada.token("run"), function_id=function_id, owner_record=old_record)
    world.restart(lambda: world.put_back(old))
    for attempt in (
        lambda: world.ada.run(function_id, world.ciphertext),
        lambda: world.ada.run(world.functions["private"], world.ciphertext),
    ):
        with told(world, "old state"):
            attempt()
    keep_newest(world, newest)
    with told(world, "no such function"):
        world.ada.run(function_id, world.ciphertext)


def keep_newest(world: World, record: bytes) -> None:
    query(world.database, "UPDATE accounts SET record = ? WHERE username = 'ada'", record)


def test_a_damaged_record_is_no_record(world: World) -> None:
    record = world.record("ada")
    for damaged in (record[:-1], record[:40], b"", record + b"\0", bytes([record[0] ^ 1]) + record[1:]):
        for shown in ({"record": damaged}, {"owner_record": damaged}):
            with refused("damaged_record"):
                world.run("private", world.ada.token("run"), **shown)

    def cut() -> None:
        query(world.database, "UPDATE accounts SET record = ? WHERE username = 'ada'", record[:-1])

    with world.tampered(cut), told(world, "damaged"):
        world.ada.run(world.functions["private"], world.ciphertext)


def test_a_damaged_bundle_is_not_run(world: World) -> None:
    function_id = world.ada.deploy("damaged", zipped(ECHO + "# damaged\n"))
    whole = (world.bundles / function_id).read_bytes()
    token = world.ada.token("run")
    for damaged in (whole[:-1], whole[:600], whole[:3], b"", whole[:-40] + b"\0" + whole[-39:]):
        with refused("cannot_decrypt"):
            world.run("private", token, function_id=function_id, bundle=damaged or b"\0")

    def cut() -> None:
        (world.bundles / function_id).write_bytes(whole[:-1])

    with world.tampered(cut), told(world, "cannot be decrypted"):
        world.ada.run(function_id, world.ciphertext)
    with world.tampered((world.bundles / function_id).unlink), told(world, "no such function"):
        world.ada.run(function_id, world.ciphertext)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_cut_store_is_not_served(world: World, share: float) -> None:
    copy = world.copy("cut")
    file = copy / "cape.sqlite"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    settings = {"policy": world.stack.policy_file, "database": f"sqlite:///{file}", "bundles": copy / "bundles"}
    gateway = Server(["gateway"], world.stack.folder / f"cut-{share}", {"port": 0, "metrics_port": 0, **settings})
    assert gateway.process.wait(60) == 1
    (line,) = gateway.log().splitlines()
    assert line.startswith(
        "gateway: the store cannot be opened or upgraded: DatabaseError: database disk image is malformed."
    )
    assert "restore a backup" in line


# (f) and (g): code of the host's choice.


@pytest.mark.parametrize("scope", ["run", "account"])
def test_captured_tokens_deploy_nothing(world: World, scope: Any) -> None:
    token, record = world.ada.token(scope), world.record("ada")
    with refused("forbidden"):
        world.hands.deploy("greedy", enveloped(world.ada.key(), GREEDY), token=token, record=record)
    with refused("forbidden"):
        world.hands.call("add_function", record=record, token=token)
    with refused("forbidden"):
        world.hands.call("grant", record=record, token=token)


def test_a_captured_deploy_token_deploys_no_other_code(world: World) -> None:
    """Even if the host answers for the enclave, and stores what it likes."""
    token, record = world.ada.deploy_token(PRIVATE, "mine"), world.record("ada")
    upload = enveloped(world.ada.key(), GREEDY)
    with refused("checksum_mismatch"):
        world.hands.deploy("mine", upload, token=token, record=record)
    with refused("checksum_mismatch"):
        world.hands.deploy("mine", upload, public=True, token=token, record=record)
    added = world.hands.call("add_function", record=record, token=token)
    with refused("checksum_mismatch"):
        world.run(
            "private", world.ada.token("run"), function_id=added["id"], owner_record=added["record"], bundle=upload
        )


def test_one_functions_bundle_is_not_run_as_another(world: World) -> None:
    one, two = world.ada.deploy("one", zipped(ECHO + "# one\n")), world.ada.deploy("two", zipped(ECHO + "# two\n"))

    def swap() -> None:
        first, second = world.bundles / one, world.bundles / two
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)

    with world.tampered(swap):
        for function_id in (one, two):
            with told(world, "not the one that was deployed"):
                world.ada.run(function_id, world.ciphertext)
    assert world.ada.run(one, b"as before") == b"as before"


# (i) Who may not run it.


def outsiders(world: World) -> dict[str, tuple[Guest, str, str, tuple[str, str]]]:
    """By case: who, with which token, which function, and the refusal's code and words."""
    ada, bob = world.ada, world.bob
    return {
        "another account": (bob, bob.token("run"), "private", ("forbidden", "403")),
        "another account's login": (bob, bob.token(), "private", ("forbidden", "403")),
        "another account, scoped to it": (
            bob, bob.token("run", function_id=world.functions["private"]), "private", ("forbidden", "403"),
        ),
        "scoped to another": (
            ada, ada.token("run", function_id=world.functions["other"]), "private", ("forbidden", "403"),
        ),
        "expired": (
            ada, ada.token("run", lifetime=timedelta(seconds=-1)), "private", ("token_expired", "token is expired"),
        ),
        "a deploy token": (ada, ada.deploy_token(PRIVATE, "private"), "private", ("forbidden", "403")),
    }  # fmt: skip


OUTSIDERS = [
    "another account", "another account's login", "another account, scoped to it", "scoped to another", "expired",
    "a deploy token",
]  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDERS)
def test_who_may_not_run_a_function_does_not(world: World, case: str) -> None:
    assert set(outsiders(world)) == set(OUTSIDERS)
    guest, token, name, (code, words) = outsiders(world)[case]
    with refused(code):
        world.run(name, token, caller=guest.username)
    with told(world, words, code):
        guest.run(world.functions[name], world.ciphertext, token=token)


# (j) The classifier.


def test_the_classifier_decrypts_for_nobody_whose_owner_did_not_sign_for_it(world: World) -> None:
    checksum = world.stack.measured.function_checksum
    hosts: Owner = owner("ada")
    forged = hosts.token("deploy", func_checksum=checksum, function_name="classifier", public=False)
    for token, code in (
        (world.ada.deploy_token(PRIVATE, "classifier"), "checksum_mismatch"),
        (forged, "token_invalid"),
        (world.bob.token("deploy", func_checksum=checksum, function_name="classifier", public=False), "token_invalid"),
    ):
        with refused(code):
            world.hands.call("grant", record=world.record("ada"), token=token)
    answer = world.stack.gateway.client.post(
        "/classify", content=world.ciphertext, headers={"content-type": "text/plain"}
    )
    world.heard.append(answer.text)
    assert (answer.status_code, answer.json()["code"]) == (422, "cannot_decrypt")
    # Granted to bob, it opens bob's and not hers.
    granted = world.bob.token("deploy", func_checksum=checksum, function_name="classifier", public=False)
    world.hands.call("grant", record=world.record("bob"), token=granted)
    for value, code in ((world.ciphertext, "cannot_decrypt"), (world.bob.encrypt(b"no image"), "not_an_image")):
        answer = world.stack.gateway.client.post("/classify", json={"ciphertext": value.decode()})
        world.heard.append(answer.text)
        assert (answer.status_code, answer.json()["code"]) == (CATALOGUED[code], code)


CATALOGUED = {"cannot_decrypt": 422, "not_an_image": 422}


# And the search itself.


def test_the_search_finds_what_ada_is_answered(world: World) -> None:
    """Cape seals inputs, not results: who carries them to the owner reads them."""
    hands = hands_of(world.stack)
    outputs = hands.run(
        [world.ciphertext], world.bundle("private"), token=world.ada.token("run"), record=world.record("ada"),
        owner_record=world.record("ada"), function_id=world.functions["private"],
    )  # fmt: skip
    assert outputs == [CANARY]
    assert found(bytes(hands.seen)) == [CANARY, CANARY]
    assert found(b"x" + base64.b64encode(b"yy" + CODE_CANARY + b"z")) == [CODE_CANARY]
    assert not found(on_disk(world))
    assert tokens.peek(world.ada.token()).username == "ada"
