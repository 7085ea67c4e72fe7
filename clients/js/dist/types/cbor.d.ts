/**
 * Decode the part of CBOR (RFC 8949) that attestation documents use, and nothing else.
 *
 * Integers, byte and text strings, arrays, maps with integer or text keys, null and booleans; definite lengths in their
 * shortest form; no tags, floats or duplicate keys; nothing after the value. On request the outermost value may be a
 * map of indefinite length (section 3.2.2), as the NSM writes its payload.
 */
import { type Bytes } from "./bytes.js";
/** Integers that a number cannot hold exactly are bigints. */
export type CborValue = number | bigint | Bytes | string | boolean | null | CborValue[] | CborMap;
export type CborKey = number | bigint | string;
export interface CborMap extends Map<CborKey, CborValue> {
}
/** Nested arrays and maps. An attestation payload has two: a map that holds a map (pcrs) and an array (cabundle). */
export declare const MAX_DEPTH = 4;
export type CborCode = "malformed_cbor" | "trailing_bytes" | "duplicate_key" | "indefinite_length" | "nesting_too_deep" | "unexpected_tag";
/** The bytes are not one value of this kind. */
export declare class CborError extends Error {
    readonly code: CborCode;
    constructor(code: CborCode, message: string);
}
/**
 * Decode the one value that `data` consists of. Throws `CborError`.
 *
 * With `indefiniteMap` it may also be a map of indefinite length; everything in that is definite.
 */
export declare function decode(data: Bytes, { indefiniteMap }?: {
    indefiniteMap?: boolean | undefined;
}): CborValue;
/** The encoded byte string `content`: its head, then itself. */
export declare function byteStringHead(length: number): Bytes;
