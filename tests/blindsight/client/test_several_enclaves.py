"""The client before a gateway with several enclaves, of which its policy accepts some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import EvidenceError, TransportError
from tests.blindsight.client.fake_gateway import PCRS, Caller, FakeGateway, problem

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

IMAGE = b"\xff\xd8\xff a photo that no gateway may see"
OFFERED, AWAY, ACCEPTED = ("0" * 16, "1" * 16, "2" * 16)
LISTED = {"enclave_id": OFFERED, "enclaves": [OFFERED, AWAY, ACCEPTED]}


@pytest.fixture
def another(tmp_path: Path) -> FakeGateway:
    """An enclave of another release."""
    return FakeGateway(tmp_path / "another", pcrs=PCRS | {2: b"\xee" * 48})


def asked(caller: Caller) -> list[str | None]:
    """The enclaves whose evidence was asked for; None for any."""
    requests = [request for request in caller.gateway.requests if request.url.path == "/attestation"]
    return [request.url.params.get("enclave") for request in requests]


def offers(caller: Caller, another: FakeGateway, **changes: Any) -> None:
    """Let the gateway offer the enclave `another` with a list of others, and its own as `ACCEPTED`."""

    def attestation(request: httpx2.Request) -> httpx2.Response:
        enclave_id = request.url.params.get("enclave")
        if enclave_id == ACCEPTED:
            return caller.gateway.attestation(request)
        return problem("enclave_unavailable") if enclave_id else another.attestation(request, **LISTED | changes)

    caller.gateway.tricks["/attestation"] = attestation


def test_the_one_that_the_policy_accepts_is_used(caller: Caller, another: FakeGateway) -> None:
    offers(caller, another)
    client = caller.client()
    assert client.classify(IMAGE).predictions[0].class_id == 207
    assert asked(caller) == [None, AWAY, ACCEPTED]
    nonces = {request.url.params["nonce"] for request in caller.gateway.requests[:3]}
    assert len(nonces) == 1
    client.classify(IMAGE)
    assert asked(caller) == [None, AWAY, ACCEPTED], "it is relied on"


def test_the_first_refusal_is_told_if_the_policy_accepts_none(caller: Caller, another: FakeGateway) -> None:
    caller.gateway.tricks["/attestation"] = lambda request: another.attestation(request, **LISTED)
    with pytest.raises(EvidenceError) as refusal:
        caller.client(api_token="bs_secret").classify(IMAGE)
    assert refusal.value.code == "root_not_pinned"
    assert asked(caller) == [None, AWAY, ACCEPTED]
    assert caller.gateway.paths == ["/attestation"] * 3, "no image, and no token"
    assert not any("authorization" in request.headers for request in caller.gateway.requests)


@pytest.mark.parametrize(
    "listed",
    [None, {}, "0" * 16, 5, [], [OFFERED], ["../x", 1, None, {}, "0" * 17, f"{AWAY}&x=1", AWAY.upper() + "A"]],
    ids=repr,
)
def test_what_is_no_list_of_others_is_not_asked(caller: Caller, another: FakeGateway, listed: object) -> None:
    offers(caller, another, enclaves=listed)
    with pytest.raises(EvidenceError):
        caller.client().verify()
    assert asked(caller) == [None]


def test_an_endless_list_is_not_followed_to_its_end(caller: Caller, another: FakeGateway) -> None:
    offers(caller, another, enclaves=[f"{index:016x}" for index in range(10, 5000)])
    with pytest.raises(EvidenceError):
        caller.client().verify()
    assert len(asked(caller)) == 65


def test_a_gateway_that_goes_away_meanwhile_is_told(caller: Caller, another: FakeGateway) -> None:
    offers(caller, another)
    tricks = caller.gateway.tricks["/attestation"]

    def attestation(request: httpx2.Request) -> httpx2.Response:
        answer = tricks(request)
        return answer if request.url.params.get("enclave") is None else type(answer)(502)

    caller.gateway.tricks["/attestation"] = attestation
    with pytest.raises(TransportError):
        caller.client().verify()
