"""A strict parser for untrusted JSON (RFC 8259), with the same result as `clients/js/src/json.ts`.

`json.loads` decodes bytes as UTF-16 or UTF-32 if they look like it, drops a byte order mark, accepts lone surrogates,
uses the last of duplicate members, accepts `NaN`, and parses `1e999` as infinity. An attacker could show two different
messages in the same bytes to parsers that differ in such cases.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Maximum nesting of arrays and objects; Blindsight's messages have five levels."""


class DuplicateMemberError(ValueError):
    """An object has the same member twice."""


def loads(data: bytes | str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """Parse `data`, in UTF-8 without a byte order mark if it is bytes.

    Raises `ValueError`; its subclass `DuplicateMemberError` for a duplicate member.
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
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: object) -> None:
    """Refuse nesting deeper than `MAX_DEPTH`, because the interpreter's limit differs between releases.

    A text with fewer brackets cannot be that deep.
    """
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list) and each]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("too deeply nested")
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
