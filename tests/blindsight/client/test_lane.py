"""The client before a good gateway: what is asked, sent, kept and returned."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx2
import pytest

import blindsight
import blindsight.client
from blindsight import AsyncClient, Classification, Client, GatewayProblem, Prediction, Problem, exchange
from blindsight.attestation import UnsafeAcceptAnything
from blindsight.client import _core, _http
from blindsight.errors import BlindsightError, PolicyError, TransportError
from blindsight.problems import CATALOGUE
from tests.blindsight.client.fake_gateway import ANSWER, CHECKSUM, PCRS, Caller, FakeGateway, inner, problem
from tests.support.policies import changed

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = b"\xff\xd8\xff a photo that no gateway may see"


def test_an_answer(caller: Caller) -> None:
    answer = caller.client().classify(IMAGE, top_k=2)
    assert isinstance(answer, Classification)
    assert answer.predictions == (
        Prediction(1, 207, "golden retriever", 0.9),
        Prediction(2, 208, "Labrador retriever", 0.1),
    )
    assert (answer.model, answer.image, answer.timings_ms) == (ANSWER["model"], ANSWER["image"], ANSWER["timings_ms"])
    assert answer.report.kind == "simulated"
    assert [step.number for step in answer.report.steps] == list(range(1, 12))
    assert answer.recipient.function_checksum == CHECKSUM.hex()
    assert answer.recipient.measurements["0"] == PCRS[0].hex()
    assert len(answer.notices) == 1
    assert "SIMULATED" in answer.notices[0]
    for frozen in (answer, answer.predictions[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            frozen.image = None


def test_a_tensor_has_no_size(caller: Caller) -> None:
    caller.gateway.respond = lambda _: inner(200, ANSWER | {"image": None})
    assert caller.client().classify(bytes(8)).image is None


def test_what_is_sent(caller: Caller) -> None:
    """The question is inside; outside are ciphertext and media types."""
    caller.client(api_token="bs_secret").classify(IMAGE, top_k=7)
    (asked,) = caller.gateway.inner
    assert (asked.method, asked.path, asked.content) == ("POST", "/classify?top_k=7", IMAGE)
    assert [name for name, _ in asked.fields] == ["date"]
    evidence, sealed = caller.gateway.requests
    assert (evidence.method, evidence.url.path, len(evidence.url.params["nonce"])) == ("GET", "/attestation", 64)
    assert (sealed.method, str(sealed.url)) == ("POST", "https://gateway.example/classify")
    assert sealed.headers["accept"] == "message/ohttp-res"
    assert IMAGE not in sealed.content
    assert b"/classify" not in sealed.content
    # The token goes to no gateway whose enclave is not verified yet.
    assert "authorization" not in evidence.headers
    assert sealed.headers["authorization"] == "Bearer bs_secret"


def test_no_token_no_header(caller: Caller) -> None:
    caller.client().classify(IMAGE)
    assert "authorization" not in caller.gateway.requests[1].headers


def test_a_path_before_the_gateways_is_kept(gateway: FakeGateway) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(404, content=str(request.url)))
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return transport.handle_request(request)

    with (
        Client("https://host.example/photos/", policy=gateway.policy, transport=httpx2.MockTransport(handle)) as client,
        pytest.raises(TransportError),
    ):
        client.verify()
    assert asked == ["/photos/attestation"]


def test_evidence_is_kept_for_its_time_and_no_longer(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(_core.Core.__init__, "__kwdefaults__", {"clock": lambda: now[0]})
    client = caller.client(max_evidence_age=50)
    assert client.recipient is None
    for _ in range(3):
        client.classify(IMAGE)
    assert caller.gateway.paths == ["/attestation", *["/classify"] * 3]
    now[0] += 50
    client.classify(IMAGE)
    assert caller.gateway.paths.count("/attestation") == 1
    now[0] += 1
    assert client.recipient is None
    client.classify(IMAGE)
    assert caller.gateway.paths.count("/attestation") == 2
    nonces = [request.url.params["nonce"] for request in caller.gateway.requests if request.url.params]
    assert len(set(nonces)) == 2


def test_verify_verifies_each_time_and_its_evidence_is_used(caller: Caller) -> None:
    client = caller.client()
    reports = [client.verify(), client.verify()]
    assert "Freshness" in reports[0].render()
    assert client.classify(IMAGE).report == reports[1]
    assert caller.gateway.paths == ["/attestation", "/attestation", "/classify"]


def test_rotated_keys_are_verified_anew_and_the_request_sealed_anew_once(caller: Caller) -> None:
    client = caller.client()
    client.classify(IMAGE)
    caller.gateway.rotate()
    assert client.classify(IMAGE).predictions[0].class_id == 207
    assert caller.gateway.paths == ["/attestation", "/classify", "/classify", "/attestation", "/classify"]
    assert caller.gateway.requests[2].content != caller.gateway.requests[4].content


def test_the_enclaves_problem(caller: Caller) -> None:
    body = Problem("too_many_pixels", "Too many.", limit_pixels=50).body()
    caller.gateway.respond = lambda _: inner(422, body)
    with pytest.raises(Problem) as caught:
        caller.client().classify(IMAGE)
    assert not isinstance(caught.value, GatewayProblem)
    assert (caught.value.kind.code, caught.value.extra) == ("too_many_pixels", {"limit_pixels": 50})
    assert len(caller.gateway.inner) == 1


@pytest.mark.parametrize(
    "code", ["unauthenticated", "overloaded", "rate_limited", "image_too_large", "enclave_unavailable"]
)
def test_the_gateways_problem(caller: Caller, code: str) -> None:
    # `self` is no name for a keyword argument of a problem; it must not matter.
    caller.gateway.tricks["/classify"] = lambda _: problem(code, self=1)
    with pytest.raises(GatewayProblem) as caught:
        caller.client().classify(IMAGE)
    assert caught.value.kind == CATALOGUE[code]
    assert caught.value.extra["self"] == 1
    assert caller.gateway.paths == ["/attestation", "/classify"]


@pytest.mark.parametrize(
    ("stated", "seconds"), [(7, 7), (0, 0), (-1, None), ("7", None), (True, None), (0.5, None), (None, None)]
)
@pytest.mark.parametrize(("code", "retryable"), [("rate_limited", True), ("quota_exceeded", False)])
def test_a_limit_of_the_caller_has_the_time_to_wait(
    caller: Caller, code: str, retryable: bool, stated: object, seconds: int | None
) -> None:
    caller.gateway.tricks["/classify"] = lambda _: problem(code, retry_after=stated)
    with pytest.raises(GatewayProblem) as caught:
        caller.client().classify(IMAGE)
    assert (caught.value.retryable, caught.value.retry_after) == (retryable, seconds)


def test_the_gateways_problem_with_evidence(caller: Caller) -> None:
    caller.gateway.tricks["/attestation"] = lambda _: problem("enclave_unavailable")
    with pytest.raises(GatewayProblem):
        caller.client().classify(IMAGE)
    assert caller.gateway.paths == ["/attestation"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError, "unreachable"),
        (httpx2.ConnectTimeout, "timed_out"),
        (httpx2.ReadTimeout, "timed_out"),
        (httpx2.ReadError, "connection_lost"),
        (httpx2.RemoteProtocolError, "connection_lost"),
    ],
)
@pytest.mark.parametrize("path", ["/attestation", "/classify"])
def test_trouble_on_the_way(caller: Caller, error: type[Exception], code: str, path: str) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise error("so it goes")

    caller.gateway.tricks[path] = fail
    client = caller.client()
    with pytest.raises(TransportError) as caught:
        client.classify(IMAGE)
    assert caught.value.code == code
    assert caller.gateway.paths[-1] == path
    assert caller.gateway.paths.count(path) == 1
    del caller.gateway.tricks[path]
    assert client.classify(IMAGE).predictions


def test_many_threads_verify_once(gateway: FakeGateway) -> None:
    together = threading.Barrier(8)
    with Client(
        "https://gateway.example", policy=gateway.policy, transport=httpx2.MockTransport(gateway.handle)
    ) as client:

        def one(_: int) -> Classification:
            together.wait(10)
            return client.classify(IMAGE)

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(one, range(8)))
    assert len(answers) == 8
    assert gateway.paths.count("/attestation") == 1


async def test_many_tasks_verify_once_and_again_once_when_the_keys_rotate(gateway: FakeGateway) -> None:
    transport = httpx2.MockTransport(gateway.handle)
    async with AsyncClient("https://gateway.example", policy=gateway.policy, transport=transport) as client:
        await asyncio.gather(*[client.classify(IMAGE) for _ in range(8)])
        assert gateway.paths.count("/attestation") == 1
        gateway.rotate()
        await asyncio.gather(*[client.classify(IMAGE) for _ in range(8)])
    assert gateway.paths.count("/attestation") == 2
    assert len(gateway.inner) == 16


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_there_is_no_way_without_a_policy(kind: type, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        kind("https://gateway.example")
    with pytest.raises(TypeError):
        kind("https://gateway.example", policy=None)
    with pytest.raises(TypeError):
        kind("https://gateway.example", policy=UnsafeAcceptAnything())
    with pytest.raises(PolicyError) as caught:
        kind("https://gateway.example", policy=tmp_path / "none.json")
    assert caught.value.code == "unreadable_policy"


def test_a_policy_file(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(gateway.policy.to_json())
    with Client("https://gateway.example", policy=file, transport=httpx2.MockTransport(gateway.handle)) as client:
        assert client.verify().kind == "simulated"


@pytest.mark.parametrize("url", ["gateway.example", "ftp://gateway.example", "https://gateway.example:port"])
def test_an_address_that_is_none(gateway: FakeGateway, url: str) -> None:
    with pytest.raises(TransportError) as caught, Client(url, policy=gateway.policy) as client:
        client.verify()
    assert caught.value.code == "unreachable"


def test_a_slow_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(_http.time, "monotonic", lambda: now[0])
    body = _http.Body(httpx2.Response(200), 10)
    body.add(b"x")
    now[0] = 11
    with pytest.raises(TransportError) as caught:
        body.add(b"x")
    assert caught.value.code == "timed_out"


def test_what_is_exported_is_complete() -> None:
    lazy = {name for names in blindsight._HOMES.values() for name in names}
    assert set(blindsight.__all__) == lazy | {"__version__"}
    assert lazy >= set(blindsight.client.__all__)
    assert all(getattr(blindsight, name).__name__ == name for name in lazy)
    public = {
        name for name, value in vars(blindsight.client).items() if isinstance(value, type) and not name.startswith("_")
    }
    assert public == set(blindsight.client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        blindsight.Klient  # noqa: B018 -- looking is what raises


def test_the_package_alone_is_light() -> None:
    """Workers import it, too."""
    code = "import blindsight, sys; assert not {'httpx2', 'cryptography', 'cbor2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_error_has_a_next_step() -> None:
    with pytest.raises(BlindsightError) as caught:
        raise exchange.KeysChangedError
    assert caught.value.next_step


def test_evidence_is_not_relied_on_beyond_the_end_of_its_policy(caller: Caller) -> None:
    """However long a caller relies on evidence otherwise: what has ended is verified anew, and refused."""
    now = datetime.now(UTC).replace(microsecond=0)
    policy = dataclasses.replace(caller.gateway.policy, expires=now + timedelta(hours=1))
    client = caller.client(policy=policy, max_evidence_age=1e9)
    client.classify(IMAGE)
    core = client._core if isinstance(client, Client) else client.client._core
    assert core._accepted[0].verified.until == policy.expires
    # An hour later, for all that the client knows.
    ended = dataclasses.replace(policy, expires=now)
    verified = dataclasses.replace(core._accepted[0].verified, until=now)
    core._policy, core._accepted = ended, (dataclasses.replace(core._accepted[0], verified=verified), core._accepted[1])
    assert client.recipient is None
    sent = len(caller.gateway.requests)
    with pytest.raises(PolicyError) as caught:
        client.classify(IMAGE)
    assert caught.value.code == "policy_expired"
    assert "POST" not in {request.method for request in caller.gateway.requests[sent:]}


def test_the_end_of_a_release_counts_like_that_of_the_policy(caller: Caller) -> None:
    first, second = (datetime(2030 + year, 1, 1, tzinfo=UTC) for year in range(2))
    for policy_end, release_end in ((first, second), (second, first), (None, first), (first, None)):
        policy = dataclasses.replace(changed(caller.gateway.policy, expires=release_end), expires=policy_end)
        client = caller.client(policy=policy)
        client.verify()
        assert client.recipient.verified.until == first
