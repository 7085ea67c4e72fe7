"""The host as the enemy: it has every frame, file, record and token that it ever saw, and decrypts nothing with them.

Attacks are made by hand on the enclave's port, or by changing the gateway's files while it is stopped. What a client
gets from its own function passes the host in the open, as in Cape's protocol: the last test shows that the search would
find it there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.cape_front import owner
from tests.support.cape_guest import Guest, enveloped, query, zipped
from tests.support.hostile import GREEDY, PRIVATE, World, told
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("nothing_seen")


# (a) and (h): other accounts under ada's name.


def test_anothers_record_proves_no_token(world: World) -> None:
    with refused("token_invalid"):
        world.run("private", world.ada.token("run"), caller="bob")
    with refused("token_invalid"):
        world.hands.call("delete_function", record=world.record("bob"), token=world.ada.token(), function_id="x")
    with refused("unknown_function"):
        world.run("private", world.ada.token("run"), of="bob")


def test_anothers_record_under_adas_name_is_noticed(world: World) -> None:
    def swap() -> None:
        query(world.database, "UPDATE accounts SET record = ? WHERE username = 'ada'", world.record("bob"))

    with world.tampered(swap):
        with told(world, "the token is not valid"):
            world.ada.run(world.functions["private"], world.ciphertext)
        with told(world, "the token is not valid"):
            world.ada.key()
        with told(world, "the token is not valid"):
            world.ada.deploy("new", PRIVATE)
        with told(world, "another account"):
            world.bob.host.user_key("ada", world.bob.trust)


def test_a_second_account_of_that_name_opens_nothing_of_the_first(world: World) -> None:
    hosts = owner("ada")
    made = world.hands.call("create_account", username="ada", owner_public_key=hosts.public, proof=hosts.token())
    record = made["record"]
    # Its key is another, and evidence names its owner: a client that has compared ada's owner key sees it.
    document = world.hands.call("user_key", record=record)["document"]
    assert base64.b64encode(hosts.public) in document
    assert base64.b64encode(world.ada.owner.public) not in document
    with refused("token_invalid"):
        world.run("private", world.ada.token("run"), record=record)
    with refused("token_invalid"):
        world.run("private", hosts.token("run"))
    with refused("unknown_function"):
        world.run("private", hosts.token("run"), record=record, owner_record=record)
    with refused("forbidden"):
        world.run("private", hosts.token("run"), record=record)
    # It may run functions of its own; they decrypt what is for this account, and nothing of ada's.
    checksum = hashlib.sha256(GREEDY).hexdigest()
    token = hosts.token("deploy", func_checksum=checksum, function_name="own", public=False)
    added = world.hands.call("add_function", record=record, token=token)
    with world.hands.session(route="key", token=hosts.token(), record=record) as line:
        key = base64.b64decode(json.loads(line.document().user_data or b"")["key"])
    for bundle, code in ((enveloped(key, GREEDY), "cannot_decrypt"), (world.bundle("private"), "cannot_decrypt")):
        with refused(code):
            world.hands.run(
                [world.ciphertext], bundle, token=hosts.token("run"), record=added["record"],
                owner_record=added["record"], function_id=added["id"],
            )  # fmt: skip


def test_a_replaced_account_is_noticed_by_its_owner(world: World) -> None:
    hosts = owner("ada")
    made = world.hands.call("create_account", username="ada", owner_public_key=hosts.public, proof=hosts.token())

    def replace() -> None:
        statement = "UPDATE accounts SET record = ?, owner_public_key = ? WHERE username = 'ada'"
        query(world.database, statement, made["record"], world.ada.owner.public)

    with world.tampered(replace):
        for attempt in (world.ada.key, lambda: world.ada.deploy("new", PRIVATE)):
            with told(world, "the token is not valid"):
                attempt()


def test_an_account_cannot_be_begun_anew_to_forget_what_was_revoked(world: World) -> None:
    proof = world.ada.token()
    with refused("refused"):
        world.hands.call("create_account", username="ada", owner_public_key=world.ada.owner.public, proof=proof)


# (b) Tokens that were used, and tokens that were edited.


def test_a_used_deploy_token_is_used_up_also_after_a_deletion(world: World) -> None:
    token = world.ada.deploy_token(PRIVATE, "twice")
    function_id = world.ada.deploy("twice", PRIVATE, token=token)
    upload = (world.bundles / function_id).read_bytes()
    world.ada.delete(function_id)
    with refused("token_revoked"):
        world.hands.call("add_function", record=world.record("ada"), token=token)
    with refused("token_revoked"):
        world.hands.deploy("twice", upload, token=token, record=world.record("ada"))
    with told(world, "revoked"):
        world.ada.deploy("twice", PRIVATE, token=token)


def edited(guest: Guest, token: str) -> dict[str, str]:
    """The token, made into one for another bundle by an attacker without the key."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims |= {"func_checksum": hashlib.sha256(GREEDY).hexdigest(), "scope": claims["scope"]}
    coded = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    public = Ed25519PublicKey.from_public_bytes(guest.owner.public)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "payload": f"{head}.{coded}.{signature}",
        "no signature": f"{head}.{coded}.",
        "none": jwt.encode(claims, None, "none"),
        "another key": jwt.encode(claims, owner("ada").key, "EdDSA"),
        "HMAC with the public key": _hmac(claims, guest.owner.public),
        "HMAC with the public key in PEM": _hmac(claims, pem),
        "another signature": f"{head}.{coded}.{guest.token().rpartition('.')[2]}",
    }


