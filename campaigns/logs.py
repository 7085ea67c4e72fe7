"""Whether a photo, its file's name or its class appears in a log, and how often the programs say what."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from campaigns.photos import Photo

_EVENT: Final = '{"time": '
_LEAST_LABEL: Final = 8
"""Characters: a shorter class name, such as "ram", is part of other words."""


def canaries_in(logs: Iterable[Path], photos: Sequence[Photo]) -> list[str]:
    """What of `photos` is in which log, in words that do not repeat it."""
    found = []
    for log in logs:
        content = log.read_bytes()
        for kind, secret in _secrets(photos):
            if secret in content:
                found.append(f"{log.parent.name}/{log.name}: {kind}")
    return sorted(set(found))


def _secrets(photos: Sequence[Photo]) -> Iterator[tuple[str, bytes]]:
    for photo in photos:
        canary = photo.canary.encode()
        yield "a photo", canary
        yield "a photo in hexadecimal", canary.hex().encode()
        for before in range(3):
            # Without the characters in which its neighbours have a part.
            yield "a photo in base64", base64.b64encode(bytes(before) + canary)[4:-4]
        yield "a file's name", photo.file_name.removesuffix(".jpeg").encode()
        if len(photo.label) >= _LEAST_LABEL:
            yield "a class", photo.label.encode()


def tracebacks_in(logs: Iterable[Path]) -> list[str]:
    """The logs of our units with a line that is not JSON, such as a traceback, with the number of such lines.

    A line that a full disk has cut off begins as an event does, and is none of them.
    """
    found = []
    for log in logs:
        lines = log.read_text(errors="replace").splitlines()
        odd = [line for line in lines if line and not _is_event(line) and not _is_cut(line)]
        if odd:
            found.append(f"{log.parent.name}/{log.name}: {len(odd)} lines, the last {odd[-1][:200]}")
    return found


def _is_cut(line: str) -> bool:
    return _EVENT.startswith(line) or line.startswith(_EVENT)


def exceptions_in(logs: Iterable[Path]) -> Counter[str]:
    """The kinds of exceptions that our units logged, with their numbers."""
    counts: Counter[str] = Counter()
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            if _is_event(line):
                event = json.loads(line)
                if event.get("level") in {"error", "critical", "ERROR", "CRITICAL"}:
                    counts[re.sub(r"[0-9a-f]{8,}", "…", str(event.get("event")))] += 1
    return counts


def _is_event(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
