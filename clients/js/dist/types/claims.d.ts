/**
 * What an enclave says of itself in `user_data`: its function, its model, its sealing keys and its receipt key.
 *
 * Canonical JSON (RFC 8785) of four members, each the standard base64 of 32 bytes. PCR 16 measures function and model.
 */
import { type Bytes } from "./bytes.js";
/** The first PCR that an application may extend. */
export declare const CLAIMS_PCR = 16;
/** SHA-256 values, 32 bytes each; that of the receipt key is its thumbprint (RFC 7638). */
export interface Claims {
    readonly funcChecksum: Bytes;
    readonly keyConfigsSha256: Bytes;
    readonly modelSha256: Bytes;
    readonly receiptKeySha256: Bytes;
}
/**
 * Parse `userData`; null if it is someone else's. Members beside the four are ignored.
 *
 * Throws `EvidenceError` (`malformed_claims`), marked with `step`.
 */
export declare function parseClaims(userData: Bytes | null, step: number): Claims | null;
/** The value of PCR 16, 48 bytes, that goes with these claims: extended once from zeros. */
export declare function expectedPcr16({ funcChecksum, modelSha256 }: Claims): Promise<Bytes>;
