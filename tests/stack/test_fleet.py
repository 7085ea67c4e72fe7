"""One gateway before several enclaves: two of one release, and one of another, as while a release is rolled out.

Their first keys have the same ids, which one byte cannot rule out (docs/operations.md, "Several enclaves").
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blindsight import Client
from blindsight.attestation.policy import Policy
from blindsight.attestation.release import Release
from blindsight.client import GatewayProblem
from blindsight.errors import EvidenceError
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire.address import Address
from enclave_function.bundle import build
from gateway.enclave.member import id_of
from tests.support import images
from tests.support.dates import dated
from tests.support.models import write_colour_model
from tests.support.problems import check
from tests.support.processes import Enclave
from tests.support.stack import Stack, measure, root_fingerprint
from tests.support.waiting import wait_until
from tests.support.wire import free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway

pytestmark = pytest.mark.stack


class Alike(Enclave):
    """Enclaves whose first keys have the same ids."""

    module = "tests.support.alike_runtime"


@dataclasses.dataclass
class Fleet:
    """Enclaves at `ports`: 0 and 1 of the old release, 2 of the new one. The gateway's policy accepts both."""

    stack: Stack
    ports: list[int]
    states: list[Path]
    bundles: list[Path]
    enclaves: list[Enclave]
    old: Policy
    new: Policy
    gateway: Gateway

    def start(self, number: int) -> None:
        """Start an enclave again, with the state of the one before."""
        enclave = self.stack.start_enclave(
            self.bundles[number], self.states[number], port=self.ports[number], kind=Alike
        )
        self.enclaves[number] = enclave
        enclave.wait_warm()

    def ready(self) -> list[str]:
        """The ids of the enclaves that are ready."""
        listed = self.gateway.client.get("/info").json()["enclaves"]
        return [each["id"] for each in listed if each["ready"]]

    def has_distinct_key_ids(self) -> bool:
        client = self.gateway.client
        found = [client.get("/.well-known/ohttp-gateway", params={"enclave": each}) for each in self.ready()]
        ids = [config.key_id for each in found if each.is_success for config in keyconfig.decode_list(each.content)]
        return len(set(ids)) == 2 * len(self.ports)


