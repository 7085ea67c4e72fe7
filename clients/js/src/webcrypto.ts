/** What is taken from the platform's WebCrypto: digests, random bytes, ECDSA. */

import { owned, type Bytes } from "./bytes.ts";
import { refusal } from "./errors.ts";

/** The curves in use: ECDSA with the hash of the same strength. */
export const P384 = { curve: "P-384", hash: "SHA-384", bytes: 48 } as const;
export const P256 = { curve: "P-256", hash: "SHA-256", bytes: 32 } as const;
export type Curve = typeof P384 | typeof P256;

/** Throws `PlatformError` (`no_webcrypto`): browsers leave it out of pages that came over plain HTTP. */
export function subtle(): SubtleCrypto {
  // The type says that it is always there, which is true of secure contexts only.
  const found = (globalThis.crypto as Crypto | undefined)?.subtle as SubtleCrypto | undefined;
  if (!found) throw refusal("no_webcrypto", "This page has no access to cryptography (WebCrypto).");
  return found;
}

/** Throws `PlatformError` where there is no WebCrypto: nothing of this library can be used there. */
export function checkPlatform(): void {
  subtle();
}

export function randomBytes(count: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(count));
}

export async function sha256(data: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-256", owned(data)));
}

export async function sha384(data: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-384", owned(data)));
}

/** The public key of an uncompressed point; undefined if that is not on the curve. */
export async function ecdsaKey(point: Uint8Array, { curve, bytes }: Curve): Promise<CryptoKey | undefined> {
  const api = subtle();
  // Compressed points are not understood everywhere; what is refused must not depend on the platform.
  if (point.length !== 1 + 2 * bytes || point[0] !== 0x04) return undefined;
  try {
    return await api.importKey("raw", owned(point), { name: "ECDSA", namedCurve: curve }, false, ["verify"]);
  } catch {
    return undefined;
  }
}

/** Whether `signature` (r and s, each of the curve's size) holds. */
export async function ecdsaVerify(
  key: CryptoKey,
  { hash }: Curve,
  signature: Uint8Array,
  data: Uint8Array,
): Promise<boolean> {
  return await subtle().verify({ name: "ECDSA", hash }, key, owned(signature), owned(data));
}
