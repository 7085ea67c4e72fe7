"""Harness for attestation documents: arbitrary bytes, verified with a policy and without one."""

from __future__ import annotations

import cbor2

from blindsight.attestation import Policy, Release, UnsafeAcceptAnything, cose, document, verify
from blindsight.attestation.roots import EMULATED
from blindsight.errors import EvidenceError
from fuzz import mock_pki
from fuzz.target import Target

_POLICY = mock_pki.policy()
_EMULATED = Policy(
    releases=(
        Release(
            kind=EMULATED,
            roots=frozenset(),
            pcrs={index: frozenset({mock_pki.PCRS[index].hex()}) for index in (0, 1, 2)},
            any_function=True,
        ),
    )
)


def run(data: bytes) -> None:
    """Check that only the document of the seeds is accepted, since the input cannot be signed."""
    try:
        verify(data, policy=UnsafeAcceptAnything(), nonce=None, now=mock_pki.NOW)
    except EvidenceError as error:
        assert error.next_step
        assert 1 <= error.step <= 10
    try:
        emulated = verify(data, policy=_EMULATED, nonce=None, now=mock_pki.NOW)
    except EvidenceError as error:
        assert error.next_step
    else:
        assert emulated.kind == EMULATED
        assert emulated.root_sha256 is None
    verified = verify(data, policy=_POLICY, nonce=mock_pki.NONCE, now=mock_pki.NOW)
    assert verified.kind == "simulated"
    assert verified.document.pcrs == mock_pki.PCRS
    assert verified.document.nonce == mock_pki.NONCE
    assert verified.claims == mock_pki.CLAIMS


def seeds() -> dict[str, bytes]:
    """Documents in the forms of genuine ones, under a mock chain."""
    fields = mock_pki.fields()
    unsigned = fields | {"certificate": bytes(64), "cabundle": [bytes(64)]}
    definite = mock_pki.signed(document.encode(fields)[1:-1].join((b"\xa9", b"")))
    indefinite = mock_pki.signed(document.encode(fields))
    return {
        "definite": definite,
        "indefinite": indefinite,
        "tagged": b"\xd2" + indefinite,
        "unsigned": cbor2.dumps([cose.PROTECTED_UNSIGNED, {}, document.encode(unsigned), bytes(64)]),
        "nulls": mock_pki.signed(document.encode(fields | {"nonce": None, "user_data": None, "public_key": None})),
    }


TARGET = Target(run, (EvidenceError,), seeds, max_bytes=20 * 1024)
