/**
 * Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).
 *
 *     1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
 *     2. Fields        every field present and in its range
 *     3. Root          the first certificate of the bundle is a pinned root
 *     4. Chain         root to signer, valid at the time of verification
 *     5. Signature     by the signer's P-384 key
 *     6. Debug mode    PCR 0, 1 and 2 are not all zero
 *     7. Measurements  nothing recalled, and a release of the policy that is in force lists the PCRs
 *     8. Claims        function and model in user_data are what PCR 16 measures
 *     9. Identity      nothing recalled, and that release accepts function and model
 *    10. Freshness     the caller's nonce, and an age within limits
 *
 * Nothing is compared before the signature holds, and the first failure ends the verification. No I/O, no state, no
 * clock. Only for a policy that names QEMU's machine, steps 3 to 5 may find that there is no signature (emulated.ts).
 * A port of blindsight/attestation/verifier.py: the same checks in the same order with the same codes.
 */
import { type Bytes } from "./bytes.js";
import { type Claims } from "./claims.js";
import { type AttestationDocument } from "./document.js";
import type { Policy } from "./policy.js";
import { VerificationReport } from "./report.js";
import { type EvidenceKind } from "./roots.js";
/** A nonce that a caller sends must be too long to guess or to meet twice. */
export declare const MIN_NONCE_BYTES = 16;
/** The comparisons with what came beside the document, which are the caller's to make. */
export declare const CALLERS_STEP = 11;
/** A document that was verified. */
export interface Verified {
    readonly kind: EvidenceKind;
    readonly document: AttestationDocument;
    readonly claims: Claims | null;
    /** Null if nothing signed it, which only a release of kind `qemu-nitro-enclave` accepts. */
    readonly rootSha256: string | null;
    readonly report: VerificationReport;
    /** When policy or release end, whichever comes first: from then on this must not be relied on any more. */
    readonly until: Date | null;
}
/**
 * Verify live `evidence` at the time `now`. Throws `EvidenceError`, or `PolicyError` for a policy that has expired
 * before it looks at the evidence; a return means that every step passed.
 *
 * THE CALLER MUST, for the result to mean anything:
 * - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE.
 * - CALL `checkKeyConfigs` WITH THE KEYS IT IS GOING TO SEAL TO, and seal to those only.
 * - CALL `checkModel` BEFORE IT BELIEVES A MANIFEST that came beside the document.
 * - TREAT EVERY `kind` BUT `"nitro"` AS UNTRUSTED: such evidence proves nothing about hardware, and that of kind
 *   `"qemu-nitro-enclave"`, which only a policy that names this kind accepts, is not even signed.
 * - SHOW THE REPORT'S `leftOpen`: whatever it names was accepted unseen.
 * - VERIFY AGAIN BEFORE RELYING ON IT LATER; nothing here expires by itself.
 */
export declare function verify(evidence: Bytes, { policy, nonce, now }: {
    policy: Policy;
    nonce: Bytes | null;
    now: Date;
}): Promise<Verified>;
/**
 * Verify a kept document at its own timestamp, which is only the signer's word for when it was made. Throws `EvidenceError`.
 *
 * Ends of policy and releases are judged by that time, too; a release recalled since is refused. THE CALLER MUST NOT
 * SEND ANYTHING TO THE ENCLAVE on the strength of this: a thief of the long expired signing key can make such a
 * document today. `nonce`, of any length, is compared if it is known.
 */
export declare function verifyArchived(evidence: Bytes, policy: Policy, nonce?: Bytes | null): Promise<Verified>;
/** The step that defeats a relay. Throws `EvidenceError` (`key_configs_mismatch`, or `claims_missing`). */
export declare function checkKeyConfigs(verified: Verified, keyConfigs: Bytes): Promise<void>;
/** Check the canonical model `manifest`. Throws `EvidenceError` (`model_mismatch`, or `claims_missing`). */
export declare function checkManifest(verified: Verified, manifest: Bytes): Promise<void>;
/** Throws `EvidenceError` (`claims_missing`). */
export declare function claimsOf({ claims }: Verified): Claims;
