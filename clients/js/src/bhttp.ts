/**
 * Binary HTTP messages (RFC 9292): known-length requests written, responses of both forms read.
 *
 * Informational responses and trailers are checked and dropped. Padding (zeros at the end) and the truncated forms of
 * section 3.8 are allowed when read. What section 4 calls invalid is refused; so are pseudo-fields.
 */

import { allZero, concat, toUint, uint, utf8, type Bytes } from "./bytes.ts";
import { malformed } from "./keyconfig.ts";

/** Names in lower case, with their values. */
export type Fields = readonly (readonly [name: string, value: string])[];

export interface Request {
  readonly method: string;
  /** Includes the query. */
  readonly path: string;
  readonly fields: Fields;
  readonly content: Uint8Array;
}

/** A final response: `status` 200 to 599. */
export interface Response {
  readonly status: number;
  readonly fields: Fields;
  readonly content: Bytes;
}

const KNOWN_REQUEST = 0;
const KNOWN_RESPONSE = 1;
const INDETERMINATE_RESPONSE = 3;

/** Header or trailer fields of one message; ours have three. */
const MAX_FIELDS = 64;

/** Chunks of one indeterminate-length content: one-byte chunks would cost their reader far more than their sender. */
const MAX_CHUNKS = 8192;

/** Bytes of a field's name or its value: what looks into them takes time by their length, or worse. */
const MAX_TEXT_BYTES = 1024;

/** A known-length field section; a length takes 8 bytes at the most. */
const MAX_SECTION_BYTES = MAX_FIELDS * 2 * (MAX_TEXT_BYTES + 8);

/** Informational responses before the final one. */
const MAX_INFORMATIONAL = 8;

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const VALUE = /^[^\x00\r\n]*$/;

/** Scheme `https`, and no authority: the enclave is the one that the message is sealed to. */
export function encodeRequest({ method, path, fields, content }: Request): Bytes {
  const lines = concat(...fields.flatMap(([name, value]) => [text(name), text(value)]));
  const control = [method, "https", "", path].map(text);
  const sections = [varint(lines.length), lines, varint(content.length), content, varint(0)];
  return concat(Uint8Array.of(KNOWN_REQUEST), ...control, ...sections);
}

/** Throws `SealingError` (`malformed_message`). */
export function decodeResponse(data: Bytes): Response {
  const reader = new Reader(data);
  const framing = reader.varint();
  if (framing !== KNOWN_RESPONSE && framing !== INDETERMINATE_RESPONSE) {
    throw malformed("This is not a binary HTTP response.");
  }
  const known = framing === KNOWN_RESPONSE;
  let status = reader.varint();
  for (let count = 1; status >= 100 && status <= 199; count++) {
    if (count > MAX_INFORMATIONAL) throw malformed("There are too many informational responses.");
    reader.fields(known);
    status = reader.varint();
  }
  if (status < 200 || status > 599) throw malformed("A binary HTTP response has no valid status.");
  const fields = reader.fields(known);
  const content = reader.content(known);
  reader.fields(known);
  reader.padding();
  return { status, fields, content };
}

/** Encode a variable-length integer (RFC 9000, section 16). */
export function varint(value: number): Bytes {
  const size = [1, 2, 4, 8].find((bytes) => value < 2 ** (8 * bytes - 2));
  if (size === undefined) throw malformed("A number is too large for a variable-length integer.");
  const encoded = uint(value, size);
  encoded[0] = (encoded[0] ?? 0) | (Math.log2(size) << 6);
  return encoded;
}

function text(value: string): Bytes {
  if (!/^[\x00-\x7f]*$/.test(value)) throw new RangeError("control data and fields are ASCII");
  return concat(varint(value.length), utf8(value));
}

class Reader {
  readonly #data: Bytes;
  #at = 0;

  constructor(data: Bytes) {
    this.#data = data;
  }

  get #done(): boolean {
    return this.#at === this.#data.length;
  }

  /** A field section; empty at the message's end, where it may be left out (section 3.8). */
  fields(known: boolean): Fields {
    const found: [string, string][] = [];
    if (this.#done) return found;
    const reader = known ? new Reader(this.#counted(MAX_SECTION_BYTES)) : this;
    // A known-length section ends with its bytes, an indeterminate-length one with an empty name.
    while (!(known && reader.#done)) {
      const name = reader.#text();
      if (!name && !known) break;
      const value = reader.#text();
      if (found.length === MAX_FIELDS || !NAME.test(name) || !VALUE.test(value)) {
        throw malformed("There are too many fields, or a field's name or value is invalid.");
      }
      found.push([name, value]);
    }
    return found;
  }

  content(known: boolean): Bytes {
    if (this.#done) return new Uint8Array();
    if (known) return this.#counted();
    const chunks: Bytes[] = [];
    for (let chunk = this.#counted(); chunk.length; chunk = this.#counted()) {
      chunks.push(chunk);
      if (chunks.length > MAX_CHUNKS) throw malformed("The content has too many chunks.");
    }
    return concat(...chunks);
  }

  /** The rest. */
  padding(): void {
    if (!allZero(this.#data.subarray(this.#at))) {
      throw malformed("Something other than padding follows the message.");
    }
  }

  /** Exact below 2^53; what is larger is larger than any message, and than any status. */
  varint(): number {
    const first = this.#take(1)[0] ?? 0;
    return toUint(concat(Uint8Array.of(first & 0x3f), this.#take((1 << (first >> 6)) - 1)));
  }

  #text(): string {
    const encoded = this.#counted(MAX_TEXT_BYTES);
    if (encoded.some((byte) => byte > 0x7f)) throw malformed("A field or control value is not ASCII.");
    return new TextDecoder().decode(encoded);
  }

  #counted(limit = Infinity): Bytes {
    const length = this.varint();
    if (length > limit) throw malformed("A field or the fields together are too long.");
    return this.#take(length);
  }

  #take(count: number): Bytes {
    if (count > this.#data.length - this.#at) throw malformed("The message is cut short.");
    const start = this.#at;
    this.#at += count;
    return this.#data.subarray(start, this.#at);
  }
}
