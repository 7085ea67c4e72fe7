"""The client's results: classifications and problems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from blindsight import answers
from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.recipient import Recipient
    from blindsight.attestation.report import VerificationReport

_Kind = TypeVar("_Kind")

_MODEL_MEMBERS: Final[Mapping[str, type]] = MappingProxyType(
    {"name": str, "version": str, "digest": str, "trained": bool, "precision": str, "multi_label": bool}
)
"""Types of the known members of `model`. Answers of older versions lack the last two; the last may be null."""

_MAX_EXACT: Final = 2**53
"""Integers up to this one are exact as floating-point numbers (RFC 8259, section 6)."""


@dataclass(frozen=True)
class Prediction:
    """One class; `rank` 1 is the most likely.

    `score`, 0..1, is its softmax probability; for a multi-label model (`Classification.multi_label`) it is independent.
    """

    rank: int
    class_id: int
    label: str
    score: float


@dataclass(frozen=True)
class Classification:
    """An authenticated answer of the verified enclave.

    `image` is the upright picture's `width` and `height` in pixels (None for a tensor), `timings_ms` the enclave's time
    by stage in milliseconds, `recipient` the enclave. `archive`, if a receipt was requested, is JSON to store;
    `blindsight receipt verify` and `blindsight.receipts.verify` verify it.
    """

    predictions: tuple[Prediction, ...]
    model: Mapping[str, Any]
    image: Mapping[str, int] | None
    timings_ms: Mapping[str, float]
    recipient: Recipient
    archive: Mapping[str, Any] | None = None

    @property
    def multi_label(self) -> bool:
        """Whether each class has an independent score, so that several can be right; otherwise all scores sum to 1."""
        return answers.is_multi_label(self.recipient.manifest)

    @property
    def precision(self) -> str:
        """The arithmetic of the model according to its attested manifest: `float32`, or `int8`."""
        return answers.precision(self.recipient.manifest)

    @property
    def notices(self) -> tuple[str, ...]:
        """Statements to show with the answer, such as that the evidence is simulated."""
        return self.recipient.notices

    @property
    def report(self) -> VerificationReport:
        """The verification report of the enclave."""
        return self.recipient.report

    @classmethod
    def parse(
        cls, content: Mapping[str, Any], recipient: Recipient, archive: Mapping[str, Any] | None = None
    ) -> Classification:
        """Parse the enclave's JSON. Raises `ValueError` if a member is missing, or of another type or range."""
        image = content.get("image", ...)
        return cls(
            predictions=predictions_of(content),
            model=model_of(content),
            image=None if image is None else {name: _whole(image, name, least=1) for name in ("width", "height")},
            timings_ms={name: _number(seconds) for name, seconds in _of_type(content, "timings_ms", dict).items()},
            recipient=recipient,
            archive=archive,
        )


def predictions_of(content: Mapping[str, Any]) -> tuple[Prediction, ...]:
    """The classes in an answer, of an enclave or of a gateway.

    Raises `ValueError` if there are none, or if a member is missing, or of another type or range.
    """
    listed = _of_type(content, "predictions", list)
    if not listed:
        raise ValueError("no predictions")
    return tuple(map(_prediction, listed))


def model_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The member `model` of an answer. Raises `ValueError` if it, or a known member of it, has another type."""
    model: dict[str, Any] = _of_type(content, "model", dict)
    for name in model.keys() & _MODEL_MEMBERS.keys():
        if (name, model[name]) != ("multi_label", None):
            _of_type(model, name, _MODEL_MEMBERS[name])
    return dict(model)


def _prediction(each: object) -> Prediction:
    score = _number(_member(each, "score"))
    if not 0 <= score <= 1:
        raise ValueError("a score is outside of 0..1")
    rank, class_id = _whole(each, "rank", least=1), _whole(each, "class_id", least=0)
    return Prediction(rank, class_id, _of_type(each, "label", str), score)


def _member(members: object, name: str) -> object:
    if not isinstance(members, dict) or name not in members:
        raise ValueError(f"no {name}")
    found: object = members[name]
    return found


def _of_type(members: object, name: str, kind: type[_Kind]) -> _Kind:
    found = _member(members, name)
    if type(found) is not kind:  # A bool is an int to `isinstance`.
        raise ValueError(f"{name} has another type")
    return found


def _whole(members: object, name: str, *, least: int) -> int:
    found = _of_type(members, name, int)
    if found < least:
        raise ValueError(f"{name} is out of range")
    return found


def _number(value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and abs(value) <= _MAX_EXACT:
        return float(value)
    raise ValueError("not a number, or one without end")


class GatewayProblem(Problem):
    """An unauthenticated refusal, from the gateway or any party between."""


GATEWAYS_OWN = frozenset(
    {
        "bad_request", "unauthenticated", "cross_origin", "not_found", "method_not_allowed", "request_timeout",
        "image_too_large", "unsupported_media_type", "unknown_host", "invalid_parameter", "rate_limited",
        "quota_exceeded", "internal", "overloaded", "draining", "enclave_unavailable", "evidence_refused",
        "deadline_exceeded",
    }
)  # fmt: skip
"""Problems that a gateway can detect in a message that it cannot decrypt. Only the enclave can report others,
sealed."""
