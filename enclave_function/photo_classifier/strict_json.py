"""Parses a manifest strictly: JSON (RFC 8259) in which two parsers cannot read different things.

`blindsight.strict_json` does the same for messages. The function cannot import it, because its bundle contains nothing
of `blindsight`; `tests/enclave_function/test_copies.py` compares the two.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 100
"""Maximum nesting of arrays and objects; a manifest has four levels."""


def loads(data: bytes) -> Any:  # noqa: ANN401 -- any JSON value
    """Parse UTF-8 without a byte order mark.

    Raises `ValueError`, also for duplicate members, numbers that are not finite, and nesting beyond `MAX_DEPTH`.
    """
    text = data.decode("utf-8")
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
        raise ValueError("the same member twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: object) -> None:
    # The interpreter's own limit differs between releases.
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list) and each]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("too deeply nested")
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
