"""Sign an existing image: the same sections, with a signature at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from blindsight.eif import signature
from blindsight.eif.layout import Image, SectionType, write
from blindsight.eif.measure import IMAGE_PCR, measure

if TYPE_CHECKING:
    from collections.abc import Mapping


def sign_image(file: BinaryIO, out: BinaryIO, *, key_pem: bytes, certificate_pem: bytes) -> Mapping[int, bytes]:
    """Write the image in `file` to `out` with a signature, which replaces an existing one. Returns its registers.

    PCR 0, 1 and 2 do not change. Raises `EifError`.
    """
    image = Image.read(file)
    pcr0 = measure(image).registers[IMAGE_PCR]
    write(
        out,
        kernel=image.of_type(SectionType.KERNEL)[0],
        cmdline=image.cmdline,
        metadata=image.metadata_bytes,
        ramdisks=image.of_type(SectionType.RAMDISK),
        signature=signature.sign(pcr0, key_pem=key_pem, certificate_pem=certificate_pem),
        architecture=image.architecture,
        default_memory=image.default_memory,
        default_cpus=image.default_cpus,
    )
    signed = Image.read(out)
    registers = measure(signed).registers
    # What was read first and what was written are the same only if no other program wrote the file in between.
    signature.verify(signed.signature or b"", pcr0=registers[IMAGE_PCR])
    return registers
