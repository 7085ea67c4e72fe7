/**
 * Client for confidential image classification: verifies an enclave, encrypts a photo to it, decrypts the answer.
 *
 *     import { Client } from "blindsight-client";
 *
 * It has the same names, errors and steps as Python's `blindsight.Client`, in camel case. `attestation` and `receipts`
 * verify stored evidence and answers.
 */

export type { Prediction } from "./answer.ts";
export * as attestation from "./attestation.ts";
export { Client } from "./client.ts";
export type { Classification, ClassifyOptions, ClientOptions, Traffic, VerifyOptions } from "./client.ts";
export {
  BlindsightError,
  EvidenceChainError,
  EvidenceClaimsError,
  EvidenceDebugError,
  EvidenceError,
  EvidenceFormatError,
  EvidenceFreshnessError,
  EvidenceMeasurementError,
  EvidenceSignatureError,
  PlatformError,
  PolicyError,
  ReceiptError,
  SealingError,
  TransportError,
} from "./errors.ts";
export { Policy } from "./policy.ts";
export { GatewayProblem, Problem } from "./problems.ts";
export * as receipts from "./receipts.ts";
export type { Recipient } from "./recipient.ts";
export type { Step, VerificationReport } from "./report.ts";
export { checkPlatform } from "./webcrypto.ts";
