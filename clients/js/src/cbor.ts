/**
 * Decode the part of CBOR (RFC 8949) that attestation documents use, and nothing else.
 *
 * Integers, byte and text strings, arrays, maps with integer or text keys, null and booleans; definite lengths in their
 * shortest form; no tags, floats or duplicate keys; nothing after the value. On request the outermost value may be a
 * map of indefinite length (section 3.2.2), as the NSM writes its payload.
 */

import { fromUtf8, type Bytes } from "./bytes.ts";

/** Integers that a number cannot hold exactly are bigints. */
export type CborValue = number | bigint | Bytes | string | boolean | null | CborValue[] | CborMap;
export type CborKey = number | bigint | string;
export interface CborMap extends Map<CborKey, CborValue> {}

/** Nested arrays and maps. An attestation payload has two: a map that holds a map (pcrs) and an array (cabundle). */
export const MAX_DEPTH = 4;

const SIMPLE: ReadonlyMap<number | bigint, boolean | null> = new Map([
  [20, false],
  [21, true],
  [22, null],
]);

const INDEFINITE_MAP = 0xbf;
const BREAK = 0xff;

export type CborCode =
  | "malformed_cbor"
  | "trailing_bytes"
  | "duplicate_key"
  | "indefinite_length"
  | "nesting_too_deep"
  | "unexpected_tag";

/** The bytes are not one value of this kind. */
export class CborError extends Error {
  constructor(
    readonly code: CborCode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Decode the one value that `data` consists of. Throws `CborError`.
 *
 * With `indefiniteMap` it may also be a map of indefinite length; everything in that is definite.
 */
export function decode(data: Bytes, { indefiniteMap = false } = {}): CborValue {
  const decoder = new Decoder(data);
  const value = decoder.outermost(indefiniteMap);
  if (!decoder.done) throw new CborError("trailing_bytes", "Bytes follow the end of the CBOR value.");
  return value;
}

/** The encoded byte string `content`: its head, then itself. */
export function byteStringHead(length: number): Bytes {
  if (length < 24) return Uint8Array.of(0x40 | length);
  if (length < 0x100) return Uint8Array.of(0x58, length);
  if (length < 0x10000) return Uint8Array.of(0x59, length >> 8, length & 0xff);
  throw new RangeError("no document holds a byte string of this length");
}

class Decoder {
  #at = 0;
  readonly #data: Bytes;

  constructor(data: Bytes) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#at === this.#data.length;
  }

  outermost(indefiniteMap: boolean): CborValue {
    return indefiniteMap && this.#skip(INDEFINITE_MAP) ? this.#map(undefined, 0) : this.value(0);
  }

  value(depth: number): CborValue {
    if (depth > MAX_DEPTH) throw new CborError("nesting_too_deep", `More than ${MAX_DEPTH} nested arrays or maps.`);
    const [major, argument] = this.#head();
    switch (major) {
      case 0:
        return argument;
      case 1:
        return exact(-1n - BigInt(argument));
      case 2:
        return this.#take(argument);
      case 3:
        return this.#text(argument);
      case 4: {
        // A forged length cannot make this long: every element takes a byte, and the document is small.
        const items: CborValue[] = [];
        for (let count = 0; count < argument; count++) items.push(this.value(depth + 1));
        return items;
      }
      case 5:
        return this.#map(argument, depth);
      case 6:
        throw new CborError("unexpected_tag", `CBOR tag ${argument} where none is allowed.`);
      default: {
        const simple = SIMPLE.get(argument);
        if (simple === undefined) {
          throw new CborError("malformed_cbor", "A floating-point number or an unassigned simple value.");
        }
        return simple;
      }
    }
  }

  /** The entries that follow: `count` of them, or if it is undefined those up to the break. */
  #map(count: number | bigint | undefined, depth: number): CborMap {
    const entries: CborMap = new Map<CborKey, CborValue>();
    while (count === undefined ? !this.#skip(BREAK) : entries.size < count) {
      const key = this.value(depth + 1);
      if (typeof key !== "number" && typeof key !== "bigint" && typeof key !== "string") {
        throw new CborError("malformed_cbor", "A map key is neither an integer nor text.");
      }
      if (entries.has(key)) throw new CborError("duplicate_key", "A map has the same key twice.");
      entries.set(key, this.value(depth + 1));
    }
    return entries;
  }

  #text(length: number | bigint): string {
    const text = fromUtf8(this.#take(length));
    if (text === undefined) throw new CborError("malformed_cbor", "A text string is not UTF-8.");
    return text;
  }

  /** Read a data item head: major type 0-7 and argument (RFC 8949, section 3). */
  #head(): [number, number | bigint] {
    const initial = this.#take(1)[0] ?? 0;
    const major = initial >> 5;
    const info = initial & 31;
    if (info < 24) return [major, info];
    if (info === 31) throw new CborError("indefinite_length", "An indefinite length or a break where none is allowed.");
    if (info > 27) throw new CborError("malformed_cbor", "A reserved length encoding.");
    const size = 1 << (info - 24);
    let argument = 0n;
    for (const byte of this.#take(size)) argument = (argument << 8n) | BigInt(byte);
    if (major === 7 || argument < (size === 1 ? 24n : 1n << BigInt(4 * size))) {
      throw new CborError("malformed_cbor", "A number not in its shortest form, or a floating-point number.");
    }
    return [major, exact(argument)];
  }

  #take(count: number | bigint): Bytes {
    if (count > this.#data.length - this.#at) {
      throw new CborError("malformed_cbor", "The document ends in the middle of a value.");
    }
    const start = this.#at;
    this.#at += Number(count);
    return this.#data.subarray(start, this.#at);
  }

  /** Whether `byte` comes next; it is passed over then. */
  #skip(byte: number): boolean {
    if (this.#data[this.#at] !== byte) return false;
    this.#at++;
    return true;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
