"""The request inside the envelope, as gateway and client make it (docs/protocol.md, section 2)."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING

from blindsight.receipts import EVIDENCE_FIELD
from blindsight.sealing import bhttp

if TYPE_CHECKING:
    from datetime import datetime


def classify_request(
    image: bytes, media_type: str, top_k: int, *, now: datetime, receipt_evidence: str | None
) -> bhttp.Request:
    """`POST /classify` for one image, at the time `now` (UTC).

    With `receipt_evidence`, SHA-256 in hex of the attestation document that is relied on, it asks for a receipt.
    """
    fields = [("content-type", media_type), ("date", format_datetime(now, usegmt=True))]
    if receipt_evidence is not None:
        fields.append((EVIDENCE_FIELD, receipt_evidence))
    return bhttp.Request("POST", f"/classify?top_k={top_k:d}", fields, image)
