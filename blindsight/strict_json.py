"""JSON (RFC 8259) from outside, read in one way only, the same as `clients/js/src/json.ts` reads it.

`json.loads` takes bytes for UTF-16 or UTF-32 where they look like it, drops a byte order mark, lets halves of surrogate
pairs through, takes the last of two members of one name, knows `NaN`, and makes an infinity of `1e999`. Two readers
that differ in such things can be shown two different messages in the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Nested arrays and objects; ours have five."""


class DuplicateMemberError(ValueError):
    """The same member twice in one object."""


def loads(data: bytes | str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """Parse `data`, in UTF-8 without a byte order mark if it is bytes.

    Raises `ValueError`; `DuplicateMemberError`, a subclass, for a member that comes twice.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("too deeply nested") from error
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateMemberError("the same member twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _check_depth(value: object) -> None:
    """Refuse what is deeper than `MAX_DEPTH`: the interpreter's own limit is another in each release.

    Nothing is deeper than it has brackets.
    """
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list) and each]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("too deeply nested")
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
