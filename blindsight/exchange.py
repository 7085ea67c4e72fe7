"""One sealed exchange with a verified enclave: encapsulate an image, send it, decapsulate the answer; once more if the
enclave's keys have changed.

It has no I/O: a generator of steps, which a client over HTTP and a gateway over frames execute in their own way,
sending each result back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

from blindsight import strict_json
from blindsight.errors import SealingError, TransportError
from blindsight.receipts import EVIDENCE_FIELD
from blindsight.sealing import bhttp, ohttp, padding

if TYPE_CHECKING:
    from collections.abc import Generator

    from blindsight.attestation.recipient import Recipient

VERSION_FIELD: Final = "blindsight-version"
"""Header field of the inner request with the inner API's version. The answer has the same version."""

VERSION: Final = "1"
"""The version of requests without the field."""

DEFAULT_TOP_K: Final = 5
"""Number of classes in an answer, unless the request states another or the model has fewer."""


def default_top_k(classes: int) -> int:
    """The default number of predictions for a model with `classes` classes."""
    return min(DEFAULT_TOP_K, classes)


@dataclass(frozen=True)
class Question:
    """An image and the requested result. `top_k` None is the default."""

    image: bytes = field(repr=False)
    top_k: int | None = None
    with_receipt: bool = False


@dataclass(frozen=True)
class Ask:
    """Send the encapsulated request `sealed`; the result is the encapsulated response.

    Throw `KeysChangedError` into the generator if the enclave does not have these keys.
    """

    sealed: bytes = field(repr=False)


@dataclass(frozen=True)
class Renew:
    """Replace the `outdated` recipient: verify again, unless that was just done; the result is the recipient to use."""

    outdated: Recipient | None


@dataclass(frozen=True)
class Opened:
    """The enclave's decrypted answer, and the enclave. `content` is JSON: an answer if `status` is 200, else a
    problem.
    """

    status: int
    content: dict[str, Any] = field(repr=False)
    recipient: Recipient


class KeysChangedError(SealingError):
    """The enclave no longer has the keys that the message was encrypted to."""

    def __init__(self) -> None:
        super().__init__("unknown_key", "The enclave's keys have changed.")


def converse(question: Question, recipient: Recipient | None, *, padded: bool) -> Generator[Ask | Renew, Any, Opened]:
    """Ask `recipient`, or the result of a `Renew`; once more if its keys have changed.

    `padded` hides the image's length from observers. Raises `SealingError`: `answer_not_genuine` if the answer is not
    the enclave's answer to this request, `unknown_key` if the keys change again; `TransportError` for an answer of
    another form.
    """
    if recipient is None:
        recipient = yield Renew(None)
    try:
        return (yield from _once(question, recipient, padded=padded))
    except KeysChangedError:
        recipient = yield Renew(recipient)
        return (yield from _once(question, recipient, padded=padded))


def _once(question: Question, recipient: Recipient, *, padded: bool) -> Generator[Ask | Renew, Any, Opened]:
    top_k = default_top_k(recipient.classes) if question.top_k is None else question.top_k
    evidence = recipient.document_sha256 if question.with_receipt else None
    request = classify_request(question.image, top_k, now=datetime.now(UTC), receipt_evidence=evidence).encode()
    if padded:
        request = padding.padded(request, padding.request_length(len(request)))
    sealed, opener = ohttp.encapsulate(recipient.config, request)
    answer: bytes = yield Ask(sealed)
    try:
        response = bhttp.decode_response(opener.open(answer))
    except SealingError as error:
        raise SealingError("answer_not_genuine", "The answer is not the enclave's to this request.") from error
    return Opened(response.status, _json_object(response.content), recipient)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(content)
    except ValueError as error:
        raise _unknown_form() from error
    if not isinstance(value, dict):
        raise _unknown_form()
    return value


def _unknown_form() -> TransportError:
    return TransportError("unexpected_answer", "The enclave's answer is of a form that is not known here.")


def classify_request(image: bytes, top_k: int, *, now: datetime, receipt_evidence: str | None) -> bhttp.Request:
    """The inner request `POST /classify` at the time `now` (UTC); docs/protocol.md, section 2.

    `receipt_evidence`, SHA-256 in hex of the attestation document that the caller relies on, requests a receipt.
    """
    fields = [("date", format_datetime(now, usegmt=True))]
    if receipt_evidence is not None:
        fields.append((EVIDENCE_FIELD, receipt_evidence))
    return bhttp.Request("POST", f"/classify?top_k={top_k:d}", fields, image)
