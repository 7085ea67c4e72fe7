/** Size classes, so that lengths tell little: zeros after a binary HTTP message (RFC 9292, section 3.8). */

import type { Bytes } from "./bytes.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const SMALLEST_REQUEST = 32 * KIB;

/** The bytes to which a request of `length` is padded: a power of two from 32 KiB to 1 MiB, or whole MiB. */
export function requestLength(length: number): number {
  if (length > MIB) return Math.ceil(length / MIB) * MIB;
  let size = SMALLEST_REQUEST;
  while (size < length) size *= 2;
  return size;
}

/** `message` and zeros, `requestLength` bytes. */
export function padded(message: Uint8Array): Bytes {
  const whole = new Uint8Array(requestLength(message.length));
  whole.set(message);
  return whole;
}
