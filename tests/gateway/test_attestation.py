"""`GET /attestation`: any caller can verify the enclave, with a nonce of its own."""

from __future__ import annotations

import base64
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
import pytest
import rfc8785

from blindsight.attestation import verifier
from blindsight.errors import EvidenceError
from tests.support.problems import CANARY, check
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


def _attestation(stack: Stack, query: str = "") -> dict[str, Any]:
    response = stack.client.get(f"/attestation{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@contextmanager
def _frozen(stack: Stack) -> Iterator[None]:
    """The enclave stands still."""
    process = psutil.Process(stack.enclave.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_questions_that_anybody_may_ask_are_bounded(tiny_stack: Stack) -> None:
    """Beyond the bound they are refused at once; those that were let in have a deadline like any other request."""
    with (
        tiny_stack.another_gateway(max_evidence_requests=3, deadline=4) as gateway,
        ThreadPoolExecutor(3) as threads,
    ):
        rejected = partial(gateway.metric, 'requests_rejected_total{reason="overloaded"}')
        with _frozen(tiny_stack):
            held = [threads.submit(httpx2.get, f"{gateway.url}/attestation", timeout=30) for _ in range(3)]

            def refused() -> bool:
                try:
                    answer = httpx2.get(f"{gateway.url}/attestation", timeout=0.5)
                except httpx2.ReadTimeout:
                    return False  # It was faster than one of the three.
                check(answer, "overloaded")
                return True

            wait_until("a fourth is refused", refused, seconds=3)
            assert rejected() >= 1
            # What is known is told in any case.
            assert gateway.client.get("/.well-known/ohttp-gateway").status_code == 200
            for answer in held:
                assert answer.result(30).status_code in {503, 504}
            assert "deadline_exceeded" in {answer.result().json()["code"] for answer in held}
        assert gateway.client.get("/attestation").status_code == 200


def _text(nonce: bytes, form: str) -> str:
    if form == "hex":
        return nonce.hex()
    encoded = base64.urlsafe_b64encode(nonce).decode()
    return encoded if form == "padded base64url" else encoded.rstrip("=")


@pytest.mark.parametrize("form", ["hex", "base64url", "padded base64url"])
@pytest.mark.parametrize("length", [16, 32, 33, 512])
def test_the_callers_nonce_is_repeated(tiny_stack: Stack, form: str, length: int) -> None:
    nonce = secrets.token_bytes(length)
    answer = _attestation(tiny_stack, f"?nonce={_text(nonce, form)}")
    document = base64.b64decode(answer["document"])
    verified = verifier.verify(document, policy=tiny_stack.policy, nonce=nonce, now=datetime.now(UTC))
    assert verified.document.nonce == nonce
    assert verified.kind == answer["kind"] == "simulated"
    assert [step["name"] for step in answer["reading"]["steps"]] == [step.name for step in verified.report.steps]
    verifier.check_key_configs(verified, base64.b64decode(answer["key_configs"]))
    verifier.check_model(verified, rfc8785.dumps(answer["model"]))
    assert hashlib.sha256(rfc8785.dumps(answer["model"])).hexdigest() == tiny_stack.measured.model_digest
    assert {i: v.hex() for i, v in verified.document.pcrs.items() if any(v)} == tiny_stack.measured.pcrs
    with pytest.raises(EvidenceError):
        verifier.verify(document, policy=tiny_stack.policy, nonce=secrets.token_bytes(length), now=datetime.now(UTC))


def test_without_a_nonce(tiny_stack: Stack) -> None:
    answer = _attestation(tiny_stack)
    verified = verifier.verify(
        base64.b64decode(answer["document"]), policy=tiny_stack.policy, nonce=None, now=datetime.now(UTC)
    )
    assert verified.document.nonce is None
    assert answer["reading"]["steps"][-1]["name"] == "Freshness"


@pytest.mark.parametrize(
    "nonce",
    [
        "", "ab", "a" * 20, "00" * 10, "00" * 513, "A" * 25, "A" * 22 + "===", "A" * 30 + "%21", "A" * 30 + "+",
        "A" * 30 + "%2F", "A" * 30 + "%00", "A" * 30 + "%0A", "%C3%A4" * 20, CANARY * 3,
    ],
)  # fmt: skip
def test_bad_nonces(tiny_stack: Stack, nonce: str) -> None:
    check(tiny_stack.client.get(f"/attestation?nonce={nonce}"), "invalid_parameter")


def test_every_document_is_new(tiny_stack: Stack) -> None:
    assert _attestation(tiny_stack)["document"] != _attestation(tiny_stack)["document"]
