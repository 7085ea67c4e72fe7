"""The catalogue of problems (RFC 9457): one entry per stable code, shared by gateway and enclave.

A problem's `type` is a relative reference to its paragraph in the gateway's own documentation, unless a standard names
it; `retry` says that the same request may succeed later.
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
    """The type's URI, where a standard has registered one."""

    @property
    def type(self) -> str:
        return self.registered or f"/problems#{self.code}"

    @property
    def next_step(self) -> str:
        """What a caller can do now."""
        if self.retry:
            return "Try again in a few seconds; if it stays like this, ask the operator."
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
    ProblemKind("unsupported_version", 400, "The request is of a version that the enclave does not know"),
    ProblemKind("unauthenticated", 401, "An API token is needed"),
    ProblemKind("cross_origin", 403, "The request comes from a page of another origin"),
    ProblemKind("not_found", 404, "There is nothing here"),
    ProblemKind("method_not_allowed", 405, "This method is not allowed here"),
    ProblemKind("request_timeout", 408, "The request body did not arrive in time", retry=True),
    ProblemKind("replayed", 409, "The enclave has opened this message before"),
    ProblemKind("image_too_large", 413, "The image has too many bytes"),
    ProblemKind("unsupported_media_type", 415, "This media type is not supported"),
    ProblemKind("unknown_host", 421, "The request names a host that this service is not"),
    ProblemKind("not_an_image", 422, "The body is not an image"),
    ProblemKind("truncated_image", 422, "The image is truncated or damaged"),
    ProblemKind("too_many_pixels", 422, "The image has too many pixels"),
    ProblemKind("too_many_images", 422, "The batch has too many images"),
    ProblemKind("cannot_decrypt", 422, "The ciphertext cannot be decrypted here"),
    ProblemKind(
        "ohttp_key",
        422,
        "The message is sealed to a key that the enclave does not have",
        registered="https://iana.org/assignments/http-problem-types#ohttp-key",
    ),
    ProblemKind("invalid_tensor", 422, "The tensor is not of the model's input"),
    ProblemKind("invalid_top_k", 422, "top_k is out of range"),
    ProblemKind("invalid_parameter", 422, "A parameter is invalid"),
    ProblemKind("internal", 500, "Something went wrong here"),
    ProblemKind("overloaded", 503, "All places are taken", retry=True),
    ProblemKind("draining", 503, "The service is shutting down", retry=True),
    ProblemKind("worker_lost", 503, "The worker was lost while it held this image", retry=True),
    ProblemKind("enclave_unavailable", 503, "The enclave cannot be reached", retry=True),
    ProblemKind("evidence_refused", 503, "The enclave's evidence was refused", retry=True),
    ProblemKind("deadline_exceeded", 504, "The answer did not come in time", retry=True),
)

CATALOGUE: Final = {kind.code: kind for kind in _KINDS}

_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "retryable"})


class Problem(BlindsightError):
    """A problem on its way to the caller. `detail` and `extra` never quote what the caller sent."""

    NEXT_STEPS = MappingProxyType({kind.code: kind.next_step for kind in _KINDS})

    def __init__(self, code: str, detail: str, **extra: str | float | None) -> None:
        super().__init__(code, detail)
        self.kind = CATALOGUE[code]
        self.detail = detail
        self.extra: Mapping[str, Any] = extra

    @property
    def retryable(self) -> bool:
        return self.kind.retry

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Problem:
        """The problem that a problem document states. Raises `KeyError` for a code that the catalogue lacks."""
        problem = cls(str(content.get("code")), str(content.get("detail", "")))
        problem.extra = {name: value for name, value in content.items() if name not in _MEMBERS}
        return problem

    def body(self) -> dict[str, Any]:
        """The members of the problem document, without `instance`, which is the gateway's."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            "retryable": self.kind.retry,
            **self.extra,
        }
