/**
 * Client for confidential image classification: verifies an enclave, encrypts a photo to it, decrypts the answer.
 *
 *     import { Client } from "blindsight-client";
 *
 * It has the same names, errors and steps as Python's `blindsight.Client`, in camel case. `attestation` and `receipts`
 * verify stored evidence and answers.
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
