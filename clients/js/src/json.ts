/**
 * JSON (RFC 8259) that is to be relied on: `JSON.parse` quietly takes the last of two members of one name, and rounds
 * integers that it cannot hold. Here the first is refused, and the second a bigint.
 */

export type Json = null | boolean | number | bigint | string | Json[] | JsonObject;

/** Without a prototype, so that only its own members are found in it. */
export interface JsonObject {
  [name: string]: Json;
}

/** Nested arrays and objects; ours have five. */
const MAX_DEPTH = 100;

/** Digits of an integer: what Python, at the other end, reads by default. */
const MAX_DIGITS = 4300;

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const STRING = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"/y;
const LITERAL = /true|false|null/y;

/** The same member twice in one object. */
export class DuplicateMemberError extends Error {}

/**
 * Parse `text`. Throws `SyntaxError`, or `DuplicateMemberError`.
 *
 * With `integersOnly` a number with a fraction or an exponent is a syntax error: for data in which 300.0 is no 300.
 */
export function parseJson(text: string, { integersOnly = false } = {}): Json {
  const parser = new Parser(text, integersOnly);
  const value = parser.value(0);
  parser.end();
  return value;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class Parser {
  readonly #text: string;
  readonly #integersOnly: boolean;
  #at = 0;

  constructor(text: string, integersOnly: boolean) {
    this.#text = text;
    this.#integersOnly = integersOnly;
  }

  value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new SyntaxError("too deeply nested");
    this.#match(SPACE);
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
      case "f":
      case "n":
        return JSON.parse(this.#expect(LITERAL)[0]) as boolean | null;
      default:
        return this.#number();
    }
  }

  end(): void {
    this.#match(SPACE);
    if (this.#at !== this.#text.length) throw new SyntaxError("something follows the value");
  }

  #object(depth: number): JsonObject {
    const members = Object.create(null) as JsonObject;
    this.#items("}", () => {
      this.#match(SPACE);
      const name = this.#string();
      if (Object.hasOwn(members, name)) throw new DuplicateMemberError("the same member twice");
      if (!this.#skip(":")) throw new SyntaxError("no colon");
      members[name] = this.value(depth + 1);
    });
    return members;
  }

  #array(depth: number): Json[] {
    const items: Json[] = [];
    this.#items("]", () => items.push(this.value(depth + 1)));
    return items;
  }

  /** An opening bracket, items with commas between them, and the closing one. */
  #items(close: string, item: () => void): void {
    this.#at++;
    if (this.#skip(close)) return;
    do item();
    while (this.#skip(","));
    if (!this.#skip(close)) throw new SyntaxError("an array or object that does not end");
  }

  #string(): string {
    return JSON.parse(this.#expect(STRING)[0]) as string;
  }

  #number(): number | bigint {
    const [digits, fraction, exponent] = this.#expect(NUMBER);
    const value = Number(digits);
    if (fraction === undefined && exponent === undefined) {
      if (digits.replace("-", "").length > MAX_DIGITS) throw new SyntaxError("a number with too many digits");
      return Number.isSafeInteger(value) ? value : BigInt(digits);
    }
    if (this.#integersOnly) throw new SyntaxError("a number that is not an integer");
    if (!Number.isFinite(value)) throw new SyntaxError("a number that is too large");
    return value;
  }

  /** Whether `character` comes next, after spaces; it is passed over then. */
  #skip(character: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(token: RegExp): RegExpExecArray {
    const found = this.#match(token);
    if (!found) throw new SyntaxError("not JSON");
    return found;
  }

  #match(token: RegExp): RegExpExecArray | null {
    token.lastIndex = this.#at;
    const found = token.exec(this.#text);
    if (found) this.#at = token.lastIndex;
    return found;
  }
}
