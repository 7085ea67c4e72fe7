/** A verified enclave with its keys and model manifest, to which clients encrypt requests. */
import { type Bytes } from "./bytes.js";
import type { Claims } from "./claims.js";
import { type Json, type JsonObject } from "./json.js";
import { type KeyConfig } from "./keyconfig.js";
import type { Policy } from "./policy.js";
import { VerificationReport } from "./report.js";
import { type Verified } from "./verify.js";
/** Evidence that is not verified yet. */
export interface Evidence {
    readonly document: Bytes;
    /** The `application/ohttp-keys` list. */
    readonly keyConfigs: Bytes;
    /** The model manifest, as JSON that was parsed. */
    readonly model: Json;
}
type Accepted = Pick<Recipient, "config" | "verified" | "document" | "keyConfigs" | "manifest">;
/** An enclave whose evidence was accepted. */
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
    /** Number of classes of the model; undefined if its manifest does not state it. */
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
    /** Statements that every caller has to see, such as that the evidence is simulated. */
    get notices(): readonly string[];
    /** The notices in one text; null if there are none. */
    get notice(): string | null;
}
/**
 * Verify evidence and compare keys and manifest with their attested digests: steps 1 to 11.
 *
 * `nonce` is fresh and used only once. Throws `EvidenceError`, `PolicyError` if the policy has expired, or
 * `SealingError` if this client supports none of the enclave's key configurations.
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
