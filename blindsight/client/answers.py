"""The client's results: classifications and problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight import answers
from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.recipient import Recipient
    from blindsight.attestation.report import VerificationReport


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
        """Parse the enclave's JSON. Raises `KeyError`, `TypeError` or `ValueError` if its structure is wrong."""
        return cls(
            predictions=tuple(
                Prediction(int(each["rank"]), int(each["class_id"]), str(each["label"]), float(each["score"]))
                for each in content["predictions"]
            ),
            model=dict(content["model"]),
            image=None if content["image"] is None else dict(content["image"]),
            timings_ms=dict(content["timings_ms"]),
            recipient=recipient,
            archive=archive,
        )


class GatewayProblem(Problem):
    """An unauthenticated refusal, from the gateway or any party between."""


GATEWAYS_OWN = frozenset(
    {
        "bad_request", "unauthenticated", "cross_origin", "not_found", "method_not_allowed", "request_timeout",
        "image_too_large", "unsupported_media_type", "unknown_host", "invalid_parameter", "internal", "overloaded",
        "draining", "enclave_unavailable", "evidence_refused", "deadline_exceeded",
    }
)  # fmt: skip
"""Problems that a gateway can detect in a message that it cannot decrypt. Only the enclave can report others,
sealed."""
