"""The photos that callers send, and the right answer to each, computed before the service is started.

Each photo, and the name of its file, holds a canary: random text that must appear in no log.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import ROOT, StackError, source_paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TOLERANCE: Final = 1e-3
"""Between scores of one photo: the order in which threads add, and the batch's size, change the last digits."""
_START: Final = b"\xff\xd8"
_COMMENT: Final = b"\xff\xfe"
_CANARY_BYTES: Final = 24


@dataclass(frozen=True)
class Photo:
    """One photo, with the class that the function gives it, the score (0..1) and the label of that class."""

    content: bytes
    class_id: int
    score: float
    label: str
    canary: str
    """In the content, a comment of the JPEG."""
    file_name: str

    def is_answered_by(self, predictions: Sequence[Any]) -> bool:
        """Whether the first of `predictions` is the right one; each is a mapping or an object of the client's."""
        if not predictions:
            return False
        best = predictions[0] if isinstance(predictions[0], dict) else vars(predictions[0])
        return best.get("class_id") == self.class_id and abs(float(best.get("score", -1)) - self.score) < _TOLERANCE


def expected(model: Path, files: Sequence[Path], work: Path) -> list[Photo]:
    """The photos in `files`, which are JPEGs, with the answers of the enclave's function in a process of its own.

    The function gets them as callers send them. Raises `StackError`.
    """
    made = []
    for number, file in enumerate(files):
        canary = secrets.token_hex(_CANARY_BYTES)
        content = file.read_bytes()
        if not content.startswith(_START):
            raise StackError(f"{file.name} is not a JPEG")
        comment = canary.encode()
        content = _START + _COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
        path = work / f"{number}.jpeg"
        path.write_bytes(content)
        made.append((path, canary))
    command = [sys.executable, "-m", "enclave_function", "answers", "--model", str(model)]
    done = subprocess.run(
        [*command, *(str(path) for path, _ in made)],
        check=False, capture_output=True, text=True, cwd=ROOT, env=source_paths(),
    )  # fmt: skip
    if done.returncode:
        raise StackError(f"the function does not answer: {done.stderr.strip()}")
    photos = []
    for (path, canary), line in zip(made, done.stdout.splitlines(), strict=True):
        best = json.loads(line)["predictions"][0]
        photos.append(
            Photo(
                path.read_bytes(), best["class_id"], best["score"], best["label"], canary,
                f"{secrets.token_hex(_CANARY_BYTES)}.jpeg",
            )
        )  # fmt: skip
        path.unlink()
    return photos
