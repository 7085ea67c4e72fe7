"""A parser for a function's request: small JSON with one long text, which is not parsed.

Parsing ten megabytes of JSON would block the whole runtime, and a function could cause it repeatedly.
"""

from __future__ import annotations

from typing import Any, Final

from blindsight import strict_json

_SMALL_BYTES: Final = 16 * 1024
"""Of the parsed part: a request without its long text."""

_MAX_QUOTES: Final = 64
_PLACEHOLDER: Final = b"the long text"


def parse(received: bytearray) -> dict[str, Any] | None:
    """The JSON object in `received`; None if it is invalid or incomplete. A long text among `params` is a memoryview.

    The object keeps a view of `received` only for a long text.
    """
    if len(received) <= _SMALL_BYTES:
        return _object(bytes(received))
    start, end = _longest_between_quotes(received)
    if len(received) - (end - start) > _SMALL_BYTES or received.find(b"\\", start, end) >= 0:
        return None
    # Outside of quotes the placeholder would be no JSON.
    request = _object(bytes(received[:start]) + _PLACEHOLDER + bytes(received[end:]))
    if request is None or request.get("params") != [_PLACEHOLDER.decode()]:
        return None
    request["params"] = [memoryview(received)[start:end]]
    return request


def _object(encoded: bytes) -> dict[str, Any] | None:
    try:
        parsed = strict_json.loads(encoded)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _longest_between_quotes(received: bytearray) -> tuple[int, int]:
    """The start and end of the longest stretch between two quotation marks; none if there are too many of them."""
    longest = (0, 0)
    at = received.find(b'"')
    for _ in range(_MAX_QUOTES):
        following = received.find(b'"', at + 1)
        if following < 0:
            return longest
        longest = max(longest, (at + 1, following), key=lambda stretch: stretch[1] - stretch[0])
        at = following
    return 0, 0
