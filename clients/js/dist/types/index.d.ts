/**
 * Confidential image classification, the caller's side: verify an enclave, seal a photo to it, open what it answers.
 *
 *     import { Client } from "blindsight-client";
 *
 * Names, errors and steps are those of Python's `blindsight.Client`, in camel case. `attestation` and `receipts` are
 * for evidence and answers that were kept.
 */
export type { Prediction } from "./answer.js";
export * as attestation from "./attestation.js";
export { Client } from "./client.js";
export type { Classification, ClassifyOptions, ClientOptions, Traffic, VerifyOptions } from "./client.js";
export { BlindsightError, EvidenceChainError, EvidenceClaimsError, EvidenceDebugError, EvidenceError, EvidenceFormatError, EvidenceFreshnessError, EvidenceMeasurementError, EvidenceSignatureError, PlatformError, PolicyError, ReceiptError, SealingError, TransportError, } from "./errors.js";
export { Policy } from "./policy.js";
export { GatewayProblem, Problem } from "./problems.js";
export * as receipts from "./receipts.js";
export type { Recipient } from "./recipient.js";
export type { Step, VerificationReport } from "./report.js";
export { checkPlatform } from "./webcrypto.js";
