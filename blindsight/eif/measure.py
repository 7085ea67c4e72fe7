"""What the Nitro hypervisor measures of an image: PCR 0, 1, 2 and 8.

    with open("enclave.eif", "rb") as file:
        print(measure(Image.read(file)).registers[0].hex())

`PCR = SHA384(48 zero bytes ‖ SHA384(content))`, over the data of sections without their headers (AWS Nitro Enclaves
User Guide, "Measurements"; README of aws-nitro-enclaves-image-format):

| PCR | content |
|---|---|
| 0 | kernel, command line, all ramdisks |
| 1 | kernel, command line, first ramdisk |
| 2 | the other ramdisks, in their order |
| 8 | DER of the signing certificate; the register stays zero without one |

Header and metadata are in none: the host can change those and attest the same.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindsight.eif import signature
from blindsight.eif.layout import BytesPart, Image, Section, SectionType
from blindsight.errors import EifError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from blindsight.eif.layout import Part

    Look = Callable[[Section, Iterator[bytes]], None]
    """Sees the blocks of a section as they are measured, and need not take them all."""

PCR_BYTES = 48
IMAGE_PCR, BOOT_PCR, APPLICATION_PCR, CERTIFICATE_PCR = 0, 1, 2, 8


@dataclass(frozen=True)
class SectionDigest:
    """The data of one section: SHA-256 (32 bytes) and SHA-384 (48 bytes)."""

    type: SectionType
    size: int
    sha256: bytes
    sha384: bytes
    registers: tuple[int, ...]
    """The PCRs that change with this section's data."""


@dataclass(frozen=True)
class Measurements:
    """`registers`: PCR 0, 1, 2, and 8 if the image has a signature, of 48 bytes each."""

    registers: Mapping[int, bytes]
    sections: tuple[SectionDigest, ...]


def measure(image: Image, look: Look | None = None) -> Measurements:
    """Read `image` once, compare its CRC, and measure it. Raises `EifError`.

    A signature is not verified, see `signature.verify`; only its certificate is read.
    """
    hashes, crc, digests = _Hashes(), image.header_crc, []
    for section in image.sections:
        crc = zlib.crc32(section.header, crc)
        own = hashes.begin(section.type)

        def measured(section: Section = section, own: _Own = own) -> Iterator[bytes]:
            nonlocal crc
            for block in section.blocks():
                crc = zlib.crc32(block, crc)
                own.update(block)
                yield block

        blocks = measured()
        if look is not None:
            look(section, blocks)
        for _ in blocks:
            pass
        digests.append(SectionDigest(section.type, section.size, own.sha256.digest(), own.sha384.digest(), own.pcrs))
    if crc != image.stated_crc:
        raise EifError("crc_mismatch", f"The CRC-32 is {crc:08x}, and the header states {image.stated_crc:08x}.")
    registers = hashes.registers()
    signed = image.signature
    if signed is not None:
        registers[CERTIFICATE_PCR] = certificate_register(signature.certificate_der(signed))
    return Measurements(registers, tuple(digests))


def measure_parts(*, kernel: Part, cmdline: bytes, ramdisks: Sequence[Part]) -> dict[int, bytes]:
    """PCR 0, 1 and 2 of the image that `layout.write` makes of these parts: what a signature is made over."""
    hashes = _Hashes()
    parts = [(SectionType.KERNEL, kernel), (SectionType.CMDLINE, BytesPart(cmdline))]
    for kind, part in [*parts, *((SectionType.RAMDISK, ramdisk) for ramdisk in ramdisks)]:
        own = hashes.begin(kind)
        for block in part.blocks():
            own.update(block)
    return hashes.registers()


def certificate_register(der: bytes) -> bytes:
    """PCR 8 of an image signed with this certificate (DER), 48 bytes."""
    return _register(hashlib.sha384(der).digest())


def _register(content_digest: bytes) -> bytes:
    return hashlib.sha384(bytes(PCR_BYTES) + content_digest).digest()


class _Own:
    """The hashes that a section's data goes into."""

    def __init__(self, pcrs: tuple[int, ...], shared: list[hashlib._Hash]) -> None:
        self.pcrs = pcrs
        self.sha256, self.sha384 = hashlib.sha256(), hashlib.sha384()
        self._all = [self.sha256, self.sha384, *shared]

    def update(self, block: bytes) -> None:
        for each in self._all:
            each.update(block)


@dataclass
class _Hashes:
    """The contents of PCR 0, 1 and 2, as sections come."""

    contents: dict[int, hashlib._Hash] = field(
        default_factory=lambda: {pcr: hashlib.sha384() for pcr in (IMAGE_PCR, BOOT_PCR, APPLICATION_PCR)}
    )
    ramdisks: int = 0

    def begin(self, kind: SectionType) -> _Own:
        pcrs: tuple[int, ...] = ()
        if kind in (SectionType.KERNEL, SectionType.CMDLINE):
            pcrs = (IMAGE_PCR, BOOT_PCR)
        elif kind is SectionType.RAMDISK:
            pcrs = (IMAGE_PCR, APPLICATION_PCR if self.ramdisks else BOOT_PCR)
            self.ramdisks += 1
        elif kind is SectionType.SIGNATURE:
            return _Own((CERTIFICATE_PCR,), [])  # Of this section only the certificate is measured, in another form.
        return _Own(pcrs, [self.contents[pcr] for pcr in pcrs])

    def registers(self) -> dict[int, bytes]:
        return {pcr: _register(content.digest()) for pcr, content in self.contents.items()}
