"""The envelope that evidence travels in to callers: the JSON of `GET /attestation` (docs/protocol.md, section 1).

Nothing in it is authenticated but what the document in it vouches for. Its version says how to read the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import EvidenceFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "blindsight-attestation/1"
"""Members may be added within a version: readers skip what they do not know."""


def check_format(envelope: Mapping[str, Any]) -> None:
    """Raises `EvidenceFormatError` (`unsupported_envelope`) for another version. Releases before 0.2.0 stated none."""
    if envelope.get("format", FORMAT) != FORMAT:
        raise EvidenceFormatError("unsupported_envelope", "The evidence came in an envelope of another version.")
