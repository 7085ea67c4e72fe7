"""Random mutations without an engine, for a short test on machines without atheris."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fuzz import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.target import Target


def mutations(target: Target, name: str, count: int) -> Iterator[bytes]:
    """`count` mutated seeds of the harness `name`; the same in every run."""
    chance = random.Random(name)  # noqa: S311 -- to be repeated, not to be unguessable
    seeds = [path.read_bytes() for path in registry.files(registry.SEEDS, name)]
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            _change(data, chance, seeds, target.words)
        yield bytes(data[: target.max_bytes])


def _change(data: bytearray, chance: random.Random, seeds: list[bytes], words: tuple[bytes, ...]) -> None:
    at = chance.randint(0, len(data))
    end = min(len(data), at + chance.randint(0, 8))
    other = chance.choice(seeds)
    start = chance.randint(0, len(other))
    match chance.randrange(6):
        case 0:
            data[at:end] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at:end])
        case 1:
            del data[at:end]
        case 2:
            data[at:at] = data[at:end] * chance.randint(1, 20)
        case 3:
            data[at:end] = chance.choice((*words, b"\x00", b"\xff", b"\x7f\xff\xff\xff"))
        case 4:
            data[at:] = other[start:]
        case _:
            data[at:end] = chance.randbytes(end - at)
