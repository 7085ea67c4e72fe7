"""Two gateways with one store before three enclaves: two share a root secret, the third has another one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation.policy import Policy
from blindsight.cape import tokens
from blindsight.errors import CapeError
from blindsight.wire.address import Address
from gateway.enclave.member import id_of
from tests.stack.test_fleet import release_of
from tests.support import images
from tests.support.cape_guest import Guest, trust_of, zipped
from tests.support.s3 import BUCKET, running_s3
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Enclave, Gateway
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

CLASS = 137
DOUBLE = zipped("def cape_handler(data):\n    return data * 2\n")


@dataclass
class World:
    """`ours` share a root secret, `stranger` has another one. `gateways` have one store. Ada has an account there."""

    stack: Stack
    folder: Path
    ours: list[Enclave]
    stranger: Enclave
    gateways: list[Gateway]
    ada: Guest

    def at(self, number: int) -> Guest:
        """Ada, as a client of one of the gateways."""
        return Guest(self.ada.owner, self.gateways[number].url, self.ada.trust)

    def id_of(self, enclave: Enclave) -> str:
        return id_of(Address.parse(loopback(enclave.port)))

    def ready(self) -> int:
        """Least number of enclaves that a gateway has ready."""
        listed = [gateway.client.get("/info").json()["enclaves"] for gateway in self.gateways]
        return min(sum(each["ready"] for each in enclaves) for enclaves in listed)

    def classified(self, number: int, value: bytes) -> tuple[int, object]:
        """Status, and class or problem, of a ciphertext at one gateway."""
        headers = {"content-type": "text/plain; charset=utf-8"}
        answer = self.gateways[number].client.post("/classify", content=value, headers=headers)
        content = answer.json()
        if answer.status_code != 200:
            return answer.status_code, content["code"]
        return 200, content["predictions"][0]["class_id"]


@pytest.fixture(scope="module")
def world(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("cape-fleet")
    states, ports = [folder / f"state-{number}" for number in range(3)], [free_port() for _ in range(3)]
    for state in states:
        state.mkdir()
        shutil.copy(tiny_stack.state / "simulated_root.pem", state)
    for state in states[:2]:
        shutil.copy(tiny_stack.state / "root_secret", state)
    policy_file = folder / "policy.json"
    policy_file.write_text(Policy(releases=(release_of(tiny_stack.bundle, states[0], folder),)).to_json())
    with contextlib.ExitStack() as running:
        enclaves = []
        for state, port in zip(states, ports, strict=True):
            enclaves.append(tiny_stack.start_enclave(state=state, port=port, workers=1))
        for enclave in enclaves:
            enclave.wait_warm()
        settings: dict[str, object] = {
            "policy": policy_file,
            "database": f"sqlite:///{folder / 'cape.sqlite'}",
            "bundles": folder / "bundles",
            "open_signup": True,
            "classifier_grant": folder / "grant",
            "tokens_file": None,
        }
        # The first knows none of the strangers when the first account is made.
        lists = [",".join(map(loopback, ports[:2])), ",".join(map(loopback, ports))]
        gateways = []
        for enclave_list in lists:
            gateway = running.enter_context(tiny_stack.another_gateway(enclave=enclave_list, **settings))
            gateways.append(gateway)
            if len(gateways) == 1:
                ada = Guest.sign_up("ada", gateway.url, trust_of(tiny_stack))
        found = World(tiny_stack, folder, enclaves[:2], enclaves[2], gateways, ada)
        wait_until("all enclaves are verified", lambda: found.ready() >= 2)
        yield found
    for enclave in (*found.ours, found.stranger):
        enclave.stop()


def test_what_one_gateway_stores_runs_at_the_other(world: World) -> None:
    """Whichever enclave made the record, and whichever has the function already."""
    function_id = world.at(1).deploy("double", DOUBLE)
    with ThreadPoolExecutor(8) as pool:
        outputs = pool.map(lambda number: world.at(number % 2).run(function_id, b"%d " % number), range(24))
    assert list(outputs) == [b"%d " % number * 2 for number in range(24)]
    assert world.at(0).functions() == world.at(1).functions()


def test_an_enclave_with_another_root_secret_has_no_part_and_is_named(world: World) -> None:
    bob = Guest.sign_up("bob", world.gateways[1].url, world.ada.trust)
    for _ in range(4):
        assert bob.key() == Guest(bob.owner, world.gateways[0].url, bob.trust).key()
    told = [event for event in world.gateways[1].events() if "another root secret" in event["event"]]
    assert [(event["level"], event["enclave"]) for event in told] == [("error", world.id_of(world.stranger))]
    assert not any("another root secret" in event["event"] for event in world.gateways[0].events())


def test_a_token_that_was_revoked_at_one_gateway_is_revoked_at_the_other(world: World) -> None:
    function_id = world.at(0).deploy("revoked", DOUBLE)
    token = world.ada.token("run")
    assert world.at(1).run(function_id, b"a", token=token) == b"aa"
    registered(world, token)
    revoked(world, token)
    for number in (1, 0, 1):
        with pytest.raises(CapeError, match="revoked"):
            world.at(number).run(function_id, b"a", token=token)


def test_clients_go_on_when_an_enclave_is_lost(world: World) -> None:
    """None gets a wrong answer. What was open at the lost enclave fails; what is opened later does not."""
    function_id = world.at(0).deploy("lost", DOUBLE)
    assert world.at(0).run(function_id, b"a") == b"aa"
    world.ours[0].kill()
    try:
        counts = Counter(_tried(world, number % 2, function_id) for number in range(12))
        assert counts == {"right": 12}
    finally:
        world.ours[0] = world.stack.start_enclave(state=world.folder / "state-0", port=world.ours[0].port, workers=1)
        world.ours[0].wait_warm()
    wait_until("it is verified again", lambda: world.ready() >= 2)


def test_the_classifier_decrypts_wherever_a_ciphertext_goes(world: World) -> None:
    """At every enclave that can have the account's key, until the permission is revoked: also at one that was not
    there to be told.
    """
    value = world.ada.encrypt(images.plain(CLASS))
    token = world.ada.deploy_token(world.stack.bundle.read_bytes(), "classifier")
    draft = world.folder / "draft"
    draft.write_text(token)
    draft.rename(world.folder / "grant")
    registered(world, token)
    for number in (0, 1):
        wait_until("the grant counts", lambda number=number: world.classified(number, value)[0] == 200)
        answers = Counter(world.classified(number, value) for _ in range(12))
        assert answers == {(200, CLASS): 12}
    os.kill(world.ours[1].pid, signal.SIGSTOP)
    try:
        revoked(world, token)
    finally:
        os.kill(world.ours[1].pid, signal.SIGCONT)
    wait_until("it is verified again", lambda: world.ready() >= 2)
    for number in (0, 1):
        wait_until("the grant ended", lambda number=number: _all_refuse(world, number, value))


def test_functions_in_a_bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gateways with one store and no common folder; what was deleted is gone from the bucket."""
    with running_s3() as s3, contextlib.ExitStack() as running:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        settings: dict[str, object] = {
            "enclave": ",".join(loopback(enclave.port) for enclave in world.ours),
            "policy": world.folder / "policy.json",
            "database": f"sqlite:///{world.folder / 'bucket.sqlite'}",
            "bundles": f"s3://{BUCKET}/of/gateways",
            "open_signup": True,
        }
        gateways = [running.enter_context(world.stack.another_gateway(**settings)) for _ in range(2)]
        ada = Guest.sign_up("ada", gateways[0].url, world.ada.trust)
        function_id = ada.deploy("double", DOUBLE)
        assert s3.kept() == [f"of/gateways/{function_id}"]
        assert Guest(ada.owner, gateways[1].url, ada.trust).run(function_id, b"a") == b"aa"
        stored = s3.client().get_object(Bucket=BUCKET, Key=s3.kept()[0])["Body"].read()
        assert b"cape_handler" not in stored
        ada.delete(function_id)
        assert s3.kept() == []
        assert "canary-of-a-secret-key" not in world.stack.logs()


def registered(world: World, token: str) -> None:
    expires = tokens.peek(token).expires
    assert expires is not None
    body = {"name": "of the test", "token": token, "expiry": expires.isoformat()}
    answer = world.at(0).host.rest("POST", "/v1/token", token=world.ada.token(), body=body)
    assert answer.status_code == 201, answer.text


def revoked(world: World, token: str) -> None:
    answer = world.at(0).host.rest("DELETE", f"/v1/token/{tokens.peek(token).id}", token=world.ada.token())
    assert answer.status_code == 200, answer.text


def _all_refuse(world: World, number: int, value: bytes) -> bool:
    return {world.classified(number, value) for _ in range(8)} == {(422, "cannot_decrypt")}


def _tried(world: World, number: int, function_id: str) -> str:
    return "right" if world.at(number).run(function_id, b"b") == b"bb" else "wrong"
