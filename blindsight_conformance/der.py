"""Builds DER (X.690) by hand, for certificates that libraries refuse to make.

The certificates are signed again after the change, so that only the encoding is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blindsight_conformance.pki import Party

ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def element(tag: int, content: bytes) -> bytes:
    """An element: tag, length in its shortest form, content."""
    size = len(content)
    if size < 0x80:
        head = bytes([size])
    else:
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(digits)]) + digits
    return bytes([tag]) + head + content


def elements(content: bytes) -> list[bytes]:
    """Split `content` into its elements, each with tag and length."""
    found = []
    while content:
        size, head = content[1], 2
        if size >= 0x80:
            head += size & 0x7F
            size = int.from_bytes(content[2:head], "big")
        found.append(content[: head + size])
        content = content[head + size :]
    return found


def content_of(encoded: bytes) -> bytes:
    """The content of an element, without tag and length."""
    return encoded[2 if encoded[1] < 0x80 else 2 + (encoded[1] & 0x7F) :]


def resigned(
    party: Party,
    issuer: Party,
    edit: Callable[[list[bytes]], Sequence[bytes]] = list,
    *,
    algorithm: bytes = ECDSA_SHA384,
    signature: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """The certificate of `party` in DER with its signed part (TBSCertificate, RFC 5280) edited, signed by `issuer`.

    `edit` gets the elements of the signed part: version, serial number, algorithm, issuer, validity, subject, key,
    extensions. `signature` changes the DER of the new signature; `algorithm` is the signatureAlgorithm before it.
    """
    signed = element(0x30, b"".join(edit(elements(content_of(party.certificate.tbs_certificate_bytes)))))
    made = issuer.key.sign(signed, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return element(0x30, signed + algorithm + element(0x03, b"\x00" + signature(made)))
