"""The conformance suite's forge, with a policy of its own and shortcuts for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation import Policy, Release, Verified, verify
from blindsight.errors import EvidenceError
from blindsight_conformance import forge
from blindsight_conformance.forge import (
    CLAIMS,
    ES384,
    KEY_CONFIGS,
    MANIFEST,
    NONCE,
    PCRS,
    UNSIGNED,
    unsigned,
)
from blindsight_conformance.pki import NOW, P384_ORDER, Party, party

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ANY_FUNCTION",
    "CLAIMS",
    "ES384",
    "KEY_CONFIGS",
    "MANIFEST",
    "NONCE",
    "NOW",
    "P384_ORDER",
    "PCRS",
    "UNSIGNED",
    "Forge",
    "Party",
    "party",
    "refusal",
    "unsigned",
]

ANY_FUNCTION = {"function_checksums": None, "model_digests": None, "any_function": True}
"""Changes to a release, so that it asks for no claims."""


class Forge(forge.Forge):
    """An attester, and a verifier that accepts what it makes."""

    def policy(self, **changes: Any) -> Policy:
        """A policy of one release, whose fields may be changed."""
        roots = {} if changes.get("kind") == "qemu-nitro-enclave" else {"roots": frozenset([self.fingerprint])}
        release = Release(
            **{
                "kind": "simulated",
                "pcrs": {index: frozenset([PCRS[index].hex()]) for index in (0, 1, 2)},
                "function_checksums": frozenset([CLAIMS.func_checksum.hex()]),
                "model_digests": frozenset([CLAIMS.model_sha256.hex()]),
            }
            | roots
            | changes
        )
        return Policy(releases=(release,))

    def verify(self, document: bytes, *, now: datetime = NOW, nonce: bytes | None = NONCE, **changes: Any) -> Verified:
        return verify(document, policy=self.policy(**changes), nonce=nonce, now=now)


def refusal(forge: Forge, document: bytes, **options: object) -> tuple[str, int]:
    """Code and step with which it is refused."""
    with pytest.raises(EvidenceError) as caught:
        forge.verify(document, **options)
    assert caught.value.next_step
    return caught.value.code, caught.value.step
