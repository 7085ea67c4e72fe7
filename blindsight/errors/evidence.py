"""Errors of refused evidence and invalid policies."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class EvidenceError(BlindsightError):
    """Evidence was refused: send nothing to that enclave. Retrying with the same evidence never succeeds."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.step = 0
        """Set by the step that is being taken (`blindsight.attestation.steps`); 0 outside of a verification."""


_NOT_A_DOCUMENT = "Fetch the evidence again; if the error persists, the service is not an enclave of this kind."
_RECALLED = "Do not use this enclave: its release was recalled. Ask the operator for a newer one."
_NOT_GENUINE = "Do not use this service: the evidence was changed, or no such enclave made it."


class EvidenceFormatError(EvidenceError):
    """The bytes are not a Nitro attestation document. Fetching evidence again is safe; the same bytes never pass."""

    NEXT_STEPS = MappingProxyType(
        dict.fromkeys(
            (
                "document_too_large",
                "malformed_cbor",
                "trailing_bytes",
                "duplicate_key",
                "indefinite_length",
                "nesting_too_deep",
                "unexpected_tag",
                "not_cose_sign1",
                "wrong_algorithm",
                "unprotected_header",
                "missing_field",
                "invalid_field",
                "unsupported_digest",
                "invalid_pcr_index",
                "invalid_pcr_length",
            ),
            _NOT_A_DOCUMENT,
        )
        | {"unsupported_envelope": "Use the newest client or page: this service's evidence has a later format."}
    )


class EvidenceChainError(EvidenceError):
    """The signing certificate does not descend from a pinned root. Retry only after fetching new evidence."""

    NEXT_STEPS = MappingProxyType(
        {
            "root_not_pinned": "Check which roots the policy lists; a simulated one passes only when listed as such.",
            "simulated_root": "List this root with kind 'simulated' for a test set-up; never use it in production.",
            "malformed_certificate": _NOT_GENUINE,
            "certificate_algorithm": _NOT_GENUINE,
            "certificate_expired": "Fetch new evidence; if that is refused too, check this machine's clock.",
            "certificate_not_yet_valid": "Check this machine's clock, then fetch new evidence.",
            "invalid_chain": _NOT_GENUINE,
            "chain_order": _NOT_GENUINE,
        }
    )


class EvidenceSignatureError(EvidenceError):
    """The signature is not by the enclave's certificate. Not retryable."""

    NEXT_STEPS = MappingProxyType({"invalid_signature": _NOT_GENUINE})


class EvidenceDebugError(EvidenceError):
    """The enclave runs in debug mode, so its host can read its console. Refused under every policy."""

    NEXT_STEPS = MappingProxyType({"debug_document": "Ask the operator to start the enclave without --debug-mode."})


class EvidenceMeasurementError(EvidenceError):
    """The enclave runs other code than the policy accepts, or code that it no longer accepts. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "pcr_missing": "Ask the operator which PCRs this release locks, and correct the policy.",
            "pcr_mismatch": "Send nothing. Update the policy only from a release you trust, never from this enclave.",
            "release_too_old": "Ask the operator for a newer release; lower minimum_version if you trust this one.",
            "release_expired": "Ask the operator for a newer release, and for the policy that lists it.",
            "release_recalled": _RECALLED,
        }
    )


class EvidenceClaimsError(EvidenceError):
    """The function, the model or the keys are not those in the evidence or the policy.

    Only `key_configs_mismatch` can pass after a retry, with newly fetched evidence and key configurations, because keys
    rotate.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_claims": "The enclave attests no usable claims; ask the operator for a working release.",
            "claims_missing": "This evidence names no function, model or keys; fetch the enclave's own evidence.",
            "claims_pcr_missing": "The claims are not measured, so they prove nothing; do not use this service.",
            "claims_pcr_mismatch": "The claims differ from what was measured; do not use this service.",
            "function_not_accepted": "Send nothing. Accept it only if your own bundle has this checksum.",
            "model_not_accepted": "Send nothing. Accept it only if your own model.json has this digest.",
            "release_recalled": _RECALLED,
            "model_mismatch": "The manifest was changed on its way; do not use its statements about the model.",
            "key_configs_mismatch": "Fetch evidence and key configurations again, once; if they differ still, stop.",
        }
    )


class EvidenceFreshnessError(EvidenceError):
    """The document was made for another request or at another time. Retry with a new nonce and new evidence."""

    NEXT_STEPS = MappingProxyType(
        {
            "nonce_missing": "Ask for evidence with a nonce of your own; this document does not answer your request.",
            "nonce_mismatch": "Ask again with a new nonce; if it happens again, the document is replayed.",
            "evidence_too_old": "Fetch new evidence; if it is still too old, check both clocks.",
            "evidence_from_future": "Check this machine's clock, then fetch new evidence.",
        }
    )


class PolicyError(BlindsightError):
    """The policy is invalid or has expired. Retry only with another policy."""

    NEXT_STEPS = MappingProxyType(
        {
            "unreadable_policy": "Check the path and that the file is JSON in UTF-8.",
            "invalid_policy": "Correct the named entry; docs/policy.md describes the format.",
            "unknown_policy_key": "Remove or correct the named key: a misspelt rule would not be enforced.",
            "no_roots": "List at least one root of trust.",
            "no_measurements": "List at least one PCR with at least one accepted value.",
            "code_not_pinned": "Add PCR 0, or PCR 1 with PCR 2; or say any_code in format /2 to accept any code.",
            "function_not_pinned": "Add PCR 16, function_checksums, or in format /2 function_in_image or any_function.",
            "policy_expired": "Get a newer policy from its author; this one has expired.",
            "empty_allow_list": "List at least one accepted value, or leave the whole entry out.",
            "zero_measurement": "Take the measurements from a release build: a debug enclave has zeros.",
            "not_a_certificate_fingerprint": "Pin the SHA-256 of the root certificate's DER bytes.",
        }
    )