@pytest.fixture(scope="module")
def fleet(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    later = folder / "later"
    later.mkdir()
    write_colour_model(later)
    manifest = json.loads((later / "model.json").read_text())
    (later / "model.json").write_text(json.dumps(manifest | {"version": "later"}))
    build(later, folder / "later.zip")
    bundles = [tiny_stack.bundle, tiny_stack.bundle, folder / "later.zip"]
    ports = [free_port() for _ in bundles]
    states = [folder / f"state-{number}" for number in range(3)]
    for state in states:
        state.mkdir()
        shutil.copy(tiny_stack.state / "simulated_root.pem", state)
    old, new = (release_of(bundle, states[0], folder) for bundle in bundles[1:])
    policy_file = folder / "policy.json"
    policy_file.write_text(Policy(releases=(old, new)).to_json())
    enclaves = [
        tiny_stack.start_enclave(bundle, state, port=port, kind=Alike)
        for bundle, state, port in zip(bundles, states, ports, strict=True)
    ]
    for enclave in enclaves:
        enclave.wait_warm()
    addresses = ",".join(map(loopback, ports))
    with tiny_stack.another_gateway(enclave=addresses, policy=policy_file) as gateway:
        policies = (Policy(releases=(old,)), Policy(releases=(new,)))
        running = Fleet(tiny_stack, ports, states, bundles, enclaves, *policies, gateway)
        wait_until("all enclaves are verified", lambda: len(running.ready()) == 3)
        wait_until("each has key ids of its own", running.has_distinct_key_ids)
        yield running
    for enclave in running.enclaves:
        enclave.stop()


def release_of(bundle: Path, state: Path, folder: Path) -> Release:
    measured = measure(bundle, folder)
    return Release(
        kind="simulated",
        roots=frozenset({root_fingerprint(state)}),
        pcrs={index: frozenset({measured.pcrs[index]}) for index in (0, 1, 2, 16)},
        function_checksums=frozenset({measured.function_checksum}),
        model_digests=frozenset({measured.model_digest}),
    )


def classified(fleet: Fleet, class_id: int) -> dict[str, Any]:
    """A right answer to a picture of this class."""
    answer = fleet.gateway.client.post("/classify", files={"file": images.plain(class_id)})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    assert content["predictions"][0]["class_id"] == class_id
    return content


def test_every_enclave_serves(fleet: Fleet) -> None:
    versions = [classified(fleet, 10 + number)["model"]["version"] for number in range(9)]
    assert versions.count("later") == 3
    for port in fleet.ports:
        assert fleet.gateway.metric(f'enclave_up{{enclave="{loopback(port)}"}}') == 1
        assert fleet.gateway.metric(f'evidence_verified_timestamp_seconds{{enclave="{loopback(port)}"}}') > 1.7e9
    assert fleet.gateway.metric("enclave_workers") == 6


def test_callers_who_accept_one_release_are_served_by_it_alone(fleet: Fleet) -> None:
    """Whichever enclave the gateway offers them first."""
    for policy, version in ((fleet.old, "tiny"), (fleet.new, "later")):
        with Client(str(fleet.gateway.client.base_url), policy=policy) as client:
            answers = [client.classify(images.plain(20 + number)) for number in range(4)]
        assert {answer.model["version"] == "later" for answer in answers} == {version == "later"}
        assert [answer.predictions[0].class_id for answer in answers] == [20, 21, 22, 23]


def test_each_caller_can_seal_to_the_enclave_that_it_is_offered(fleet: Fleet) -> None:
    """With any client of Oblivious HTTP, and both of the enclave's keys."""
    served = set()
    for number in range(1, 21):
        transport = httpx2.HTTPTransport(local_address=f"127.0.0.{number}")
        with httpx2.Client(base_url=fleet.gateway.client.base_url, transport=transport, trust_env=False) as client:
            evidence = client.get("/attestation").json()
            for config in keyconfig.decode_list(base64.b64decode(evidence["key_configs"])):
                request = bhttp.Request("POST", "/classify", dated(), images.plain(number))
                message, opener = ohttp.encapsulate(config, request.encode())
                answer = client.post("/ohttp", content=message, headers={"content-type": ohttp.REQUEST_MEDIA_TYPE})
                assert answer.status_code == 200, answer.text
                content = json.loads(bhttp.decode_response(opener.open(answer.content)).content)
                assert content["predictions"][0]["class_id"] == number
        served.add(evidence["enclave_id"])
    assert len(served) == 3, "all are offered"


def test_a_batch_is_of_one_release(fleet: Fleet) -> None:
    """Its answer states model and measurements once."""
    versions = set()
    for _ in range(6):
        files = [("files", images.plain(40 + number)) for number in range(12)]
        answer = fleet.gateway.client.post("/classify/batch", files=files).json()
        assert [each["predictions"][0]["class_id"] for each in answer["results"]] == list(range(40, 52))
        release = (fleet.new if answer["model"]["version"] == "later" else fleet.old).releases[0]
        assert answer["enclave"]["function_checksum"] in release.function_checksums
        assert all(answer["enclave"]["measurements"][str(index)] in values for index, values in release.pcrs.items())
        versions.add(answer["model"]["version"])
    assert len(versions) == 2, "both serve batches"


def test_a_policy_that_accepts_none_gets_the_first_refusal(fleet: Fleet) -> None:
    releases = tuple(dataclasses.replace(each, pcrs={0: frozenset({"ab" * 48})}) for each in fleet.old.releases)
    with (
        Client(str(fleet.gateway.client.base_url), policy=Policy(releases=releases)) as client,
        pytest.raises(EvidenceError) as refusal,
    ):
        client.verify()
    assert refusal.value.code == "pcr_mismatch"


def test_evidence_and_keys_of_each_can_be_asked_for(fleet: Fleet) -> None:
    client = fleet.gateway.client
    listed = client.get("/info").json()["enclaves"]
    assert len({each["id"] for each in listed}) == len(listed) == 3
    for each in listed:
        query = {"enclave": each["id"]}
        evidence = client.get("/attestation", params=query).json()
        assert evidence["enclave_id"] == each["id"]
        keys = client.get("/.well-known/ohttp-gateway", params=query).content
        assert base64.b64decode(evidence["key_configs"]) == keys
    offered = {client.get("/attestation").json()["enclave_id"] for _ in range(5)}
    assert len(offered) == 1, "the same for each call of one caller"
    assert client.get("/.well-known/ohttp-gateway").content == client.get(
        "/.well-known/ohttp-gateway", params={"enclave": offered.pop()}
    ).content  # fmt: skip
    check(client.get("/attestation", params={"enclave": "0" * 16}), "not_found")
    check(client.get("/attestation", params={"enclave": "../x"}), "invalid_parameter")


def test_the_evidence_of_another_is_given_while_the_offered_one_is_lost(fleet: Fleet) -> None:
    """Also before the gateway has noticed. What it says of a particular one does not say where it is."""
    client = fleet.gateway.client
    ids = {id_of(Address("tcp", host="127.0.0.1", port=port)): number for number, port in enumerate(fleet.ports)}
    offered = client.get("/attestation").json()["enclave_id"]
    number = ids[offered]
    fleet.enclaves[number].kill()
    for _ in range(5):
        assert client.get("/attestation").json()["enclave_id"] in ids.keys() - {offered}
        refused = client.get("/attestation", params={"enclave": offered})
        check(refused, "enclave_unavailable")
        assert str(fleet.ports[number]) not in refused.text
    fleet.start(number)
    wait_until("it is there again", lambda: len(fleet.ready()) == 3)
    wait_until("it has key ids of its own", fleet.has_distinct_key_ids)


def test_no_photo_is_lost_with_an_enclave(fleet: Fleet) -> None:
    """One is killed while eight callers send photos; the others answer in its place, and it is used again later."""
    stop = threading.Event()
    problems: list[str] = []
    counts = [0] * 8

    def call(number: int) -> None:
        with httpx2.Client(base_url=fleet.gateway.client.base_url, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                class_id = 100 + number
                answer = client.post("/classify", files={"file": images.plain(class_id)})
                if answer.status_code != 200 or answer.json()["predictions"][0]["class_id"] != class_id:
                    problems.append(answer.text)
                counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        wait_until("all callers are served", lambda: min(counts) > 3)
        fleet.enclaves[0].kill()
        wait_until("the loss is seen", lambda: len(fleet.ready()) == 2)
        so_far = list(counts)
        wait_until("they go on", lambda: all(now > then + 3 for now, then in zip(counts, so_far, strict=True)))
        fleet.start(0)
        wait_until("it is used again", lambda: len(fleet.ready()) == 3)
        so_far = list(counts)
        wait_until("they go on", lambda: all(now > then + 3 for now, then in zip(counts, so_far, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems


def test_a_sealed_request_is_never_answered_by_an_enclave_that_its_caller_did_not_verify(fleet: Fleet) -> None:
    """It is refused, for the moment, while the caller's enclave is away; and served again once that is back."""
    with Client(str(fleet.gateway.client.base_url), policy=fleet.new) as client:
        assert client.classify(images.plain(30)).model["version"] == "later"
        fleet.enclaves[2].kill()
        wait_until("the loss is seen", lambda: len(fleet.ready()) == 2)
        with pytest.raises((GatewayProblem, EvidenceError)) as refusal:
            client.classify(images.plain(30))
        assert refusal.value.code in {"enclave_unavailable", "pcr_mismatch"}
        assert classified(fleet, 31)["model"]["version"] != "later", "others go on"
        fleet.start(2)
        wait_until("it is there again", lambda: len(fleet.ready()) == 3)
        wait_until("it has key ids of its own", fleet.has_distinct_key_ids)
        assert client.classify(images.plain(32)).model["version"] == "later"
