"""A stack whose every label would give itself away: by its length, and by a canary of this run in it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.models import write_colour_model, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@dataclass(frozen=True)
class TellingStack:
    """The stack, its labels in class order, and what all of them hold."""

    stack: Stack
    labels: list[str]
    canary: str


def _label(canary: str, class_id: int) -> str:
    """From 37 to 77 bytes of JSON, some of them because a character may take six."""
    filler = class_id * 7 % 41
    return f"{canary}-{class_id:03}" + ("é" * (filler // 6) if class_id % 3 == 0 else "x" * filler)


@pytest.fixture(scope="session")
def telling_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TellingStack]:
    """An enclave with two workers on the colour model with telling labels, and a gateway."""
    from tests.support.stack import running_stack  # other tests need neither the stack nor what it imports

    canary = secrets.token_hex(16)
    labels = [_label(canary, class_id) for class_id in range(1000)]
    model = write_colour_model(tmp_path_factory.mktemp("telling-model")).folder
    (model / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    write_manifest(model, "tiny.onnx", "labels.txt")
    with running_stack(model, tmp_path_factory.mktemp("telling-stack")) as stack:
        yield TellingStack(stack, labels, canary)
