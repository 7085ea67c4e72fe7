/** What the tests share. */

import assert from "node:assert/strict";

import { Refusal } from "../src/protocol/errors.ts";
import { fromBase64, fromHex, type Bytes } from "../src/protocol/bytes.ts";

/** Check that `action` is refused with this code, and at this step if one is given. */
export async function refused(action: () => unknown, code: string, step?: number): Promise<Refusal> {
  const error = await outcome(action);
  assert.ok(error instanceof Refusal, `${code} was expected, and came: ${String(error)}`);
  assert.equal(error.code, code, error.message);
  if (step !== undefined) assert.equal(error.step, step);
  assert.ok(error.nextStep);
  return error;
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
