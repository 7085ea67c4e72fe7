"""The API inside the envelope."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from blindsight.errors import CapeError
from blindsight.problems import CATALOGUE, Problem
from blindsight.receipts import ReceiptKey
from blindsight.sealing import bhttp, padding
from enclave_runtime.function import Function
from enclave_runtime.inner import InnerApi
from enclave_runtime.keys import Opened
from tests.support.dates import dated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = {
    "name": "tiny",
    "version": "7",
    "trained": True,
    "onnx": {"sha256": "cd" * 32},
    "labels": {"count": 300, "file": "labels.txt"},
}
ANSWER = {"predictions": [{"class": "cat", "score": 0.9}], "image": None, "timings_ms": {"run": 1.5}}
EVIDENCE = "ef" * 32
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


class Ciphertexts:
    """As the Cape host would open them."""

    def is_ciphertext(self, image: bytes | memoryview) -> bool:
        return bytes(image[:5]) == b"cape:"

    def open(self, value: bytes | memoryview) -> bytes:
        if value == b"cape:refused":
            raise CapeError("cannot_decrypt", SECRET)
        return b"opened " + value


class Api:
    """The API, asked with plain requests; `padded` is the last answer as it would be sealed."""

    def __init__(self, folder: Path, outcome: Any, *, labels: str = "cat\ndog") -> None:
        (folder / "labels.txt").write_text(labels, "utf-8")
        self.function = Function(folder, folder, folder, folder, bytes(32), MANIFEST, b"the canonical manifest")
        self.pool = Recorder(outcome)
        self.key = ReceiptKey()
        self._api = InnerApi(self.function, self.pool, Ciphertexts(), self.key)

    async def respond(
        self, request: bhttp.Request, *, date: float | None = 0, replayed: bool = False
    ) -> bhttp.Response:
        fields = [*request.fields, *([] if date is None else dated(date))]
        return await self.respond_to(replace(request, fields=fields).encode(), replayed=replayed)

    async def respond_to(self, encoded: bytes | memoryview, *, replayed: bool = False) -> bhttp.Response:
        self.padded = await self._api.respond(Opened(encoded, None, replayed))
        return bhttp.decode_response(self.padded)


@pytest.fixture
def api_on(tmp_path: Path) -> Callable[..., tuple[Api, Recorder]]:
    def make(outcome: Any, **options: Any) -> tuple[Api, Recorder]:
        api = Api(tmp_path, outcome, **options)
        return api, api.pool

    return make


async def test_a_classification_is_answered_with_the_model(api_on):
    api, pool = api_on({"predictions": [{"class": "cat", "score": 0.9}]})
    response = await api.respond(bhttp.Request("POST", "/classify?top_k=3", [("content-type", "image/png")], b"image"))
    assert pool.calls == [(b"image", 3)]
    assert response.status == 200
    assert response.fields == [("content-type", "application/json")]
    assert json.loads(response.content) == {
        "predictions": [{"class": "cat", "score": 0.9}],
        "model": {
            "name": "tiny",
            "version": "7",
            "trained": True,
            "digest": api.function.model_digest.hex(),
            "precision": "float32",
        },
    }


@pytest.mark.parametrize("fields", [[], [("blindsight-version", "1")]], ids=repr)
async def test_a_request_of_the_first_version_is_answered(api_on, fields):
    api, pool = api_on({})
    assert (await api.respond(bhttp.Request("POST", "/classify", fields))).status == 200
    assert len(pool.calls) == 1


@pytest.mark.parametrize("version", ["2", "", "1.0", "01", "1, 2", "one"])
async def test_a_request_of_another_version_is_refused(api_on, version):
    api, pool = api_on({})
    response = await api.respond(bhttp.Request("POST", "/later?path", [("blindsight-version", version)], b"image"))
    assert_problem(response, "unsupported_version")
    assert pool.calls == []


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
    ["five", "", "5.0", "1_0", "+5", "%205", "5%0A", "0x5", "%D9%A5", "9" * 10, "9" * 900, "5&top_k=6", "--1", "[5"],
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


@pytest.mark.parametrize("seconds", [-299, 0, 299])
async def test_a_date_within_the_window_is_taken(api_on, seconds):
    api, pool = api_on({})
    assert (await api.respond(bhttp.Request("POST", "/classify"), date=seconds)).status == 200
    assert len(pool.calls) == 1


@pytest.mark.parametrize("seconds", [-302, 302, -86_400 * 365, 86_400 * 365])
async def test_a_date_outside_of_it_is_refused(api_on, seconds):
    api, pool = api_on({})
    response = await api.respond(bhttp.Request("POST", "/classify"), date=seconds)
    assert assert_problem(response, "date")["type"] == "https://iana.org/assignments/http-problem-types#date"
    assert pool.calls == []


@pytest.mark.parametrize("text", [None, "", "now", "Wed, 99 Nov 2026 06:23:03 GMT", "-1", "9" * 400, "0"])
async def test_a_date_that_is_none_is_refused(api_on, text):
    api, pool = api_on({})
    fields = [] if text is None else [("date", text)]
    assert_problem(await api.respond(bhttp.Request("POST", "/classify", fields), date=None), "date")
    assert pool.calls == []


async def test_a_message_that_came_before_is_refused(api_on):
    api, pool = api_on({})
    assert_problem(await api.respond(bhttp.Request("POST", "/classify"), replayed=True), "replayed")
    assert pool.calls == []


async def test_a_receipt_is_given_if_asked_for(api_on):
    api, _ = api_on(ANSWER)
    request = bhttp.Request("POST", "/classify", [("receipt-evidence", EVIDENCE)], b"image")
    answer = json.loads((await api.respond(request)).content)
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in answer["receipt"].split(".")[:2])
    assert hashlib.sha256(rfc8785.dumps(header["jwk"])).digest() == api.key.thumbprint
    assert abs(payload.pop("iat") - time.time()) < 30
    signed = {"image": None, "model": answer["model"], "predictions": ANSWER["predictions"]}
    assert payload == {
        "schema": "blindsight-receipt/1",
        "input_sha256": hashlib.sha256(b"image").hexdigest(),
        "output_sha256": hashlib.sha256(rfc8785.dumps(signed)).hexdigest(),
        "func_checksum": "00" * 32,
        "model_sha256": api.function.model_digest.hex(),
        "weights_sha256": "cd" * 32,
        "evidence_sha256": EVIDENCE,
    }
    assert "receipt" not in json.loads((await api.respond(replace(request, fields=[]))).content)


@pytest.mark.parametrize("evidence", ["", "ef" * 31, "EF" * 32, "ef" * 32 + " ", "xy" * 32])
async def test_a_receipt_needs_the_digest_of_evidence(api_on, evidence):
    api, pool = api_on(ANSWER)
    request = bhttp.Request("POST", "/classify", [("receipt-evidence", evidence)], b"image")
    assert_problem(await api.respond(request), "bad_request")
    assert pool.calls == []


async def test_the_length_of_an_answer_is_the_requests_to_settle(api_on):
    """Not the label's, the receipt's or the problem's."""
    labels = ["x", "y" * 300, "\u00fc" * 40]
    lengths = set()
    for label in labels:
        for outcome in (ANSWER | {"predictions": [{"label": label}]}, Problem("not_an_image", label), KeyError(label)):
            api, _ = api_on(outcome, labels="\n".join(labels))
            for fields in ([], [("receipt-evidence", EVIDENCE)], [("receipt-evidence", "bad")]):
                await api.respond(bhttp.Request("POST", "/classify", fields, b"image"))
                lengths.add(len(api.padded))
            await api.respond(bhttp.Request("POST", "/elsewhere"))
            await api.respond_to(b"no binary HTTP")
            lengths.add(len(api.padded))
    assert lengths == {8192}


@pytest.mark.parametrize(
    ("top_k", "length"), [(1, 8192), (20, 8192), (21, 16384), (300, 65536), (301, 8192), (-1, 8192)]
)
async def test_the_length_grows_with_the_classes_asked_for(api_on, top_k, length):
    for outcome in (ANSWER, Problem("not_an_image", "Why.")):
        api, _ = api_on(outcome)
        await api.respond(bhttp.Request("POST", f"/classify?top_k={top_k}", [], b"image"))
        assert len(api.padded) == length
    assert padding.answer_length(top_k if top_k <= 300 else 5, 3) == length


def assert_problem(response: bhttp.Response, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.content)
    assert (response.status, body["status"], body["code"]) == (CATALOGUE[code].status, CATALOGUE[code].status, code)
    assert response.header("content-type") == "application/problem+json"
    return body
