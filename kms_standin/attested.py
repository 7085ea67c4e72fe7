"""Verifies the attestation document of a request, and converts it to condition keys.

KMS Developer Guide, "AWS KMS condition keys for attested platforms". The verification has six steps of this project's:
envelope, fields, root, chain, signature, debug mode. The real service passes a debug enclave's zero registers to the
policy, which has to refuse them; the stand-in refuses the document. AWS does not publish the maximum age of a document.
There is no nonce: until that age a document can be used again, but only the enclave's key decrypts the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from blindsight.attestation import proof
from blindsight.attestation.steps import Steps
from blindsight.errors import EvidenceChainError, EvidenceError
from kms_standin.keypolicy import ATTESTATION
from kms_standin.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from blindsight.attestation.roots import EvidenceKind

MAX_AGE_SECONDS = 300
"""Maximum age of a document in seconds, as for a signed request. The real service's limit is not documented."""

_FUTURE_SECONDS = 300


@dataclass(frozen=True)
class Recipient:
    """The enclave of a request: its attested RSA key, and condition keys (name to values) for policies."""

    key: rsa.RSAPublicKey
    values: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Verifier:
    """Accepts documents under the root certificate with this SHA-256 (hexadecimal), as evidence of `kind`.

    `max_age` is in seconds.
    """

    root_sha256: str
    kind: EvidenceKind
    clock: Callable[[], datetime]
    max_age: int = MAX_AGE_SECONDS

    def recipient(self, document: bytes) -> Recipient:
        """Verify `document`, a COSE_Sign1 message, and return its enclave.

        Raises `Refused` (`ValidationException`) for a document that does not verify, is too old, or carries no RSA key
        of at least 2048 bits.
        """
        now = self.clock()
        try:
            proven = proof.prove(
                document,
                kind_of_root=self._kind_of_root,
                judged_at=lambda shown, _: proof.time_of_judgement(shown, now, _FUTURE_SECONDS),
                steps=Steps(),
            )
            proof.check_age(proven.document.timestamp, now, max_age=self.max_age, max_future_skew=_FUTURE_SECONDS)
        except EvidenceError as error:
            raise Refused("ValidationException", f"The attestation document is refused: {error.code}.") from error
        pcrs: dict[str, tuple[str, ...]] = {
            f"{ATTESTATION}PCR{index}": (value.hex(),) for index, value in proven.document.pcrs.items()
        }
        pcrs[f"{ATTESTATION}ImageSha384"] = pcrs[f"{ATTESTATION}PCR0"]
        return Recipient(_public_key(proven.document.public_key), pcrs)

    def _kind_of_root(self, root_sha256: str) -> EvidenceKind:
        if root_sha256 != self.root_sha256:
            raise EvidenceChainError("root_not_pinned", "Another root.")
        return self.kind


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate in DER, in hexadecimal: the identifier of a root."""
    return hashlib.sha256(der).hexdigest()


def _public_key(encoded: bytes | None) -> rsa.RSAPublicKey:
    try:
        key = load_der_public_key(encoded or b"")
    except ValueError as error:
        raise Refused("ValidationException", "The attestation document carries no public key.") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise Refused("ValidationException", "The attested public key is not an RSA key of 2048 bits or more.")
    return key
