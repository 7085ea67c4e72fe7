/** Verification of enclave evidence, for callers who fetch and keep it themselves: Python's `blindsight.attestation`. */

export type { Bytes } from "./bytes.ts";
export type { Claims } from "./claims.ts";
export type { AttestationDocument } from "./document.ts";
export { documentIn, FORMAT } from "./envelope.ts";
export type { Json, JsonObject } from "./json.ts";
export type { KeyConfig } from "./keyconfig.ts";
export { Policy } from "./policy.ts";
export { checkModel, measurements, verifyRecipient, type Evidence, type Recipient } from "./recipient.ts";
export type { Part, Release } from "./release.ts";
export { VerificationReport, type Step } from "./report.ts";
export { AWS_NITRO_ROOT_G1, type EvidenceKind } from "./roots.ts";
export { checkKeyConfigs, verify, verifyArchived, type Verified } from "./verify.ts";
