/** What is to be done next for every code, by the class of its errors: the texts of blindsight/errors. */
export declare const NEXT_STEPS: {
    readonly EvidenceFormatError: {
        readonly unsupported_envelope: "Use the newest client or page: this service's evidence has a later format.";
        readonly document_too_large: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly malformed_cbor: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly trailing_bytes: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly duplicate_key: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly indefinite_length: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly nesting_too_deep: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly unexpected_tag: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly not_cose_sign1: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly wrong_algorithm: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly unprotected_header: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly missing_field: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly invalid_field: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly unsupported_digest: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly invalid_pcr_index: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
        readonly invalid_pcr_length: "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
    };
    readonly EvidenceChainError: {
        readonly root_not_pinned: "Check which roots the policy lists; a simulated one passes only when listed as such.";
        readonly simulated_root: "List this root with kind 'simulated' for a test set-up; never use it in production.";
        readonly malformed_certificate: "Do not use this service: the evidence was changed, or no such enclave made it.";
        readonly certificate_algorithm: "Do not use this service: the evidence was changed, or no such enclave made it.";
        readonly certificate_expired: "Fetch new evidence; if that is refused too, check this machine's clock.";
        readonly certificate_not_yet_valid: "Check this machine's clock, then fetch new evidence.";
        readonly invalid_chain: "Do not use this service: the evidence was changed, or no such enclave made it.";
        readonly chain_order: "Do not use this service: the evidence was changed, or no such enclave made it.";
    };
    readonly EvidenceSignatureError: {
        readonly invalid_signature: "Do not use this service: the evidence was changed, or no such enclave made it.";
    };
    readonly EvidenceDebugError: {
        readonly debug_document: "Ask the operator to start the enclave without --debug-mode.";
    };
    readonly EvidenceMeasurementError: {
        readonly pcr_missing: "Ask the operator which PCRs this release locks, and correct the policy.";
        readonly pcr_mismatch: "Send nothing. Update the policy only from a release you trust, never from this enclave.";
        readonly release_too_old: "Ask the operator for a newer release; lower minimum_version if you trust this one.";
        readonly release_expired: "Ask the operator for a newer release, and for the policy that lists it.";
        readonly release_recalled: "Do not use this enclave: its release was recalled. Ask the operator for a newer one.";
    };
    readonly EvidenceClaimsError: {
        readonly malformed_claims: "The enclave attests no usable claims; ask the operator for a working release.";
        readonly claims_missing: "This evidence names no function, model or keys; fetch the enclave's own evidence.";
        readonly claims_pcr_missing: "The claims are not measured, so they prove nothing; do not use this service.";
        readonly claims_pcr_mismatch: "The claims differ from what was measured; do not use this service.";
        readonly function_not_accepted: "Send nothing. Accept it only if your own bundle has this checksum.";
        readonly model_not_accepted: "Send nothing. Accept it only if your own model.json has this digest.";
        readonly release_recalled: "Do not use this enclave: its release was recalled. Ask the operator for a newer one.";
        readonly model_mismatch: "The manifest was changed on its way; do not use its statements about the model.";
        readonly key_configs_mismatch: "Fetch evidence and key configurations again, once; if they differ still, stop.";
    };
    readonly EvidenceFreshnessError: {
        readonly nonce_missing: "Ask for evidence with a nonce of your own; this document does not answer your request.";
        readonly nonce_mismatch: "Ask again with a new nonce; if it happens again, the document is replayed.";
        readonly evidence_too_old: "Fetch new evidence; if it is still too old, check both clocks.";
        readonly evidence_from_future: "Check this machine's clock, then fetch new evidence.";
    };
    readonly PolicyError: {
        readonly unreadable_policy: "Check the path and that the file is JSON in UTF-8.";
        readonly invalid_policy: "Correct the named entry; docs/policy.md describes the format.";
        readonly unknown_policy_key: "Remove or correct the named key: a misspelt rule would not be enforced.";
        readonly no_roots: "List at least one root of trust.";
        readonly no_measurements: "List at least one PCR with at least one accepted value.";
        readonly code_not_pinned: "Add PCR 0, or PCR 1 with PCR 2; or say any_code in format /2 to accept any code.";
        readonly function_not_pinned: "Add PCR 16, function_checksums, or in format /2 function_in_image or any_function.";
        readonly policy_expired: "Get a newer policy from its author; this one has expired.";
        readonly empty_allow_list: "List at least one accepted value, or leave the whole entry out.";
        readonly zero_measurement: "Take the measurements from a release build: a debug enclave has zeros.";
        readonly not_a_certificate_fingerprint: "Pin the SHA-256 of the root certificate's DER bytes.";
    };
    readonly SealingError: {
        readonly cannot_open: "Fetch and verify the key configurations again and encrypt the message again.";
        readonly unknown_key: "The keys have rotated: fetch and verify the key configurations again, and encrypt again.";
        readonly unsupported_suite: "Use one of the key configurations and cipher suites that the enclave offers.";
        readonly malformed_message: "Check that the whole message was sent, unchanged and in the stated format.";
        readonly not_sealed: "Do not use the answer: only the enclave can know this. Ask the operator.";
        readonly answer_not_genuine: "Do not use the answer: it was changed, or belongs to another request. Try again.";
    };
    readonly ReceiptError: {
        readonly malformed_receipt: "Give the whole stored answer, with its receipt and evidence.";
        readonly receipt_key_mismatch: "The receipt is not the attested enclave's; do not rely on it.";
        readonly receipt_signature_invalid: "The receipt was changed after it was signed; do not rely on it.";
        readonly receipt_evidence_mismatch: "Look for the attestation document that the receipt was made for.";
        readonly receipt_function_mismatch: "The receipt names another function than was attested; do not rely on it.";
        readonly receipt_model_mismatch: "The receipt names another model than was attested; do not rely on it.";
        readonly receipt_output_mismatch: "The answer is not the one that was signed; do not rely on it.";
        readonly receipt_input_mismatch: "The receipt is for another image; check which file was sent.";
        readonly receipt_time_implausible: "The receipt's time does not fit its evidence; do not rely on it.";
    };
    readonly TransportError: {
        readonly unreachable: "Check the address and that the service runs, then try again.";
        readonly timed_out: "Try again; if it stays slow, ask the operator.";
        readonly connection_lost: "Try again.";
        readonly unavailable: "The service is starting or busy: try again in a few seconds.";
        readonly unexpected_answer: "Check that the address is a Blindsight service, then try again.";
    };
    readonly PlatformError: {
        readonly no_webcrypto: "Open the page over HTTPS, or from localhost: browsers give cryptography to no other page.";
        readonly unsupported_platform: "Update this browser, or use another: it lacks the X25519 key exchange.";
    };
};
type Families = typeof NEXT_STEPS;
/** A class of errors. */
export type Family = keyof Families;
/** A code of an error that is found here. */
export type Code = {
    [Each in Family]: keyof Families[Each];
}[Family];
export {};
