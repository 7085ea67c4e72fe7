/** Whom to seal to: a verified document together with the keys and the model manifest that came beside it. */
import { type Bytes } from "./bytes.js";
import type { Claims } from "./claims.js";
import { type Json, type JsonObject } from "./json.js";
import { type KeyConfig } from "./keyconfig.js";
import type { Policy } from "./policy.js";
import { VerificationReport } from "./report.js";
import { type Verified } from "./verify.js";
/** What came as evidence, of which nothing is believed yet. */
export interface Evidence {
    readonly document: Bytes;
    /** The `application/ohttp-keys` list. */
    readonly keyConfigs: Bytes;
    /** The model manifest, as JSON that was parsed. */
    readonly model: Json;
}
type Accepted = Pick<Recipient, "config" | "verified" | "document" | "keyConfigs" | "manifest">;
/** An enclave whose evidence was accepted: whom to seal to, and what is known of it. */
export declare class Recipient {
    readonly config: KeyConfig;
    readonly verified: Verified;
    /** The attestation document. */
    readonly document: Bytes;
    /** The `application/ohttp-keys` list, as attested. */
    readonly keyConfigs: Bytes;
    /** The model manifest, as attested. */
    readonly manifest: JsonObject;
    constructor({ config, verified, document, keyConfigs, manifest }: Accepted);
    /** How many classes the model tells apart; undefined if its manifest does not say. */
    get classes(): number | undefined;
    get report(): VerificationReport;
    /** What the document claims. */
    get claims(): Claims;
    /** SHA-256 of the bundle, hex, as attested. */
    get functionChecksum(): string;
    /** SHA-256 of the canonical manifest, hex, as attested. */
    get modelDigest(): string;
    /** PCR index to hex, without the PCRs that nothing was measured into. */
    get measurements(): Readonly<Record<string, string>>;
    /** What must be known before an answer is relied on. */
    get notices(): readonly string[];
    /** The notices in one text; null if there are none. */
    get notice(): string | null;
}
/**
 * Take the verifier's steps and the one that it leaves to its caller: keys and manifest are the attested ones.
 *
 * `nonce` is fresh and used for nothing else. Throws `EvidenceError`, `PolicyError` if the policy has expired, or
 * `SealingError` if the enclave offers no key configuration that is known here.
 */
export declare function verifyRecipient({ document, keyConfigs, model }: Evidence, { policy, nonce, now }: {
    policy: Policy;
    nonce: Bytes;
    now: Date;
}): Promise<Recipient>;
/** The model manifest, once its canonical form is the attested one. Throws `EvidenceError` (`model_mismatch`). */
export declare function checkModel(verified: Verified, model: Json): Promise<JsonObject>;
/** PCR index to hex, without the PCRs that nothing was measured into. */
export declare function measurements({ document }: Verified): Record<string, string>;
export {};
