/** Bytes and their spellings. Decoders are strict and return undefined for what is not of their form. */
export type Bytes = Uint8Array<ArrayBuffer>;
/** `data` with a buffer that WebCrypto takes, copied only if it must be. */
export declare function owned(data: Uint8Array): Bytes;
export declare function concat(...parts: readonly Uint8Array[]): Bytes;
/** Whether both are the same bytes. Takes the same time for all of one length. */
export declare function equal(one: Uint8Array, other: Uint8Array): boolean;
export declare function allZero(data: Uint8Array): boolean;
/** Big-endian, `size` bytes. */
export declare function uint(value: number, size: number): Bytes;
/** Big-endian; exact below 2^53. */
export declare function toUint(data: Uint8Array): number;
export declare function utf8(text: string): Bytes;
/** Undefined if it is not UTF-8. A byte order mark at the start is kept, as any other character. */
export declare function fromUtf8(data: Uint8Array): string | undefined;
/** Lower-case. */
export declare function hex(data: Uint8Array): string;
export declare function fromHex(text: string): Bytes | undefined;
/** Standard base64 with padding. */
export declare function base64(data: Uint8Array): string;
export declare function fromBase64(text: string): Bytes | undefined;
/** RFC 7515: base64url without padding. */
export declare function base64url(data: Uint8Array): string;
/** One spelling only: unused bits in the last character must be zero. */
export declare function fromBase64url(text: string): Bytes | undefined;
