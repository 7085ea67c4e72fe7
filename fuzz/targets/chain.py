"""Harness for certificate chains: pieces replace certificates of the mock chain, either as DER or signed by the issuer.

A piece's number modulo 8 is the position from the root. If bit 3 is set, the piece is the signed part of a certificate
(TBSCertificate, RFC 5280), which the issuer's key signs, so that checks after the signature are reached.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight.attestation import chain
from blindsight.errors import EvidenceChainError
from fuzz import mock_pki, pieces
from fuzz.target import Target

_ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")


def run(data: bytes) -> None:
    """Check that every certificate of an accepted chain was signed by its issuer's key."""
    ders, signed_by_us = list(mock_pki.ders()), set()
    for number, content in pieces.unpack(data):
        place = number % 8
        if place < len(ders):
            resigned = bool(number & 8)
            ders[place] = _resigned(place, content) if resigned else content
            signed_by_us.discard(place)
            if resigned:
                signed_by_us.add(place)
    parsed = chain.parse(ders[:-1], ders[-1])
    chain.verify(parsed, at=mock_pki.NOW)
    for place, der in enumerate(ders):
        # The caller compares the root's fingerprint, so any root is accepted here.
        assert place == 0 or place in signed_by_us or der == mock_pki.ders()[place]


def _resigned(place: int, inner: bytes) -> bytes:
    issuer = mock_pki.key(mock_pki.NAMES[max(0, place - 1)])
    signature = issuer.sign(inner, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return _der(0x30, inner + _ECDSA_WITH_SHA384 + _der(0x03, b"\x00" + signature))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 128 + size]) + length.to_bytes(size, "big") + content


def seeds() -> dict[str, bytes]:
    """Each certificate of the chain, complete, and as a part to be signed."""
    found = {"none": b""}
    for place, certificate in enumerate(mock_pki.chain()):
        found[f"whole-{place}"] = pieces.pack([(place, mock_pki.ders()[place])])
        found[f"inner-{place}"] = pieces.pack([(place + 8, certificate.tbs_certificate_bytes)])
    return found


TARGET = Target(run, (EvidenceChainError,), seeds, max_bytes=2500)
