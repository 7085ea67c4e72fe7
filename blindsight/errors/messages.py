"""Sealed messages that cannot be opened, and receipts that prove nothing."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class SealingError(BlindsightError):
    """A sealed message was refused.

    Every cryptographic failure is `cannot_open`, whatever stage failed, so that the answer is no oracle. Only
    `unknown_key` is worth a retry, sealed anew to freshly verified key configurations.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "cannot_open": "Fetch and verify the key configurations again and seal the message anew.",
            "unknown_key": "The keys have rotated: fetch and verify the key configurations again and seal anew.",
            "unsupported_suite": "Use one of the key configurations and cipher suites that the enclave offers.",
            "malformed_message": "Check that the whole message was sent, unchanged and in the stated format.",
            "not_sealed": "Believe nothing of the answer: only the enclave could know it. Ask the operator.",
            "answer_not_genuine": "Believe nothing of the answer: it was changed, or is another request's. Try again.",
        }
    )


class ReceiptError(BlindsightError):
    """A receipt does not vouch for this answer. Never retryable: receipt and answer stay what they are."""

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_receipt": "Give the whole answer as it was saved, with its receipt and evidence.",
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
