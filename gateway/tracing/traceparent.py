"""The caller's `traceparent` (W3C Trace Context, section 3.2), parsed strictly.

`tracestate` and `baggage` are not read: they are text of the caller's choice, and the gateway passes no trace on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_MAX_BYTES: Final = 512
_SAMPLED: Final = 1


@dataclass(frozen=True)
class RemoteParent:
    """The caller's span: a trace id of 16 bytes, a span id of 8, and whether the caller records the trace."""

    trace_id: int
    span_id: int
    sampled: bool


def remote_parent(headers: Iterable[tuple[bytes, bytes]]) -> RemoteParent | None:
    """The parent that the headers name; None without one, with several, or with an invalid one."""
    values = [value for name, value in headers if name == b"traceparent"]
    if len(values) != 1 or len(values[0]) > _MAX_BYTES:
        return None
    match = _FORM.fullmatch(values[0])
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # Section 4.3: a later version can have more fields, version 00 has none, and ff is invalid.
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    parent = RemoteParent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
    return parent if parent.trace_id and parent.span_id else None
