"""The API inside encrypted messages: binary HTTP requests and responses (RFC 9292; docs/protocol.md, 2 and 4)."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from blindsight import answers, problems, receipts
from blindsight.errors import CapeError, SealingError
from blindsight.exchange import VERSION, VERSION_FIELD, default_top_k
from blindsight.problems import Problem
from blindsight.receipts import Receipt
from blindsight.sealing import bhttp, padding
from enclave_runtime import threads

if TYPE_CHECKING:
    from blindsight.receipts import ReceiptKey
    from enclave_runtime.cape.service import CapeService
    from enclave_runtime.function import Function
    from enclave_runtime.keys import Opened
    from enclave_runtime.workers.pool import WorkerPool

_log = logging.getLogger(__name__)

MAX_CLOCK_SECONDS: Final = 300.0
"""Maximum difference in seconds between the request's date and the enclave's clock: limits delays by the host."""

_WHOLE = re.compile(r"-?[0-9]{1,9}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Question:
    """The parameters of a request. They alone determine the length of the answer."""

    top_k: int
    evidence: str | None
    """SHA-256 (hexadecimal) of the attestation document for the receipt; None if no receipt is requested."""


class InnerApi:
    """Answers `POST /classify`. Every outcome is a response, so that refusals are encrypted, too."""

    def __init__(
        self,
        function: Function,
        pool: WorkerPool,
        ciphertexts: CapeService | None,
        receipt_key: ReceiptKey,
    ) -> None:
        """`ciphertexts` decrypts images that were encrypted for a Cape account; None in the variant without Cape."""
        self._pool = pool
        self._ciphertexts = ciphertexts
        self._receipt_key = receipt_key
        manifest = function.manifest
        self._classes = int(manifest["labels"]["count"])
        self._longest_label = function.longest_label
        self._model = {
            "name": manifest["name"],
            "version": manifest["version"],
            "digest": function.model_digest.hex(),
            "trained": manifest["trained"],
            "precision": function.precision,
        }
        if answers.is_multi_label(manifest):
            self._model["multi_label"] = True
        self._digests = {
            "func_checksum": function.checksum.hex(),
            "model_sha256": function.model_digest.hex(),
            "weights_sha256": str(manifest["onnx"]["sha256"]),
        }

    async def respond(self, opened: Opened) -> bytes:
        """The binary HTTP response to a decrypted request.

        It is padded to a length that depends only on `top_k` and the model. Does not raise: refusals are responses with
        a problem document (RFC 9457).
        """
        top_k = default_top_k(self._classes)
        try:
            request = await _request(opened)
            question = _question(request, self._classes)
            if question.top_k <= self._classes:
                top_k = question.top_k
            response = _json(200, "application/json", await self._answer(request, question))
        except Problem as problem:
            response = _refusal(problem)
        except Exception as error:  # noqa: BLE001 -- clients would retry a lost connection
            _log.error("request failed", extra={"exception": type(error).__name__})
            response = _refusal(Problem("internal", "The request could not be answered."))
        return padding.padded(response.encode(), padding.answer_length(top_k, self._longest_label))

    async def _answer(self, request: bhttp.Request, question: _Question) -> dict[str, Any]:
        image = request.content
        result = await self._pool.classify(await self._opened(image), question.top_k)
        answer = {**result, "model": self._model}
        if question.evidence is not None:
            answer["receipt"] = await threads.OPENING.run(self._receipt, image, answer, question.evidence)
        return answer

    def _receipt(self, image: bytes | memoryview, answer: dict[str, Any], evidence: str) -> str:
        receipt = Receipt(
            iat=int(datetime.now(UTC).timestamp()),
            input_sha256=hashlib.sha256(image).hexdigest(),
            output_sha256=receipts.output_digest(answer),
            evidence_sha256=evidence,
            **self._digests,
        )
        return self._receipt_key.sign(receipt)

    async def _opened(self, image: bytes | memoryview) -> bytes | memoryview:
        if self._ciphertexts is None or not self._ciphertexts.is_ciphertext(image):
            return image
        try:
            return await threads.OPENING.run(self._ciphertexts.open, image)
        except CapeError as error:
            raise Problem("cannot_decrypt", "The ciphertext is not for the account of this classifier.") from error


async def _request(opened: Opened) -> bhttp.Request:
    if opened.replayed:
        raise Problem("replayed", "Seal the image anew: a message is answered once.")
    try:
        request = await threads.apart_if_long(bhttp.decode_request, opened.request)
    except SealingError as error:
        # The error was found after decapsulation, so the answer is encrypted (RFC 9458, section 5.2).
        raise Problem("bad_request", "The sealed message is not a binary HTTP request.") from error
    _check_date(request.header("date"))
    return request


def _check_date(text: str | None) -> None:
    """Check the field `date` (RFC 9458, section 6.5.1). Raises `Problem` (`date`)."""
    try:
        date = parsedate_to_datetime(text or "")
        off = abs((date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError) as error:
        raise Problem("date", "The request needs a field 'date', as in RFC 9110, 5.6.7.") from error
    if off > MAX_CLOCK_SECONDS:
        raise Problem("date", f"The date is more than {MAX_CLOCK_SECONDS:g} s from the enclave's clock.")


def _question(request: bhttp.Request, classes: int) -> _Question:
    stated = request.header(VERSION_FIELD)
    if stated is not None and stated != VERSION:
        raise Problem("unsupported_version", f"The enclave knows version {VERSION} of its API.")
    path, _, query = request.path.partition("?")
    if path != "/classify":
        raise Problem("not_found", "The enclave answers POST /classify.")
    if request.method != "POST":
        raise Problem("method_not_allowed", "The enclave answers POST /classify.")
    evidence = request.header(receipts.EVIDENCE_FIELD)
    if evidence is not None and not _DIGEST.fullmatch(evidence):
        raise Problem("bad_request", f"{receipts.EVIDENCE_FIELD} must be a SHA-256 in lower-case hexadecimal.")
    return _Question(_top_k(query, classes), evidence)


def _top_k(query: str, classes: int) -> int:
    values = parse_qs(query, keep_blank_values=True).get("top_k", [str(default_top_k(classes))])
    # `int` alone also accepts "1_0", " 5" and digits of other scripts.
    if len(values) != 1 or not _WHOLE.fullmatch(values[0]):
        raise Problem("invalid_top_k", "top_k must be one whole number.")
    return int(values[0])


def _refusal(problem: Problem) -> bhttp.Response:
    return _json(problem.kind.status, problems.MEDIA_TYPE, problem.body())


def _json(status: int, media_type: str, content: dict[str, Any]) -> bhttp.Response:
    return bhttp.Response(status, [("content-type", media_type)], json.dumps(content).encode())
