/** Bytes and their spellings. Decoders are strict and return undefined for what is not of their form. */

export type Bytes = Uint8Array<ArrayBuffer>;

const ENCODER = new TextEncoder();

/** `data` with a buffer that WebCrypto takes, copied only if it must be. */
export function owned(data: Uint8Array): Bytes {
  return data.buffer instanceof ArrayBuffer ? (data as Bytes) : new Uint8Array(data);
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Whether both are the same bytes. Takes the same time for all of one length. */
export function equal(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let at = 0; at < one.length; at++) difference |= (one[at] ?? 0) ^ (other[at] ?? 0);
  return difference === 0;
}

export function allZero(data: Uint8Array): boolean {
  return data.every((byte) => byte === 0);
}

/** Big-endian, `size` bytes. */
export function uint(value: number, size: number): Bytes {
  const encoded = new Uint8Array(size);
  for (let at = size - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) encoded[at] = rest % 256;
  return encoded;
}

/** Big-endian; exact below 2^53. */
export function toUint(data: Uint8Array): number {
  return data.reduce((value, byte) => value * 256 + byte, 0);
}

export function utf8(text: string): Bytes {
  return ENCODER.encode(text) as Bytes;
}

/** Undefined if it is not UTF-8. A byte order mark at the start is kept, as any other character. */
export function fromUtf8(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return undefined;
  }
}

/** Lower-case. */
export function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Bytes | undefined {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) return undefined;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Standard base64 with padding. */
export function base64(data: Uint8Array): string {
  let binary = "";
  for (const byte of data) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function fromBase64(text: string): Bytes | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** RFC 7515: base64url without padding. */
export function base64url(data: Uint8Array): string {
  return base64(data).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** One spelling only: unused bits in the last character must be zero. */
export function fromBase64url(text: string): Bytes | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const padding = "=".repeat((4 - (text.length % 4)) % 4);
  const decoded = fromBase64(text.replaceAll("-", "+").replaceAll("_", "/") + padding);
  return decoded && base64url(decoded) === text ? decoded : undefined;
}