def _hmac(claims: dict[str, Any], key: bytes) -> str:
    """By hand: the library refuses to make this very mistake."""
    import hmac

    head = {"alg": "HS256", "typ": "JWT"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, claims)]
    signature = hmac.digest(key, b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


KINDS = [
    "payload", "no signature", "none", "another key", "HMAC with the public key", "HMAC with the public key in PEM",
    "another signature",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_token_is_no_token(world: World, kind: str) -> None:
    assert set(edited(world.ada, world.ada.token())) == set(KINDS)
    record = world.record("ada")
    deploy = edited(world.ada, world.ada.deploy_token(PRIVATE, "edited"))[kind]
    with refused("token_invalid"):
        world.hands.call("add_function", record=record, token=deploy)
    with refused("token_invalid"):
        world.hands.deploy("edited", b"", token=deploy, record=record)
    for scope in ("run", "account"):
        token = edited(world.ada, world.ada.token(scope))[kind]
        with refused("token_invalid"):
            world.run("private", token)
    with refused("token_invalid"):
        world.hands.call("delete_function", record=record, token=token, function_id=world.functions["private"])
    with told(world, "the token is not valid"):
        world.ada.run(world.functions["private"], world.ciphertext, token=token)


# (c) What the database says of functions counts for nothing.


def test_a_function_that_is_said_to_be_anothers_is_not(world: World) -> None:
    function_id = world.functions["private"]

    def relabel() -> None:
        query(world.database, "UPDATE functions SET owner = 'bob', public = 1 WHERE id = ?", function_id)

    with world.tampered(relabel), told(world, "no such function"):
        world.bob.run(function_id, world.ciphertext)


def test_a_function_that_is_said_to_be_public_is_not(world: World) -> None:
    function_id = world.functions["private"]

    def publish() -> None:
        query(world.database, "UPDATE functions SET public = 1 WHERE id = ?", function_id)

    with world.tampered(publish), told(world, "its owner's alone"):
        world.bob.run(function_id, world.ciphertext)


def test_a_name_that_points_to_anothers_function_is_of_no_use(world: World) -> None:
    """Ada asks for her own function by name, and the host has bob's answer."""

    def redirect() -> None:
        statement = "UPDATE functions SET owner = 'ada', name = 'private', deployed_version = 99 WHERE id = ?"
        query(world.database, statement, world.functions["bobs public"])

    with world.tampered(redirect), told(world, "no such function"):
        world.ada.run("ada/private", world.ciphertext)


# (d) Ciphertexts of one account in functions of another, and in code that is not deployed.


@pytest.mark.parametrize("name", ["bobs", "bobs public"])
def test_adas_ciphertext_opens_in_none_of_bobs_functions(world: World, name: str) -> None:
    token = world.bob.token("run")
    with refused("cannot_decrypt"):
        world.run(name, token, caller="bob", of="bob")
    with told(world, "cannot be decrypted"):
        world.bob.run(world.functions[name], world.ciphertext)


def test_adas_ciphertext_opens_in_bobs_public_function_not_even_for_ada(world: World) -> None:
    with refused("cannot_decrypt"):
        world.run("bobs public", world.ada.token("run"), of="bob")
    # Nor does showing her record as the owner's help.
    with refused("unknown_function"):
        world.run("bobs public", world.ada.token("run"))


@pytest.mark.parametrize("scope", ["run", "account", "deploy"])
def test_adas_ciphertext_opens_in_no_undeployed_code(world: World, scope: Any) -> None:
    """Not even with a token that would deploy another bundle."""
    token = world.ada.deploy_token(PRIVATE, "new") if scope == "deploy" else world.ada.token(scope)
    with refused("forbidden"):
        world.hands.test(GREEDY, world.ciphertext, token=token, record=world.record("ada"))
    assert world.hands.test(GREEDY, b"open", token=token, record=world.record("ada")) == b"took open"


def test_a_token_for_one_function_runs_no_code_of_its_holders(world: World) -> None:
    """Who was given it for that function, and a host that saw it, would otherwise have the enclave for any code."""
    token = world.ada.token("run", function_id=world.functions["private"])
    with refused("forbidden"):
        world.hands.test(GREEDY, b"open", token=token, record=world.record("ada"))
    with told(world, "it runs no other code"), world.ada.host.connect("/v1/test", token, world.ada.trust):
        pass


def test_undeployed_code_has_no_key_to_decrypt_with(world: World) -> None:
    """By the call that Cape gives to functions."""
    thief = zipped(
        "import json, socket\n"
        "def cape_handler(data):\n"
        "    with socket.socket(socket.AF_UNIX) as rpc:\n"
        "        rpc.connect('../rpc.sock')\n"
        "        call = {'id': 1, 'method': 'CapeEncryptRPC.Decrypt', 'params': ['cape:' + data.decode()]}\n"
        "        rpc.sendall(json.dumps(call).encode())\n"
        "        return rpc.recv(10 << 20)\n"
    )
    value = world.ciphertext.removeprefix(b"cape:")
    answer = world.hands.test(thief, value, token=world.ada.token("run"), record=world.record("ada"))
    assert json.loads(answer)["result"] is None
    assert json.loads(answer)["error"]
    function_id = world.bob.deploy("thief", thief, public=True)
    answer = world.ada.run(function_id, value)
    assert json.loads(answer)["result"] is None
