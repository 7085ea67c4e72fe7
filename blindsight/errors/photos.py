"""Errors of photos that cannot be sent unchanged."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class ConversionError(BlindsightError):
    """A photo in an unaccepted format was not converted; nothing was sent. Not retryable with the same file."""

    NEXT_STEPS = MappingProxyType(
        {
            "converter_missing": "Install the converter into the environment of this client: pip install pillow-heif.",
            "not_convertible": "Open the photo in a viewer; if it is whole there, save it as JPEG and send that.",
        }
    )
