"""Checks that an answer is one that the documentation states: a classification, or a problem of the catalogue."""

from __future__ import annotations

import json
from typing import Any

from blindsight.problems import CATALOGUE


class Undocumented(Exception):
    """An answer that is neither a classification nor a problem document; the message does not quote it."""


def problem_code(status: int, content: bytes) -> str:
    """The code of a problem document (RFC 9457) as the gateway sends it. Raises `Undocumented`.

    Its members have to be those that the catalogue states for the code.
    """
    try:
        found = json.loads(content)
    except ValueError:
        raise Undocumented(f"status {status} without a JSON document") from None
    return code_of(found, status)


def code_of(found: Any, status: int | None = None) -> str:  # noqa: ANN401 -- JSON
    """As `problem_code`, for a parsed document; without `status`, for one within the answer to a batch."""
    kind = CATALOGUE.get(found.get("code", "")) if isinstance(found, dict) else None
    if kind is None:
        raise Undocumented(f"status {status} without a code of the catalogue")
    expected = {"type": kind.type, "title": kind.title, "status": kind.status, "retryable": kind.retry}
    if any(found.get(name) != value for name, value in expected.items()) or not isinstance(found.get("detail"), str):
        raise Undocumented(f"{kind.code} with other members than the catalogue's")
    if status not in {None, kind.status}:
        raise Undocumented(f"{kind.code} with the status {status}")
    return kind.code


def classification(content: bytes) -> dict[str, Any]:
    """A right-formed answer with status 200: ranks from 1, scores from 0 to 1 in descending order, and the image's
    size. Raises `Undocumented`.
    """
    try:
        found = json.loads(content)
        checked(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Undocumented("status 200 without a classification") from None
    return dict(found)


def checked(found: dict[str, Any]) -> None:
    """Raise `ValueError`, `KeyError` or `TypeError` unless `found` has the members of a classification."""
    predictions = found["predictions"]
    scores = [float(each["score"]) for each in predictions]
    ranks = [each["rank"] for each in predictions]
    image = found["image"]
    if not (
        predictions
        and ranks == list(range(1, len(ranks) + 1))
        and scores == sorted(scores, reverse=True)
        and all(0 <= score <= 1 for score in scores)
        and all(isinstance(each["label"], str) and isinstance(each["class_id"], int) for each in predictions)
        and (image is None or (image["width"] > 0 and image["height"] > 0))
        and all(value >= 0 for value in found["timings_ms"].values())
    ):
        raise ValueError
