/** What the tests share. */

import assert from "node:assert/strict";

import type { EvidenceError } from "../src/errors.ts";
import type { Json } from "../src/json.ts";
import { fromBase64, fromHex, type Bytes } from "../src/bytes.ts";

/** Check that `action` is refused with this code, and at this step if one is given. */
export async function refused(action: () => unknown, code: string, step?: number): Promise<EvidenceError> {
  const error = await outcome(action);
  assert.ok(isRefusal(error), `${code} was expected, and came: ${String(error)}`);
  assert.equal(error.code, code, error.message);
  if (step !== undefined) assert.equal(error.step, step);
  assert.ok(error.nextStep);
  return error;
}

/** An error of the library's, be it of its sources or of the built module. `step` is there for evidence only. */
export function isRefusal(error: unknown): error is EvidenceError {
  return error instanceof Error && "nextStep" in error;
}

/** What `action` throws; undefined if it succeeds. */
export async function outcome(action: () => unknown): Promise<unknown> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error ?? new Error("something empty was thrown");
  }
}

/** JSON text of a value that has numbers which `JSON.stringify` does not write. */
export function jsonText(value: Json): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return value > 0 ? "1e999" : "-1e999";
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}:${jsonText(each)}`).join(",")}}`;
}

export function unhex(text: string): Bytes {
  return fromHex(text.replace(/\s/g, "")) ?? assert.fail("not hexadecimal");
}

export function unbase64(text: string): Bytes {
  return fromBase64(text) ?? assert.fail("not base64");
}

/** The item at this position, which is there. */
export function at<T>(items: ArrayLike<T>, position: number): T {
  const item = items[position];
  assert.ok(item !== undefined);
  return item;
}

/** Numbers from 0 up to 1, the same in every run (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `data` with one bit turned. */
export function flipped(data: Uint8Array, bit: number): Bytes {
  const copy = new Uint8Array(data);
  copy[bit >> 3] = at(copy, bit >> 3) ^ (1 << (bit & 7));
  return copy;
}
