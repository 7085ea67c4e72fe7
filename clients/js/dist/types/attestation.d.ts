/** Verification of enclave evidence, for callers who fetch and keep it themselves: Python's `blindsight.attestation`. */
export type { Bytes } from "./bytes.js";
export type { Claims } from "./claims.js";
export type { AttestationDocument } from "./document.js";
export { documentIn, FORMAT } from "./envelope.js";
export type { Json, JsonObject } from "./json.js";
export type { KeyConfig } from "./keyconfig.js";
export { Policy } from "./policy.js";
export { checkModel, measurements, verifyRecipient, type Evidence, type Recipient } from "./recipient.js";
export type { Part, Release } from "./release.js";
export { VerificationReport, type Step } from "./report.js";
export { AWS_NITRO_ROOT_G1, type EvidenceKind } from "./roots.js";
export { checkKeyConfigs, verify, verifyArchived, type Verified } from "./verify.js";
