"""Photos that a user names."""

from __future__ import annotations

from typing import Final

MAX_PHOTO_BYTES: Final = 256 << 20
"""Of a file that is read at all. What a gateway takes, it says itself."""
