/**
 * JSON (RFC 8259) that is to be relied on: `JSON.parse` quietly takes the last of two members of one name, and rounds
 * integers that it cannot hold. Here the first is refused, and the second a bigint.
 */
export type Json = null | boolean | number | bigint | string | Json[] | JsonObject;
/** Without a prototype, so that only its own members are found in it. */
export interface JsonObject {
    [name: string]: Json;
}
/** The same member twice in one object. */
export declare class DuplicateMemberError extends Error {
}
/**
 * Parse `text`. Throws `SyntaxError`, or `DuplicateMemberError`.
 *
 * With `integersOnly` a number with a fraction or an exponent is a syntax error: for data in which 300.0 is no 300.
 */
export declare function parseJson(text: string, { integersOnly }?: {
    integersOnly?: boolean | undefined;
}): Json;
export declare function isObject(value: Json | undefined): value is JsonObject;
