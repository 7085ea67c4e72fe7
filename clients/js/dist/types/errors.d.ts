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
import { type Code, type Family } from "./codes.js";
export type { Code } from "./codes.js";
/** Base class. */
export declare class BlindsightError extends Error {
    readonly code: string;
    readonly nextStep: string;
    readonly name: string;
    constructor(code: string, message: string, nextStep: string);
    /** Whether the same call can succeed later. */
    get retryable(): boolean;
}
/** Evidence was refused: send nothing to that enclave. Retrying with the same evidence never succeeds. */
export declare class EvidenceError extends BlindsightError {
    /** The step of the verification that refused it, 1 to 11; 0 outside of one. */
    readonly step: number;
    readonly name: string;
    constructor(code: string, message: string, nextStep: string, 
    /** The step of the verification that refused it, 1 to 11; 0 outside of one. */
    step: number);
}
/** The bytes are not a Nitro attestation document. Fetching evidence again is safe; the same bytes never pass. */
export declare class EvidenceFormatError extends EvidenceError {
    readonly name = "EvidenceFormatError";
}
/** The signing certificate does not descend from a pinned root. Retry only after fetching new evidence. */
export declare class EvidenceChainError extends EvidenceError {
    readonly name = "EvidenceChainError";
}
/** The signature is not by the enclave's certificate. Not retryable. */
export declare class EvidenceSignatureError extends EvidenceError {
    readonly name = "EvidenceSignatureError";
}
/** The enclave runs in debug mode, so its host can read its console. Refused under every policy. */
export declare class EvidenceDebugError extends EvidenceError {
    readonly name = "EvidenceDebugError";
}
/** The enclave runs other code than the policy accepts, or code that it no longer accepts. Not retryable. */
export declare class EvidenceMeasurementError extends EvidenceError {
    readonly name = "EvidenceMeasurementError";
}
/** The function, the model or the keys are not those in the evidence or the policy. */
export declare class EvidenceClaimsError extends EvidenceError {
    readonly name = "EvidenceClaimsError";
}
/** The document was made for another request or at another time. Retry with a new nonce and new evidence. */
export declare class EvidenceFreshnessError extends EvidenceError {
    readonly name = "EvidenceFreshnessError";
}
/** The policy is invalid or has expired. Retry only with another policy. */
export declare class PolicyError extends BlindsightError {
    readonly name = "PolicyError";
}
/** A sealed message was refused. `answer_not_genuine` and `not_sealed`: the answer is not the enclave's. */
export declare class SealingError extends BlindsightError {
    readonly name = "SealingError";
}
/** A receipt does not match this answer. Not retryable: receipt and answer do not change. */
export declare class ReceiptError extends BlindsightError {
    readonly name = "ReceiptError";
}
/** The gateway was not reached or did not answer completely. The same request is safe to send again. */
export declare class TransportError extends BlindsightError {
    readonly name = "TransportError";
    get retryable(): boolean;
}
/** This browser or runtime lacks a required algorithm; the library uses no weaker one instead. */
export declare class PlatformError extends BlindsightError {
    readonly name = "PlatformError";
}
/** The error of this code; `step` is the step of verification, for evidence. */
export declare function refusal(code: Code, message: string, step?: number): BlindsightError;
/** The codes of a class of errors, with what to do next. */
export declare function nextSteps(family: Family): Readonly<Record<string, string>>;
export declare const FAMILIES: readonly Family[];
