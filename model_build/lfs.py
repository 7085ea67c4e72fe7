"""Git LFS pointers: what a clone holds in a file's place until `git lfs pull` has fetched it."""

from __future__ import annotations

from typing import Final

FETCH: Final = "fetch the file with `git lfs pull`"

POINTER_BYTES: Final = 1024
"""A pointer is smaller than this."""

_FIRST_LINE: Final = b"version https://git-lfs.github.com/spec/v1\n"
"""From Git LFS, docs/spec.md."""


def is_pointer(content: bytes) -> bool:
    """Whether `content`, or its beginning, is that of a pointer."""
    return content.startswith(_FIRST_LINE)
