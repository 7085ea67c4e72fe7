"""Harness for enclave images (EIF), as `blindsight eif describe` parses untrusted ones.

The first byte modulo 4 selects: 0, an image, whose CRC is corrected; 1, its sections (`fuzz.pieces`, numbered by type),
which are assembled correctly; 2, a ramdisk; 3, a signature section.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING

import cbor2
from cryptography.hazmat.primitives.serialization import Encoding

from blindsight.eif import layout, listing, ramdisk, signature
from blindsight.eif.describe import describe, registers
from blindsight.eif.measure import measure, measure_parts
from blindsight.errors import EifError
from fuzz import mock_pki, pieces
from fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_METADATA = json.dumps(dict.fromkeys(("ImageName", "ImageVersion", "BuildMetadata", "DockerInfo", "CustomMetadata")))


def run(data: bytes) -> None:
    """Check that descriptions are JSON, that names stay inside the ramdisk, and that measurements are reproducible."""
    mode, rest = (data[0] % 4, data[1:]) if data else (0, b"")
    match mode:
        case 0:
            _described(_with_crc(rest))
        case 1:
            _described(_image(list(pieces.unpack(rest))))
        case 2:
            _listed(rest)
        case _:
            signature.verify(rest, pcr0=bytes(48), at=mock_pki.NOW)


def _described(image: bytes) -> None:
    description = describe(io.BytesIO(image), at=mock_pki.NOW)
    assert json.loads(json.dumps(description)) == description
    read = layout.Image.read(io.BytesIO(image))
    assert registers(measure(read).registers) == description["measurements"]
    parts = {kind: [b"".join(each.blocks()) for each in read.of_type(kind)] for kind in layout.SectionType}
    again = measure_parts(
        kernel=layout.BytesPart(parts[layout.SectionType.KERNEL][0]),
        cmdline=read.cmdline,
        ramdisks=[layout.BytesPart(each) for each in parts[layout.SectionType.RAMDISK]],
    )
    assert registers(again).items() <= description["measurements"].items()


def _listed(content: bytes) -> None:
    found = listing.read([content[at : at + 100] for at in range(0, len(content), 100)])
    assert found == listing.read([content])
    for entry in found.entries:
        assert not entry.path.startswith("/")
        assert ".." not in entry.path.split("/")
        assert entry.path.encode()


def _with_crc(image: bytes) -> bytes:
    end = layout.HEADER.size
    crc = zlib.crc32(image[end:], zlib.crc32(image[: end - layout.CRC_BYTES]))
    return image[: end - layout.CRC_BYTES] + struct.pack(">I", crc) + image[end:] if len(image) >= end else image


def _image(sections: Sequence[tuple[int, bytes]]) -> bytes:
    """An image of header, sections of any type and size, and CRC."""
    sections = sections[: layout.MAX_SECTIONS]
    body, offsets = b"", []
    for kind, content in sections:
        offsets.append(layout.HEADER.size + len(body))
        body += layout.SECTION_HEADER.pack(kind % 8, 0, len(content)) + content
    rest = [0] * (layout.MAX_SECTIONS - len(sections))
    sizes = [len(content) for _, content in sections]
    stated = (layout.MAGIC, layout.VERSION, 0, 1 << 30, 2, 0, len(sections), *offsets, *rest, *sizes, *rest, 0, 0)
    return _with_crc(layout.HEADER.pack(*stated) + body)


def seeds() -> dict[str, bytes]:
    """An image with two ramdisks and a signature, and its parts, by name."""
    entries = [ramdisk.file("init", b"#!", mode=0o755), ramdisk.symlink("bin", "usr/bin"), ramdisk.directory("proc")]
    plain, packed = io.BytesIO(), io.BytesIO()
    ramdisk.write(plain, [*entries, ramdisk.character_device("dev/console", 5, 1)], compression="none")
    ramdisk.write(packed, entries)
    signed = _signed(bytes(48))
    sections = [
        (1, b"kernel" * 4), (2, b"console=ttyS0"), (5, _METADATA.encode()), (3, plain.getvalue()),
        (3, packed.getvalue()),
    ]  # fmt: skip
    return {
        "image": b"\x00" + _image(sections),
        "signed": b"\x00" + _image([*sections, (4, signed)]),
        "sections": b"\x01" + pieces.pack([*sections, (4, signed)]),
        "few-sections": b"\x01" + pieces.pack([(1, b"k"), (2, b""), (5, b"{}"), (3, plain.getvalue())]),
        "plain": b"\x02" + plain.getvalue(),
        "packed": b"\x02" + packed.getvalue() + plain.getvalue(),
        "signature": b"\x03" + signed,
    }


def _signed(pcr0: bytes) -> bytes:
    """A signature section by the mock leaf, which is reproducible."""
    message = mock_pki.signed(cbor2.dumps({"register_index": 0, "register_value": list(pcr0)}))
    certificate = mock_pki.chain()[-1].public_bytes(Encoding.PEM)
    return cbor2.dumps([{"signing_certificate": list(certificate), "signature": list(message)}])


# It reads blocks of 1 MiB, and one byte of a compressed ramdisk can expand to several entries.
TARGET = Target(
    run, (EifError,), seeds, max_bytes=6000, base_bytes=4 << 20, factor=5000,
    words=(b".eif", b"070701", b"TRAILER!!!\x00", b"\x1f\x8b\x08\x00", b"../", b"register_value"),
)  # fmt: skip
