/**
 * Confidential image classification, the caller's side: verify an enclave, seal a photo to it, open what it answers.
 *
 *     import { Client } from "blindsight-client";
 *
 * Names, errors and steps are those of Python's `blindsight.Client`, in camel case. `attestation` and `receipts` are
 * for evidence and answers that were kept.
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
