"""Mutations of images. The same generator gives the same bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from benchmarks.mutated import damaged_blocks, metadata
from benchmarks.mutated.blocks import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.mutated.originals import Original

    Whole = Callable[[random.Random, bytes, list[Original]], bytes]

_FOREIGN = (
    b"%PDF-1.7\n1 0 obj\n", b"PK\x03\x04\x14\x00\x00\x00", b"<html><script>1</script></html>", b"GIF89a", b"BM",
    b"\x7fELF\x02\x01\x01", b"<svg xmlns='http://www.w3.org/2000/svg'>", b"RIFF\xff\xff\xff\x7fWEBP",
    b"\x00\x00\x00\x1cftypavif",
    b"II*\x00\x08\x00\x00\x00", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n",
)  # fmt: skip
_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xd9",
)


def _truncated(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    return data[: chance.randrange(len(data))]


def _cut_at_the_end(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    return data[: len(data) - chance.randint(1, 64)]


def _bits_flipped(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    changed = bytearray(data)
    for _number in range(chance.choice((1, 1, 2, 8, 64, 512))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _header_bits_flipped(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    changed = bytearray(data)
    for _number in range(chance.randint(1, 4)):
        changed[chance.randrange(min(len(changed), 700))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwritten(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    at = chance.randrange(len(data))
    new = chance.choice((*_INTERESTING, chance.randbytes(chance.randint(1, 200)), bytes(chance.randint(1, 4000))))
    return data[:at] + new + data[at + len(new) :]


def _inserted(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.choice((*_INTERESTING, chance.randbytes(chance.randint(1, 200)))) + data[at:]


def _removed(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 400) :]


def _repeated(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    at = chance.randrange(len(data))
    end = at + chance.randint(1, 2000)
    return data[:end] + data[at:end] * chance.randint(1, 8) + data[end:]


def _spliced(chance: random.Random, data: bytes, others: list[Original]) -> bytes:
    other = chance.choice(others).content
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def _two_files(chance: random.Random, data: bytes, others: list[Original]) -> bytes:
    return data + chance.choice(others).content


def _polyglot_before(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    start = chance.choice(_FOREIGN)
    return start + data if chance.random() < 0.5 else start + data[len(start) :]


def _polyglot_behind(chance: random.Random, data: bytes, _: list[Original]) -> bytes:
    return data + chance.choice(_FOREIGN) + chance.randbytes(chance.randint(0, 3000))


def _other_in_a_comment(chance: random.Random, data: bytes, others: list[Original]) -> bytes:
    """A file of another format where readers of this one skip it."""
    return metadata.with_foreign(chance, data, chance.choice(others).content)


WHOLE: dict[str, Whole] = {
    "truncated": _truncated,
    "cut at the end": _cut_at_the_end,
    "bits flipped": _bits_flipped,
    "bits of the header flipped": _header_bits_flipped,
    "bytes overwritten": _overwritten,
    "bytes inserted": _inserted,
    "bytes removed": _removed,
    "bytes repeated": _repeated,
    "spliced with another": _spliced,
    "two files": _two_files,
    "polyglot: foreign start": _polyglot_before,
    "polyglot: foreign end": _polyglot_behind,
    "polyglot: foreign comment": _other_in_a_comment,
}
"""Of any file."""

TWICE = " + "
"""Between the names of two mutations."""
_SECOND = 0.25
"""Share of images that are mutated twice."""


def mutated(seed: str, number: int, originals: list[Original]) -> tuple[str, str, bytes]:
    """The format of the original, the names of the mutations, and the bytes of image `number`."""
    chance = random.Random(f"{seed}/{number}")
    by_format: dict[str, list[Original]] = {}
    for each in originals:
        by_format.setdefault(each.format, []).append(each)
    # Each accepted format as often as the others, the refused ones seldom.
    weights = [10 if name in LAYOUTS else 1 for name in by_format]
    original = chance.choice(by_format[chance.choices(list(by_format), weights)[0]])
    name, data = _once(chance, original.format, original.content, originals)
    if chance.random() < _SECOND and data:
        second = chance.choice(list(WHOLE))
        name, data = f"{name}{TWICE}{second}", WHOLE[second](chance, data, originals)
    return original.format, name, data


def _once(chance: random.Random, image_format: str, data: bytes, others: list[Original]) -> tuple[str, bytes]:
    structural = {**damaged_blocks.GENERAL, **damaged_blocks.OF_FORMAT.get(image_format, {})}
    if image_format not in LAYOUTS or chance.random() < 0.3:
        name = chance.choice(list(WHOLE))
        return name, WHOLE[name](chance, data, others)
    name = chance.choice(list(structural))
    layout = LAYOUTS[image_format]
    return name, layout.write(structural[name](chance, layout.read(data)))
