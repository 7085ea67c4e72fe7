"""Finding secrets wherever they were left, in whatever form: core dumps, logs, recordings, files."""

from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BLOCK = 1 << 24
"""Bytes searched at a time."""

_HEAD = 8
"""Bytes of a form that are looked up before the whole is compared."""

_TABLE_BITS = 20
_SPREADING = np.uint64(0x9E3779B97F4A7C15)
"""Knuth's multiplier for hashing into a table: 2^64 divided by the golden ratio, odd."""

_DUMP_SECONDS = 60


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The ways in which a program might keep or write `secret`, each with its name."""
    text = secret.decode("latin-1")
    yield "as it is", secret
    yield "in hexadecimal", secret.hex().encode()
    yield "in capital hexadecimal", secret.hex().upper().encode()
    for alphabet, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        for before in range(3):
            encoded = encode(bytes(before) + secret)
            # Without the characters that its neighbours have a part in.
            first, last = math.ceil(before * 8 / 6), (before + len(secret)) * 8 // 6
            yield f"in {alphabet} after {before} bytes", encoded[first:last]
    yield "escaped for JSON", json.dumps(text)[1:-1].encode()
    yield "as JSON without escapes", json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield "as Python writes it", repr(secret)[2:-1].encode()
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield f"in {encoding}", text.encode(encoding)


def _hashed(words: np.ndarray) -> np.ndarray:
    return (words * _SPREADING) >> np.uint64(64 - _TABLE_BITS)


class Search:
    """Looks for many secrets at once, in every form."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        """`secrets` maps the name that `found` uses to at least 16 bytes."""
        self._forms: dict[int, list[tuple[bytes, str]]] = {}
        for name, secret in secrets.items():
            assert len(secret) >= 16, "a shorter one may be anywhere by chance"
            for how, form in dict(reversed(list(forms(secret)))).items():
                head = int.from_bytes(form[:_HEAD], "little")
                self._forms.setdefault(head, []).append((form, f"{name} {how}"))
        self._heads = np.array(sorted(self._forms), dtype="<u8")
        self._known = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._known[_hashed(self._heads)] = True
        self._longest = max(len(form) for several in self._forms.values() for form, _ in several)

    def found(self, content: bytes) -> set[str]:
        """What of the secrets is in `content`, and how."""
        found: set[str] = set()
        for start in range(0, len(content), _BLOCK):
            found |= self._found_in_block(content[start : start + _BLOCK + self._longest])
        return found

    def _found_in_block(self, block: bytes) -> set[str]:
        found: set[str] = set()
        for offset in range(min(_HEAD, len(block))):
            words = np.frombuffer(block, "<u8", count=(len(block) - offset) // _HEAD, offset=offset)
            candidates = np.flatnonzero(self._known[_hashed(words)])
            for index in candidates[np.isin(words[candidates], self._heads)]:
                at = offset + _HEAD * int(index)
                for form, name in self._forms[int(words[index])]:
                    if block.startswith(form, at):
                        found.add(name)
        return found


def dump(pid: int, folder: Path) -> bytes:
    """All memory of a process, with `gcore`; the process goes on. Skips the test where that is impossible."""
    if shutil.which("gcore") is None:
        pytest.skip("gcore is missing: install gdb")
    # `-a`: also what the process asked to be left out of dumps.
    command = ["gcore", "-a", "-o", str(folder / "core"), str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DUMP_SECONDS)
    file = folder / f"core.{pid}"
    if not file.exists():
        said = done.stdout + done.stderr
        if "ptrace" in said.lower() or "not permitted" in said.lower():
            pytest.skip("this machine lets no process look into another's memory (ptrace is refused)")
        raise AssertionError(f"gcore: {said}")
    content = file.read_bytes()
    file.unlink()
    return content
