"""Determines whether a JPEG contains all pixels (ITU-T T.81, annex B).

A decoder that runs out of data, at the file's end or at an end marker, continues with zeros (for the one scan of most
files that means grey) and emits a warning, which Pillow does not report.
So the entropy-coded data is continued in several ways: if pixels depend on the missing bytes, the images differ.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Final

END: Final = b"\xff\xd9"
_EOI: Final = 0xD9
_SOS: Final = 0xDA
_DRI: Final = 0xDD
_RESTARTS: Final = range(0xD0, 0xD8)
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment: TEM, RST and SOI."""
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a frame header (SOF), which are all of that row but DHT, JPG and DAC."""
_DECODABLE_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended sequential and progressive, with Huffman's or arithmetic coding."""
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
_ARITHMETIC: Final = frozenset({0xC9, 0xCA})

_NOTHING: Final = 16
"""More low bits than a coefficient has."""

_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In entropy-coded data: what is neither a stuffed byte nor a restart marker. Without the fill bytes before it, since a
pattern that takes any number of them needs a time that grows with the square of that number."""
_FILL: Final = b"\xff"
_NO_FILL: Final = re.compile(rb"[^\xff]")
_PADDING: Final = b"\x00\xff"
"""What erased or unwritten storage holds."""
_STUFFED: Final = b"\xff\x00"

_GUESSES: Final = tuple(bytes(each % 254 + 1 for each in hashlib.sha512(seed).digest()) for seed in (b"\x05", b"\x01"))
"""They begin with the bits 00 and 01. No byte, and no byte's complement, is 255, which begins a marker."""
_CONTINUATIONS: Final = tuple(each for guess in _GUESSES for each in (guess, bytes(255 - byte for byte in guess)))
"""They begin with each pair of bits. Of 9,000 cuts in the last 24 bytes of small pictures, the first two overlooked 19,
three 4, all four none."""


@dataclass(frozen=True)
class Structure:
    """`pixels_end`: end of the last scan's entropy-coded data; None without a scan. `has_end`: EOI follows.

    `complete`: the scans contain every component and every bit of every coefficient. `every_component`: they contain
    at least the mean values of every component. `ends_in_grey`: decoders show missing pixels as grey, because one scan
    with Huffman's coding has the mean values of all components; what later scans lack is detail. `plain`: the kind of
    JPEG is decoded. `restart`: the next restart marker; empty if the scan has none.
    """

    pixels_end: int | None
    has_end: bool
    complete: bool
    every_component: bool
    ends_in_grey: bool
    plain: bool
    restart: bytes


def structure(data: bytes, *, until_pixels: bool = False) -> Structure:
    """Follow the markers of `data`, which begins like a JPEG, as far as possible, or only to the first scan."""
    scans = _Scans()
    position = 2
    has_end = False
    while position + 2 <= len(data) and data[position] == 0xFF and not has_end:
        marker = data[position + 1]
        if marker == 0xFF:
            after = _NO_FILL.search(data, position)
            if after is None:
                break
            position = after.start() - 1
            continue
        has_end = marker == _EOI
        if has_end or marker in _ALONE:
            position += 2
            continue
        if position + 4 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if length < 2 or len(segment) < length - 2:
            break
        position += 2 + length
        if marker == _SOS:
            scans.scan(segment)
            if until_pixels:
                break
            found = _MARKER.search(data, position)
            end = _without_fill(data, position, found.start()) if found else _without_padding(data, position)
            scans.span = position, end
            position = found.start() if found else len(data)
        else:
            scans.table(marker, segment)
    return Structure(
        pixels_end=scans.span and scans.span[1],
        has_end=has_end,
        complete=scans.complete(),
        every_component=scans.every_component(),
        # Without later scans, decoders smooth what the first one has.
        ends_in_grey=scans.means_in_the_first and not scans.arithmetic and (scans.complete() or not scans.progressive),
        plain=scans.plain,
        restart=scans.restart(data),
    )


def continued(data: bytes, structure: Structure) -> list[bytes]:
    """`data` up to the end of its pixels, with each of several continuations and an end marker."""
    more = [*_CONTINUATIONS, *([structure.restart + _GUESSES[0]] if structure.restart else [])]
    return [data[: structure.pixels_end] + each + END for each in more]


class _Scans:
    """The bits of the coefficients that were seen, by component."""

    def __init__(self) -> None:
        self.plain = True
        self.progressive = self.arithmetic = False
        self.means_in_the_first = False
        self.span: tuple[int, int] | None = None
        """Of the last scan's entropy-coded data."""
        self._left: dict[int, list[int]] = {}
        """How many low bits are missing of each of the 64 coefficients; 16 where none has come."""
        self._restarts = False

    def table(self, marker: int, segment: bytes) -> None:
        """Take any segment but a scan's."""
        if marker == _DRI:
            self._restarts = any(segment[:2])
        elif marker in _FRAMES:
            self.progressive |= marker in _PROGRESSIVE
            self.arithmetic |= marker in _ARITHMETIC
            self.plain = self.plain and marker in _DECODABLE_FRAMES and segment[:1] == b"\x08"
            self._left.update((component, [_NOTHING] * 64) for component in segment[6:-2:3])

    def scan(self, segment: bytes) -> None:
        """Take a scan's header: its components, first and last coefficient, and which of their bits it brings."""
        components = segment[1:-3:2]
        if len(segment) < 6 or len(components) != segment[0]:
            return
        is_first = self.span is None
        # A sequential scan brings everything, whatever it says of that: decoders ignore it.
        first, last, shifts = segment[-3:] if self.progressive else (0, 63, 0)
        for component in components:
            for index in range(first, min(last, 63) + 1):
                self._left.setdefault(component, [_NOTHING] * 64)[index] = shifts & 15
        if is_first:
            self.means_in_the_first = self.every_component()

    def complete(self) -> bool:
        return bool(self._left) and not any(any(left) for left in self._left.values())

    def every_component(self) -> bool:
        return bool(self._left) and all(left[0] < _NOTHING for left in self._left.values())

    def restart(self, data: bytes) -> bytes:
        if not self._restarts or self.span is None:
            return b""
        places = [data.rfind(bytes((0xFF, marker)), *self.span) for marker in _RESTARTS]
        following = (places.index(max(places)) + 1) % 8 if max(places) >= 0 else 0
        return bytes((0xFF, _RESTARTS[following]))


def _without_fill(data: bytes, start: int, end: int) -> int:
    """Where entropy-coded data from `start` to a marker at `end` stops, before the marker's fill bytes."""
    return start + len(data[start:end].rstrip(_FILL))


def _without_padding(data: bytes, start: int) -> int:
    """Where entropy-coded data from `start` to the file's end stops being what storage held before."""
    end = max(start, len(data.rstrip(_PADDING)))
    while data.startswith(_STUFFED, end):
        end += 2
    return end
