"""The API inside the envelope."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import CapeError
from blindsight.problems import CATALOGUE, Problem
from blindsight.sealing import bhttp
from enclave_runtime.function import Function
from enclave_runtime.inner import InnerApi

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = {"name": "tiny", "version": "7", "trained": True, "labels": {"count": 3}}
FUNCTION = Function(Path("function"), Path("shared"), bytes(32), MANIFEST, b"the canonical manifest")
SECRET = "passport-number-4711"


class Recorder:
    """Stands in for the pool: notes its calls and answers, or raises, as told."""

    def __init__(self, outcome: dict[str, Any] | BaseException) -> None:
        self.calls: list[tuple[bytes, int]] = []
        self._outcome = outcome

    async def classify(self, image: bytes, top_k: int) -> dict[str, Any]:
        self.calls.append((image, top_k))
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def _opened(value: bytes) -> bytes:
    """As the Cape host would open a ciphertext."""
    if value == b"cape:refused":
        raise CapeError("cannot_decrypt", SECRET)
    return b"opened " + value


@pytest.fixture
def api_on() -> Callable[[Any], tuple[InnerApi, Recorder]]:
    def make(outcome: Any) -> tuple[InnerApi, Recorder]:
        pool = Recorder(outcome)
        return InnerApi(FUNCTION, pool, _opened), pool  # type: ignore[arg-type] # all that it uses of the pool

    return make


async def test_a_classification_is_answered_with_the_model(api_on):
    api, pool = api_on({"predictions": [{"class": "cat", "score": 0.9}]})
    response = await api.respond(bhttp.Request("POST", "/classify?top_k=3", [("content-type", "image/png")], b"image"))
    assert pool.calls == [(b"image", 3)]
    assert response.status == 200
    assert response.fields == [("content-type", "application/json")]
    assert json.loads(response.content) == {
        "predictions": [{"class": "cat", "score": 0.9}],
        "model": {"name": "tiny", "version": "7", "trained": True, "digest": FUNCTION.model_digest.hex()},
    }


@pytest.mark.parametrize(
    ("query", "top_k"),
    [("", 5), ("?", 5), ("?other=1", 5), ("?top_k=1", 1), ("?a=b&top_k=10", 10), ("?top_k=%31", 1), ("?top_k=-4", -4)],
)
async def test_top_k_comes_from_the_query(api_on, query, top_k):
    """Its range is the function's to check: only that knows its classes."""
    api, pool = api_on({})
    assert (await api.respond(bhttp.Request("POST", f"/classify{query}"))).status == 200
    assert pool.calls == [(b"", top_k)]


@pytest.mark.parametrize(
    "query",
    ["five", "", "5.0", "1_0", "+5", "%205", "5%0A", "0x5", "%D9%A5", "9" * 10, "9" * 5000, "5&top_k=6", "--1", "[5"],
)
async def test_a_top_k_that_is_no_whole_number_is_refused(api_on, query):
    api, pool = api_on({})
    response = await api.respond(bhttp.Request("POST", f"/classify?top_k={query}"))
    assert_problem(response, "invalid_top_k")
    assert pool.calls == []


@pytest.mark.parametrize(
    "path", ["", "/", "/classify/", "/Classify", "//classify", "classify", "/classify#x", "//[", "*"]
)
async def test_there_is_one_path(api_on, path):
    api, pool = api_on({})
    assert_problem(await api.respond(bhttp.Request("POST", path)), "not_found")
    assert pool.calls == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "post", "", "POST "])
async def test_there_is_one_method(api_on, method):
    api, pool = api_on({})
    assert_problem(await api.respond(bhttp.Request(method, "/classify")), "method_not_allowed")
    assert pool.calls == []


@pytest.mark.parametrize("code", CATALOGUE)
async def test_every_problem_goes_back_as_itself(api_on, code):
    api, _ = api_on(Problem(code, "Why.", limit_pixels=4))
    response = await api.respond(bhttp.Request("POST", "/classify"))
    assert assert_problem(response, code)["limit_pixels"] == 4


@pytest.mark.parametrize(
    ("content", "seen"),
    [(b"cape:text", b"opened cape:text"), (b"Cape:text", b"Cape:text"), (b" cape:text", b" cape:text"), (b"", b"")],
)
async def test_a_ciphertext_is_opened_before_the_function_sees_it(api_on, content, seen):
    api, pool = api_on({})
    assert (await api.respond(bhttp.Request("POST", "/classify", [], content))).status == 200
    assert pool.calls == [(seen, 5)]


async def test_a_ciphertext_that_cannot_be_opened_is_refused(api_on):
    api, pool = api_on({})
    response = await api.respond(bhttp.Request("POST", "/classify", [], b"cape:refused"))
    assert SECRET not in str(assert_problem(response, "cannot_decrypt"))
    assert pool.calls == []


async def test_a_fault_is_an_answer_that_tells_nothing(api_on, caplog: pytest.LogCaptureFixture):
    api, _ = api_on(KeyError(SECRET))
    with caplog.at_level(logging.DEBUG):
        response = await api.respond(bhttp.Request("POST", "/classify"))
    body = assert_problem(response, "internal")
    assert body["retryable"] is False
    assert SECRET not in str(body)
    assert [record.exception for record in caplog.records] == ["KeyError"]
    assert SECRET not in str([vars(record) for record in caplog.records])


def assert_problem(response: bhttp.Response, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.content)
    assert (response.status, body["status"], body["code"]) == (CATALOGUE[code].status, CATALOGUE[code].status, code)
    assert response.header("content-type") == "application/problem+json"
    return body
