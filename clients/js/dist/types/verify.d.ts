/**
 * Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).
 *
 *     1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
 *     2. Fields        every field present and in its range
 *     3. Root          the first certificate of the bundle is a pinned root
 *     4. Chain         root to signer, valid at the time of verification
 *     5. Signature     by the signer's P-384 key
 *     6. Debug mode    PCR 0, 1 and 2 are not all zero
 *     7. Measurements  no value is recalled, and an accepted, unexpired release of the policy lists the PCRs
 *     8. Claims        function and model in user_data match PCR 16
 *     9. Identity      neither is recalled, and that release accepts function and model
 *    10. Freshness     the caller's nonce, and an age within limits
 *
 * The first failure ends the verification. No PCR, claim or nonce is compared before the signature is valid. No I/O, no
 * state, no clock. Under a policy that lists QEMU's machine, steps 3 to 5 accept its unsigned documents (emulated.ts).
 * A port of blindsight/attestation/verifier.py: the same checks in the same order with the same codes.
 */
import { type Bytes } from "./bytes.js";
import { type Claims } from "./claims.js";
import { type AttestationDocument } from "./document.js";
import type { Policy } from "./policy.js";
import { VerificationReport } from "./report.js";
import { type EvidenceKind } from "./roots.js";
/** A caller's nonce must be too long to be guessed or to repeat by chance. */
export declare const MIN_NONCE_BYTES = 16;
/** The comparison of keys and manifest with their attested digests, which the caller has to make. */
export declare const CALLERS_STEP = 11;
/** A verified document. */
export interface Verified {
    readonly kind: EvidenceKind;
    readonly document: AttestationDocument;
    readonly claims: Claims | null;
    /** Null for unsigned evidence, which only a release of kind `qemu-nitro-enclave` accepts. */
    readonly rootSha256: string | null;
    readonly report: VerificationReport;
    /** The earlier expiry of policy and release. DO NOT RELY ON THE RESULT AFTERWARDS. */
    readonly until: Date | null;
}
/**
 * Verify live `evidence` at the time `now`. If it returns, every step passed. Throws `EvidenceError`, or `PolicyError`
 * for an expired policy, before it parses the evidence.
 *
 * THE CALLER MUST, for the result to mean anything:
 * - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE.
 * - CALL `checkKeyConfigs` WITH THE KEYS IT IS GOING TO ENCRYPT TO, and use only those.
 * - CALL `checkModel` BEFORE IT USES A MANIFEST that came beside the document.
 * - TREAT EVERY `kind` BUT `"nitro"` AS UNTRUSTED: such evidence proves nothing about hardware, and that of kind
 *   `"qemu-nitro-enclave"`, which only a policy that lists this kind accepts, is not even signed.
 * - SHOW THE REPORT'S `leftOpen`: the policy did not restrict these parts.
 * - VERIFY AGAIN BEFORE RELYING ON IT LATER: results do not expire by themselves.
 */
export declare function verify(evidence: Bytes, { policy, nonce, now }: {
    policy: Policy;
    nonce: Bytes | null;
    now: Date;
}): Promise<Verified>;
/**
 * Verify a stored document at its own timestamp, which only the signer vouches for. Throws `EvidenceError`.
 *
 * Expiry of policy and releases is judged by that time, too; a release recalled since is refused. THE CALLER MUST NOT
 * SEND ANYTHING TO THE ENCLAVE on the strength of this: a party that stole the expired signing key can make such a
 * document today. `nonce`, of any length, is compared if given.
 */
export declare function verifyArchived(evidence: Bytes, policy: Policy, nonce?: Bytes | null): Promise<Verified>;
/**
 * Compare the key configurations with their attested digest: the step that prevents a relay attack.
 *
 * Throws `EvidenceError` (`key_configs_mismatch`, or `claims_missing`).
 */
export declare function checkKeyConfigs(verified: Verified, keyConfigs: Bytes): Promise<void>;
/** Check the canonical model `manifest`. Throws `EvidenceError` (`model_mismatch`, or `claims_missing`). */
export declare function checkManifest(verified: Verified, manifest: Bytes): Promise<void>;
/** Throws `EvidenceError` (`claims_missing`). */
export declare function claimsOf({ claims }: Verified): Claims;
