/** Key configurations of Oblivious HTTP (RFC 9458, section 3). */
import { type Bytes } from "./bytes.js";
import { type BlindsightError } from "./errors.js";
export declare const KDF_HKDF_SHA256 = 1;
export interface Kem {
    readonly id: number;
    readonly name: "MLKEM768-X25519" | "X25519";
    readonly publicBytes: number;
    readonly encBytes: number;
}
export interface Aead {
    readonly id: number;
    readonly keyBytes: 16 | 32;
}
/** ML-KEM-768 and X25519 together: draft-irtf-cfrg-concrete-hybrid-kems, section 4.2; once called X-Wing. */
export declare const MLKEM768_X25519: Kem;
export declare const X25519_HKDF_SHA256: Kem;
/** One configuration: who can open, and with which ciphers, at least one, in the enclave's order of preference. */
export interface KeyConfig {
    readonly keyId: number;
    readonly kem: Kem;
    readonly publicKey: Bytes;
    readonly aeads: readonly [Aead, ...Aead[]];
}
/**
 * Decode `application/ohttp-keys`, in the enclave's order of preference, without what is unknown here.
 *
 * A malformed list is refused as a whole (section 3.2). Throws `SealingError` (`malformed_message`).
 */
export declare function decodeList(data: Bytes): KeyConfig[];
/** The configuration to seal to, whatever the list's order: with the best KEM. Undefined if there is none. */
export declare function preferred(configs: readonly KeyConfig[]): KeyConfig | undefined;
/** Cipher of these numbers, or undefined. */
export declare function aeadOf(kdfId: number, aeadId: number): Aead | undefined;
/** The error of a message that is not of its stated format. */
export declare function malformed(detail: string): BlindsightError;
