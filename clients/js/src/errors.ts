/**
 * The errors of the library, with the names and codes of Python's `blindsight.errors`.
 *
 *     BlindsightError                 code, nextStep, retryable
 *     ├── EvidenceError               step: the verification step that refused
 *     │   ├── EvidenceFormatError     steps 1-2: not a well-formed attestation document
 *     │   ├── EvidenceChainError      steps 3-4: not from a pinned root, or not valid at that time
 *     │   ├── EvidenceSignatureError  step 5
 *     │   ├── EvidenceDebugError      step 6: an enclave whose memory its host can read
 *     │   ├── EvidenceMeasurementError  step 7: other code than the policy accepts, or no longer accepted
 *     │   ├── EvidenceClaimsError     steps 8-9, 11: another function, model or key than accepted or attested
 *     │   └── EvidenceFreshnessError  step 10: not a fresh document for this caller
 *     ├── PolicyError                 an invalid or expired policy
 *     ├── SealingError                a message cannot be decrypted
 *     ├── ReceiptError                a receipt does not match
 *     ├── Problem                     an RFC 9457 problem of the enclave, from inside the sealed answer
 *     │   └── GatewayProblem          an unauthenticated problem, from the gateway or any party between
 *     ├── TransportError              the gateway was not reached; safe to retry
 *     └── PlatformError               this browser or runtime lacks an algorithm; only in JavaScript
 *
 * `code` is stable and for programs, the message is for people, `nextStep` is the recommended action. Messages never
 * quote secrets, images or answers. Programming errors are a `TypeError` or a `RangeError` instead.
 */

import { NEXT_STEPS, type Code, type Family } from "./codes.ts";

export type { Code } from "./codes.ts";

/** Base class. */
export class BlindsightError extends Error {
  override readonly name: string = "BlindsightError";

  constructor(
    readonly code: string,
    message: string,
    readonly nextStep: string,
  ) {
    super(message);
  }

  /** Whether the same call can succeed later. */
  get retryable(): boolean {
    return false;
  }
}

/** Evidence was refused: send nothing to that enclave. Retrying with the same evidence never succeeds. */
export class EvidenceError extends BlindsightError {
  override readonly name: string = "EvidenceError";

  constructor(
    code: string,
    message: string,
    nextStep: string,
    /** The step of the verification that refused it, 1 to 11; 0 outside of one. */
    readonly step: number,
  ) {
    super(code, message, nextStep);
  }
}

/** The bytes are not a Nitro attestation document. Fetching evidence again is safe; the same bytes never pass. */
export class EvidenceFormatError extends EvidenceError {
  override readonly name = "EvidenceFormatError";
}

/** The signing certificate does not descend from a pinned root. Retry only after fetching new evidence. */
export class EvidenceChainError extends EvidenceError {
  override readonly name = "EvidenceChainError";
}

/** The signature is not by the enclave's certificate. Not retryable. */
export class EvidenceSignatureError extends EvidenceError {
  override readonly name = "EvidenceSignatureError";
}

/** The enclave runs in debug mode, so its host can read its console. Refused under every policy. */
export class EvidenceDebugError extends EvidenceError {
  override readonly name = "EvidenceDebugError";
}

/** The enclave runs other code than the policy accepts, or code that it no longer accepts. Not retryable. */
export class EvidenceMeasurementError extends EvidenceError {
  override readonly name = "EvidenceMeasurementError";
}

/** The function, the model or the keys are not those in the evidence or the policy. */
export class EvidenceClaimsError extends EvidenceError {
  override readonly name = "EvidenceClaimsError";
}

/** The document was made for another request or at another time. Retry with a new nonce and new evidence. */
export class EvidenceFreshnessError extends EvidenceError {
  override readonly name = "EvidenceFreshnessError";
}

/** The policy is invalid or has expired. Retry only with another policy. */
export class PolicyError extends BlindsightError {
  override readonly name = "PolicyError";
}

/** A sealed message was refused. `answer_not_genuine` and `not_sealed`: the answer is not the enclave's. */
export class SealingError extends BlindsightError {
  override readonly name = "SealingError";
}

/** A receipt does not match this answer. Not retryable: receipt and answer do not change. */
export class ReceiptError extends BlindsightError {
  override readonly name = "ReceiptError";
}

/** The gateway was not reached or did not answer completely. The same request is safe to send again. */
export class TransportError extends BlindsightError {
  override readonly name = "TransportError";

  override get retryable(): boolean {
    return true;
  }
}

/** This browser or runtime lacks a required algorithm; the library uses no weaker one instead. */
export class PlatformError extends BlindsightError {
  override readonly name = "PlatformError";
}

const EVIDENCE = {
  EvidenceFormatError,
  EvidenceChainError,
  EvidenceSignatureError,
  EvidenceDebugError,
  EvidenceMeasurementError,
  EvidenceClaimsError,
  EvidenceFreshnessError,
};
const OTHERS = { PolicyError, SealingError, ReceiptError, TransportError, PlatformError };

/** Recalled measurements are found in step 7, recalled functions and models in step 9. */
const IDENTITY_STEP = 9;

/** The error of this code; `step` is the step of verification, for evidence. */
export function refusal(code: Code, message: string, step?: number): BlindsightError {
  const family = familyOf(code, step);
  const nextStep = nextSteps(family)[code] ?? "";
  if (family in OTHERS) return new OTHERS[family as keyof typeof OTHERS](code, message, nextStep);
  return new EVIDENCE[family as keyof typeof EVIDENCE](code, message, nextStep, step ?? 0);
}

/** The codes of a class of errors, with what to do next. */
export function nextSteps(family: Family): Readonly<Record<string, string>> {
  return NEXT_STEPS[family];
}

export const FAMILIES = Object.keys(NEXT_STEPS) as readonly Family[];

function familyOf(code: Code, step: number | undefined): Family {
  if (code === "release_recalled" && step === IDENTITY_STEP) return "EvidenceClaimsError";
  const found = FAMILIES.find((family) => Object.hasOwn(NEXT_STEPS[family], code));
  if (!found) throw new RangeError(`no class has the code ${code}`);
  return found;
}
