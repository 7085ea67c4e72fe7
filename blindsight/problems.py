"""The catalogue of problems (RFC 9457): one entry for each stable code, shared by gateway and enclave.

A problem's `type` is a relative reference to its paragraph in the gateway's documentation, unless a standard registers
it; `retry` states that the same request can succeed later.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import BlindsightError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class ProblemKind:
    """One kind of problem."""

    code: str
    status: int
    title: str
    retry: bool = False
    registered: str | None = None
    """The type's URI, if a standard registers one."""

    @property
    def type(self) -> str:
        return self.registered or f"/problems#{self.code}"

    @property
    def next_step(self) -> str:
        """The recommended action for the caller."""
        if self.status == 429:
            return "Wait as long as the detail says; ask the operator for a higher limit if that is not enough."
        if self.retry:
            return "Try again in a few seconds; if the error persists, ask the operator."
        return "Ask the operator." if self.status >= 500 else "Change the request as the detail says."


_KINDS = (
    ProblemKind("bad_request", 400, "The request is malformed"),
    ProblemKind("empty_body", 400, "The image is missing or empty"),
    ProblemKind("bad_multipart", 400, "The multipart form cannot be read"),
    ProblemKind("bad_json", 400, "The JSON body cannot be read"),
    ProblemKind(
        "date",
        400,
        "The request's date is missing or too far from the enclave's",
        registered="https://iana.org/assignments/http-problem-types#date",
    ),
    ProblemKind("unsupported_version", 400, "The enclave does not know the request's version"),
    ProblemKind("unauthenticated", 401, "An API token is needed"),
    ProblemKind("cross_origin", 403, "The request comes from a page of another origin"),
    ProblemKind("not_found", 404, "This resource does not exist"),
    ProblemKind("method_not_allowed", 405, "This method is not allowed here"),
    ProblemKind("request_timeout", 408, "The request body did not arrive in time", retry=True),
    ProblemKind("replayed", 409, "The enclave has already answered this message"),
    ProblemKind("image_too_large", 413, "The image has too many bytes"),
    ProblemKind("unsupported_media_type", 415, "This media type is not supported"),
    ProblemKind("unknown_host", 421, "The request's host name is not one of this service"),
    ProblemKind("not_an_image", 422, "The body is not an image"),
    ProblemKind("truncated_image", 422, "The image is truncated or damaged"),
    ProblemKind("too_many_pixels", 422, "The image has too many pixels"),
    ProblemKind("too_many_images", 422, "The batch has too many images"),
    ProblemKind("cannot_decrypt", 422, "The ciphertext cannot be decrypted here"),
    ProblemKind(
        "ohttp_key",
        422,
        "The message is encrypted to a key that the enclave does not have",
        registered="https://iana.org/assignments/http-problem-types#ohttp-key",
    ),
    ProblemKind("invalid_tensor", 422, "The tensor does not match the model's input"),
    ProblemKind("invalid_top_k", 422, "top_k is out of range"),
    ProblemKind("invalid_parameter", 422, "A parameter is invalid"),
    ProblemKind("rate_limited", 429, "The caller has made too many requests", retry=True),
    ProblemKind("quota_exceeded", 429, "The caller's quota of images is used up"),
    ProblemKind("internal", 500, "An internal error occurred"),
    ProblemKind("overloaded", 503, "The service is at its capacity", retry=True),
    ProblemKind("draining", 503, "The service is shutting down", retry=True),
    ProblemKind("worker_lost", 503, "The worker ended while it processed this image", retry=True),
    ProblemKind("enclave_unavailable", 503, "The enclave cannot be reached", retry=True),
    ProblemKind("evidence_refused", 503, "The enclave's evidence was refused", retry=True),
    ProblemKind("deadline_exceeded", 504, "The answer did not arrive in time", retry=True),
)

CATALOGUE: Final = {kind.code: kind for kind in _KINDS}

_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "retryable"})


class Problem(BlindsightError):
    """A problem for the caller. `detail` and `extra` never quote the request."""

    NEXT_STEPS = MappingProxyType({kind.code: kind.next_step for kind in _KINDS})

    def __init__(self, code: str, detail: str, **extra: str | float | None) -> None:
        super().__init__(code, detail)
        self.kind = CATALOGUE[code]
        self.detail = detail
        self.extra: Mapping[str, Any] = extra

    @property
    def retryable(self) -> bool:
        return self.kind.retry

    @property
    def retry_after(self) -> int | None:
        """Seconds to wait before the request can succeed, if the answer states them."""
        seconds = self.extra.get("retry_after")
        return seconds if type(seconds) is int and seconds >= 0 else None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Problem:
        """Parse a problem document. Raises `KeyError` for a code that the catalogue lacks."""
        problem = cls(str(content.get("code")), str(content.get("detail", "")))
        problem.extra = {name: value for name, value in content.items() if name not in _MEMBERS}
        return problem

    def body(self) -> dict[str, Any]:
        """The members of the problem document without `instance`, which the gateway adds."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            "retryable": self.kind.retry,
            **self.extra,
        }
