"""`python -m gateway audit verify`: checks the chain of an audit log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from blindsight import files
from gateway.audit.trail import FIRST, INCOMPLETE, INTERRUPTED, PREVIOUS, digest, entry_of

if TYPE_CHECKING:
    from pathlib import Path

_MAX_LINE_BYTES: Final = 1 << 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BrokenTrail(Exception):
    """The message names the file and its first broken line."""


@dataclass
class Verified:
    """What a file has: the number of its lines, the digests before its first and of its last, and the numbers of
    incomplete lines.
    """

    continues: str = FIRST
    last: str = FIRST
    lines: int = 0
    interrupted: list[int] = field(default_factory=list)
    found: bool = False
    """Whether the line that was asked for is there."""


def verify(path: Path, *, wanted: str | None = None) -> Verified:
    """Check the chain of the file at `path`, and look for the line with the digest `wanted`.

    Raises `BrokenTrail`, `OSError`.
    """
    result = Verified()
    incomplete: list[bytes] = []
    with files.opened(path) as file:
        while content := file.readline(_MAX_LINE_BYTES + 1):
            result.lines += 1
            if len(content) > _MAX_LINE_BYTES:
                raise BrokenTrail(f"{path}, line {result.lines}: longer than {_MAX_LINE_BYTES} bytes")
            line = content.removesuffix(b"\n")
            entry = entry_of(line)
            if entry is None:
                incomplete.append(line)
                continue
            if incomplete or entry["act"] == INTERRUPTED:
                _check_incomplete(path, entry, incomplete, result)
            _check(path, entry, result)
            if not content.endswith(b"\n"):
                raise BrokenTrail(f"{path}, line {result.lines}: its end is missing")
            incomplete = []
            result.last = digest(line)
            result.found = result.found or result.last == wanted
    if incomplete:
        raise BrokenTrail(f"{path}, line {result.lines - len(incomplete) + 1}: incomplete, or no entry")
    return result


def _check_incomplete(path: Path, entry: dict[str, Any], incomplete: list[bytes], so_far: Verified) -> None:
    """Whether `entry` is the one that follows these lines."""
    first = so_far.lines - len(incomplete)
    if entry["act"] != INTERRUPTED or not incomplete or entry.get(INCOMPLETE) != digest(b"\n".join(incomplete)):
        raise BrokenTrail(f"{path}, line {first}: incomplete, or no entry")
    so_far.interrupted += range(first, so_far.lines)


def _check(path: Path, entry: dict[str, Any], so_far: Verified) -> None:
    previous = entry[PREVIOUS]
    if not isinstance(previous, str) or not _DIGEST.fullmatch(previous):
        raise BrokenTrail(f"{path}, line {so_far.lines}: without the SHA-256 of the line before")
    if so_far.last == FIRST:
        so_far.continues = previous
    elif previous != so_far.last:
        raise BrokenTrail(
            f"{path}, line {so_far.lines}: does not continue the line before: that was changed, or lines were removed,"
            " added or moved"
        )


def report(paths: list[Path], *, wanted: str | None = None) -> list[str]:
    """A line for each file, oldest first; each has to continue the one before. Raises `BrokenTrail`, `OSError`."""
    said = []
    last: str | None = None
    found = wanted is None
    for path in paths:
        result = verify(path, wanted=wanted)
        found = found or result.found
        if last is not None and result.lines and result.continues != last:
            raise BrokenTrail(f"{path}, line 1: does not continue the file before it")
        last = result.last if result.lines else last
        notes = "".join(f"; line {number} is incomplete: its writing was interrupted" for number in result.interrupted)
        said.append(f"{path}: {result.lines} lines, last SHA-256 {result.last}{notes}")
    if not found:
        raise BrokenTrail(f"{paths[-1]}: no line with the SHA-256 {wanted}: lines are missing, or were written anew")
    return said
