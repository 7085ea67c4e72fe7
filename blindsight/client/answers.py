"""What a caller gets: classes, or problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight.answers import is_multi_label
from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.recipient import Recipient
    from blindsight.attestation.report import VerificationReport


@dataclass(frozen=True)
class Prediction:
    """One class; `rank` 1 is the best. `score`, 0..1, is its share of all, or its own: `Classification.multi_label`."""

    rank: int
    class_id: int
    label: str
    score: float


@dataclass(frozen=True)
class Classification:
    """An answer that only the verified enclave can have sealed.

    `image` is the upright picture's `width` and `height` (None for a tensor), `timings_ms` the enclave's time by stage,
    `recipient` who answered. `archive`, if a receipt was asked for, is JSON to keep: `blindsight receipt verify`
    and `blindsight.receipts.verify` take it.
    """

    predictions: tuple[Prediction, ...]
    model: Mapping[str, Any]
    image: Mapping[str, int] | None
    timings_ms: Mapping[str, float]
    recipient: Recipient
    archive: Mapping[str, Any] | None = None

    @property
    def multi_label(self) -> bool:
        """Whether each class is scored by itself, so that several can be right; otherwise all scores sum to 1."""
        return is_multi_label(self.recipient.manifest)

    @property
    def notices(self) -> tuple[str, ...]:
        """What to know before relying on it."""
        return self.recipient.notices

    @property
    def report(self) -> VerificationReport:
        """How the enclave was verified, step by step."""
        return self.recipient.report

    @classmethod
    def parse(
        cls, content: Mapping[str, Any], recipient: Recipient, archive: Mapping[str, Any] | None = None
    ) -> Classification:
        """Raises `KeyError`, `TypeError` or `ValueError` for content of another shape."""
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
    """A refusal that came unsealed. The gateway may have written it, or any party between."""


GATEWAYS_OWN = frozenset(
    {
        "bad_request", "unauthenticated", "cross_origin", "not_found", "method_not_allowed", "request_timeout",
        "image_too_large", "unsupported_media_type", "unknown_host", "invalid_parameter", "internal", "overloaded",
        "draining", "enclave_unavailable", "evidence_refused", "deadline_exceeded",
    }
)  # fmt: skip
"""Problems that a gateway can have with a message that it cannot read. Any other is the enclave's to state, sealed."""
