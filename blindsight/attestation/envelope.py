"""The JSON response of `GET /attestation`, which carries evidence to callers (docs/protocol.md, section 1).

Only the attestation document authenticates its contents. The version determines how to read the other members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import EvidenceFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "blindsight-attestation/1"
"""Later releases can add members within a version: readers skip unknown ones."""


def check_format(envelope: Mapping[str, Any]) -> None:
    """Raise `EvidenceFormatError` (`unsupported_envelope`) for another version. Releases before 0.2.0 stated none."""
    if envelope.get("format", FORMAT) != FORMAT:
        raise EvidenceFormatError("unsupported_envelope", "The evidence came in an envelope of another version.")
