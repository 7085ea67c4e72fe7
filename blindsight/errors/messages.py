"""Errors of sealed messages and receipts."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class SealingError(BlindsightError):
    """A sealed message was refused.

    Every cryptographic failure is `cannot_open`, whatever stage failed, so that the answer is no oracle. Only
    `unknown_key` is retryable, encrypted to newly verified key configurations.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "cannot_open": "Fetch and verify the key configurations again and encrypt the message again.",
            "unknown_key": "The keys have rotated: fetch and verify the key configurations again, and encrypt again.",
            "unsupported_suite": "Use one of the key configurations and cipher suites that the enclave offers.",
            "malformed_message": "Check that the whole message was sent, unchanged and in the stated format.",
            "not_sealed": "Do not use the answer: only the enclave can know this. Ask the operator.",
            "answer_not_genuine": "Do not use the answer: it was changed, or belongs to another request. Try again.",
        }
    )


class ReceiptError(BlindsightError):
    """A receipt does not match this answer. Not retryable: receipt and answer do not change."""

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_receipt": "Give the whole stored answer, with its receipt and evidence.",
            "receipt_key_mismatch": "The receipt is not the attested enclave's; do not rely on it.",
            "receipt_signature_invalid": "The receipt was changed after it was signed; do not rely on it.",
            "receipt_evidence_mismatch": "Look for the attestation document that the receipt was made for.",
            "receipt_function_mismatch": "The receipt names another function than was attested; do not rely on it.",
            "receipt_model_mismatch": "The receipt names another model than was attested; do not rely on it.",
            "receipt_output_mismatch": "The answer is not the one that was signed; do not rely on it.",
            "receipt_input_mismatch": "The receipt is for another image; check which file was sent.",
            "receipt_time_implausible": "The receipt's time does not fit its evidence; do not rely on it.",
        }
    )
