/** What is to be done next for every code, by the class of its errors: the texts of blindsight/errors. */

const NOT_A_DOCUMENT = "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
const NOT_GENUINE = "Do not use this service: the evidence was changed, or no such enclave made it.";
const RECALLED = "Do not use this enclave: its release was recalled. Ask the operator for a newer one.";

export const NEXT_STEPS = {
  EvidenceFormatError: {
    unsupported_envelope: "Use the newest client or page: this service's evidence has a later format.",
    document_too_large: NOT_A_DOCUMENT,
    malformed_cbor: NOT_A_DOCUMENT,
    trailing_bytes: NOT_A_DOCUMENT,
    duplicate_key: NOT_A_DOCUMENT,
    indefinite_length: NOT_A_DOCUMENT,
    nesting_too_deep: NOT_A_DOCUMENT,
    unexpected_tag: NOT_A_DOCUMENT,
    not_cose_sign1: NOT_A_DOCUMENT,
    wrong_algorithm: NOT_A_DOCUMENT,
    unprotected_header: NOT_A_DOCUMENT,
    missing_field: NOT_A_DOCUMENT,
    invalid_field: NOT_A_DOCUMENT,
    unsupported_digest: NOT_A_DOCUMENT,
    invalid_pcr_index: NOT_A_DOCUMENT,
    invalid_pcr_length: NOT_A_DOCUMENT,
  },
  EvidenceChainError: {
    root_not_pinned: "Check which roots the policy lists; a simulated one passes only when listed as such.",
    simulated_root: "List this root with kind 'simulated' for a test set-up; never use it in production.",
    malformed_certificate: NOT_GENUINE,
    certificate_algorithm: NOT_GENUINE,
    certificate_expired: "Fetch new evidence; if that is refused too, check this machine's clock.",
    certificate_not_yet_valid: "Check this machine's clock, then fetch new evidence.",
    invalid_chain: NOT_GENUINE,
    chain_order: NOT_GENUINE,
  },
  EvidenceSignatureError: {
    invalid_signature: NOT_GENUINE,
  },
  EvidenceDebugError: {
    debug_document: "Ask the operator to start the enclave without --debug-mode.",
  },
  EvidenceMeasurementError: {
    pcr_missing: "Ask the operator which PCRs this release locks, and correct the policy.",
    pcr_mismatch: "Send nothing. Update the policy only from a release you trust, never from this enclave.",
    release_too_old: "Ask the operator for a newer release; lower minimum_version if you trust this one.",
    release_expired: "Ask the operator for a newer release, and for the policy that lists it.",
    release_recalled: RECALLED,
  },
  EvidenceClaimsError: {
    malformed_claims: "The enclave attests no usable claims; ask the operator for a working release.",
    claims_missing: "This evidence names no function, model or keys; fetch the enclave's own evidence.",
    claims_pcr_missing: "The claims are not measured, so they prove nothing; do not use this service.",
    claims_pcr_mismatch: "The claims differ from what was measured; do not use this service.",
    function_not_accepted: "Send nothing. Accept it only if your own bundle has this checksum.",
    model_not_accepted: "Send nothing. Accept it only if your own model.json has this digest.",
    release_recalled: RECALLED,
    model_mismatch: "The manifest was changed on its way; do not use its statements about the model.",
    key_configs_mismatch: "Fetch evidence and key configurations again, once; if they differ still, stop.",
  },
  EvidenceFreshnessError: {
    nonce_missing: "Ask for evidence with a nonce of your own; this document does not answer your request.",
    nonce_mismatch: "Ask again with a new nonce; if it happens again, the document is replayed.",
    evidence_too_old: "Fetch new evidence; if it is still too old, check both clocks.",
    evidence_from_future: "Check this machine's clock, then fetch new evidence.",
  },
  PolicyError: {
    unreadable_policy: "Check the path and that the file is JSON in UTF-8.",
    invalid_policy: "Correct the named entry; docs/policy.md describes the format.",
    unknown_policy_key: "Remove or correct the named key: a misspelt rule would not be enforced.",
    no_roots: "List at least one root of trust.",
    no_measurements: "List at least one PCR with at least one accepted value.",
    code_not_pinned: "Add PCR 0, or PCR 1 with PCR 2; or say any_code in format /2 to accept any code.",
    function_not_pinned: "Add PCR 16, function_checksums, or in format /2 function_in_image or any_function.",
    policy_expired: "Get a newer policy from its author; this one has expired.",
    empty_allow_list: "List at least one accepted value, or leave the whole entry out.",
    zero_measurement: "Take the measurements from a release build: a debug enclave has zeros.",
    not_a_certificate_fingerprint: "Pin the SHA-256 of the root certificate's DER bytes.",
  },
  SealingError: {
    cannot_open: "Fetch and verify the key configurations again and encrypt the message again.",
    unknown_key: "The keys have rotated: fetch and verify the key configurations again, and encrypt again.",
    unsupported_suite: "Use one of the key configurations and cipher suites that the enclave offers.",
    malformed_message: "Check that the whole message was sent, unchanged and in the stated format.",
    not_sealed: "Do not use the answer: only the enclave can know this. Ask the operator.",
    answer_not_genuine: "Do not use the answer: it was changed, or belongs to another request. Try again.",
  },
  ReceiptError: {
    malformed_receipt: "Give the whole stored answer, with its receipt and evidence.",
    receipt_key_mismatch: "The receipt is not the attested enclave's; do not rely on it.",
    receipt_signature_invalid: "The receipt was changed after it was signed; do not rely on it.",
    receipt_evidence_mismatch: "Look for the attestation document that the receipt was made for.",
    receipt_function_mismatch: "The receipt names another function than was attested; do not rely on it.",
    receipt_model_mismatch: "The receipt names another model than was attested; do not rely on it.",
    receipt_output_mismatch: "The answer is not the one that was signed; do not rely on it.",
    receipt_input_mismatch: "The receipt is for another image; check which file was sent.",
    receipt_time_implausible: "The receipt's time does not fit its evidence; do not rely on it.",
  },
  TransportError: {
    unreachable: "Check the address and that the service runs, then try again.",
    timed_out: "Try again; if it stays slow, ask the operator.",
    connection_lost: "Try again.",
    unavailable: "The service is starting or busy: try again in a few seconds.",
    unexpected_answer: "Check that the address is a Blindsight service, then try again.",
  },
  // Only here: what this browser or runtime lacks. Nothing weaker is done instead.
  PlatformError: {
    no_webcrypto: "Open the page over HTTPS, or from localhost: browsers give cryptography to no other page.",
    unsupported_platform: "Update this browser, or use another: it lacks the X25519 key exchange.",
  },
} as const;

type Families = typeof NEXT_STEPS;

/** A class of errors. */
export type Family = keyof Families;

/** A code of an error that is found here. */
export type Code = { [Each in Family]: keyof Families[Each] }[Family];
