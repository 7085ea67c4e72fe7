/** The part of DER (X.690) that certificates of an attestation chain use, read strictly: one encoding of each value. */

import { hex, toUint, type Bytes } from "./bytes.ts";

export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** A context-specific tag that wraps another element. */
export function explicit(number: number): number {
  return 0xa0 | number;
}

/** A context-specific tag in the place of a primitive type's own. */
export function implicit(number: number): number {
  return 0x80 | number;
}

/** Not DER, or not of the expected structure. Never leaves the library: what reads certificates refuses them by it. */
export class DerError extends Error {}

export interface Element {
  readonly tag: number;
  readonly content: Bytes;
  /** With tag and length. */
  readonly whole: Bytes;
}

/** Reads the elements of `data` one after the other. Everything throws `DerError`. */
export class DerReader {
  readonly #data: Bytes;
  #at = 0;

  constructor(data: Bytes) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#at === this.#data.length;
  }

  /** The next element, whatever its tag. Tags above 30 and lengths above 65535 do not occur in what is read here. */
  element(): Element {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag of more than one byte");
    let length = this.#byte();
    if (length > 0x7f) {
      const size = length & 0x7f;
      if (size < 1 || size > 2) throw new DerError("an indefinite length, or an enormous one");
      length = toUint(this.#take(size));
      if (length < (size === 1 ? 0x80 : 0x100)) throw new DerError("a length not in its shortest form");
    }
    const content = this.#take(length);
    return { tag, content, whole: this.#data.subarray(start, this.#at) };
  }

  /** The next element, which has this tag. */
  expect(tag: number): Element {
    const element = this.element();
    if (element.tag !== tag) throw new DerError(`tag ${element.tag} in the place of ${tag}`);
    return element;
  }

  /** The content of the next element, which has this tag. */
  read(tag: number): Bytes {
    return this.expect(tag).content;
  }

  /** The content of the next element if it has this tag. */
  optional(tag: number): Bytes | undefined {
    return this.#data[this.#at] === tag ? this.read(tag) : undefined;
  }

  /** The elements of the next one, which has this tag. */
  enter(tag: number): DerReader {
    return new DerReader(this.read(tag));
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.done) throw new DerError("something follows the last element");
  }

  #byte(): number {
    return this.#take(1)[0] ?? 0;
  }

  #take(count: number): Bytes {
    const taken = this.#data.subarray(this.#at, this.#at + count);
    if (taken.length !== count) throw new DerError("cut short");
    this.#at += count;
    return taken;
  }
}

/** The one value that `data` consists of, with this tag: what it holds. */
export function only(data: Bytes, tag: number): DerReader {
  const outer = new DerReader(data);
  const inner = outer.enter(tag);
  outer.end();
  return inner;
}

/** An OBJECT IDENTIFIER as its content in hexadecimal: each arc ends, and begins with no superfluous zeros. */
export function oid(content: Bytes): string {
  let begins = true;
  for (const byte of content) {
    if (begins && byte === 0x80) throw new DerError("an arc not in its shortest form");
    begins = byte < 0x80;
  }
  if (!content.length || !begins) throw new DerError("no object identifier");
  return hex(content);
}

/** A BOOLEAN that may be left out, and is when it is false: DER writes no default values. */
export function defaultFalse(content: Bytes | undefined): boolean {
  if (content === undefined) return false;
  if (content.length !== 1 || content[0] !== 0xff) throw new DerError("no boolean, or a default that is written out");
  return true;
}

/** Checks that an INTEGER's content is in its shortest form, and returns it. */
export function integer(content: Bytes): Bytes {
  const [first, second] = content;
  const redundant = second !== undefined && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (first === undefined || redundant) throw new DerError("an integer not in its shortest form");
  return content;
}

/** A non-negative INTEGER as big-endian bytes of exactly `size`. */
export function unsigned(content: Bytes, size: number): Bytes {
  const digits = integer(content);
  if ((digits[0] ?? 0) >= 0x80) throw new DerError("a negative integer");
  const significant = digits[0] === 0 ? digits.subarray(1) : digits;
  if (significant.length > size) throw new DerError("too large an integer");
  const padded = new Uint8Array(size);
  padded.set(significant, size - significant.length);
  return padded;
}

/** A non-negative INTEGER below 2^32. */
export function small(content: Bytes): number {
  return toUint(unsigned(content, 4));
}

/** The bytes of a BIT STRING of whole bytes. */
export function octets(content: Bytes): Bytes {
  if (content[0] !== 0) throw new DerError("a bit string that does not consist of bytes");
  return content.subarray(1);
}

/** The bits of a BIT STRING with named bits, the first one being bit 0; bits that are left out are zero. */
export function namedBits(content: Bytes): ReadonlySet<number> {
  const [unused, ...bytes] = content;
  const last = bytes.at(-1);
  if (unused === undefined || unused > 7 || (last === undefined ? unused !== 0 : (last & ((1 << unused) - 1)) !== 0)) {
    throw new DerError("no bit string");
  }
  const bits = new Set<number>();
  bytes.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) bits.add(8 * at + bit);
  });
  return bits;
}

const TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;

/** A UTCTime or GeneralizedTime in the form of RFC 5280, section 4.1.2.5. */
export function time({ tag, content }: Element): Date {
  let text = String.fromCharCode(...content);
  if (tag === TAG.UTC_TIME) text = (text.slice(0, 2) >= "50" ? "19" : "20") + text;
  else if (tag !== TAG.GENERALIZED_TIME) throw new DerError("no time");
  const [, year, month, day, hour, minute, second] = TIME.exec(text) ?? [];
  const spelt = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const moment = new Date(spelt);
  // `Date` takes 30 February and 24:00 for the day after.
  if (Number.isNaN(moment.getTime()) || moment.toISOString() !== spelt) throw new DerError("no time");
  return moment;
}
