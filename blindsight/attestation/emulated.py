"""Unsigned documents of QEMU's `nitro-enclave` machine, which otherwise have Nitro's format.

The protected header is {1: -1}, which names no COSE algorithm. Signature, certificate and the bundle's only entry are
64 zero bytes each (hw/virtio/virtio-nsm.c, QEMU 9.2 to 11). Any program can write such a document, so it proves
nothing. The verifier accepts it only under a policy that lists this kind of evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight.errors import EvidenceChainError, EvidenceSignatureError

if TYPE_CHECKING:
    from blindsight.attestation.cose import Sign1
    from blindsight.attestation.document import AttestationDocument
    from blindsight.attestation.steps import Steps

PLACEHOLDER = bytes(64)
"""QEMU's placeholder for signature and certificates."""


def check(message: Sign1, document: AttestationDocument, *, steps: Steps) -> None:
    """Take steps 3 to 5 for an unsigned document. Raises `EvidenceError`.

    Signature and certificates must be QEMU's placeholders; a document with certificates is not from this machine.
    """
    with steps.step(3, "Root") as step:
        if document.cabundle != (PLACEHOLDER,):
            raise EvidenceChainError("malformed_certificate", "The bundle of an unsigned document is not QEMU's.")
        step.unsigned()
    with steps.step(4, "Chain") as step:
        if document.certificate != PLACEHOLDER:
            raise EvidenceChainError("malformed_certificate", "The certificate of an unsigned document is not QEMU's.")
        step.unsigned()
    with steps.step(5, "Signature") as step:
        if message.signature != PLACEHOLDER:
            raise EvidenceSignatureError("invalid_signature", "The signature of an unsigned document is not QEMU's.")
        step.unsigned()
