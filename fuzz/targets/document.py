"""Attestation documents as they come: any bytes, with a policy and with none."""

from __future__ import annotations

from blindsight.attestation import UnsafeAcceptAnything, document, verify
from blindsight.errors import EvidenceError
from fuzz import mock_pki
from fuzz.target import Target

_POLICY = mock_pki.policy()


def run(data: bytes) -> None:
    """Without the signing key, nothing but the seeds' own document is ever accepted."""
    try:
        verify(data, policy=UnsafeAcceptAnything(), nonce=None, now=mock_pki.NOW)
    except EvidenceError as error:
        assert error.next_step
        assert 1 <= error.step <= 10
    verified = verify(data, policy=_POLICY, nonce=mock_pki.NONCE, now=mock_pki.NOW)
    assert verified.document.pcrs == mock_pki.PCRS
    assert verified.document.nonce == mock_pki.NONCE
    assert verified.claims == mock_pki.CLAIMS


def seeds() -> dict[str, bytes]:
    """The shapes of genuine documents, from a mock chain."""
    fields = mock_pki.fields()
    definite = mock_pki.signed(document.encode(fields)[1:-1].join((b"\xa9", b"")))
    indefinite = mock_pki.signed(document.encode(fields))
    return {
        "definite": definite,
        "indefinite": indefinite,
        "tagged": b"\xd2" + indefinite,
        "nulls": mock_pki.signed(document.encode(fields | {"nonce": None, "user_data": None, "public_key": None})),
    }


TARGET = Target(run, (EvidenceError,), seeds, max_bytes=20 * 1024)
