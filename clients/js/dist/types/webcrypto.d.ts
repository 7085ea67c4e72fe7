/** What is taken from the platform's WebCrypto: digests, random bytes, ECDSA. */
import { type Bytes } from "./bytes.js";
/** The curves in use: ECDSA with the hash of the same strength. */
export declare const P384: {
    readonly curve: "P-384";
    readonly hash: "SHA-384";
    readonly bytes: 48;
};
export declare const P256: {
    readonly curve: "P-256";
    readonly hash: "SHA-256";
    readonly bytes: 32;
};
export type Curve = typeof P384 | typeof P256;
/** Throws `PlatformError` (`no_webcrypto`): browsers leave it out of pages that came over plain HTTP. */
export declare function subtle(): SubtleCrypto;
/** Throws `PlatformError` where there is no WebCrypto: nothing of this library can be used there. */
export declare function checkPlatform(): void;
export declare function randomBytes(count: number): Bytes;
export declare function sha256(data: Uint8Array): Promise<Bytes>;
export declare function sha384(data: Uint8Array): Promise<Bytes>;
/** The public key of an uncompressed point; undefined if that is not on the curve. */
export declare function ecdsaKey(point: Uint8Array, { curve, bytes }: Curve): Promise<CryptoKey | undefined>;
/** Whether `signature` (r and s, each of the curve's size) holds. */
export declare function ecdsaVerify(key: CryptoKey, { hash }: Curve, signature: Uint8Array, data: Uint8Array): Promise<boolean>;
