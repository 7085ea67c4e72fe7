"""Enclave image files (EIF) of AWS Nitro Enclaves: read, write, measure, sign, describe and compare them.

    from blindsight.eif import Image, measure

    with open("enclave.eif", "rb") as file:
        registers = measure(Image.read(file)).registers

docs/eif.md describes the format as it is read and written here. Nothing here executes or unpacks what an image holds.
"""

from blindsight.eif.layout import BytesPart, FilePart, Image, SectionType, write
from blindsight.eif.measure import Measurements, measure, measure_parts

__all__ = ["BytesPart", "FilePart", "Image", "Measurements", "SectionType", "measure", "measure_parts", "write"]
