/** Key configurations of Oblivious HTTP (RFC 9458, section 3). */

import { toUint, type Bytes } from "./bytes.ts";
import { refusal, type BlindsightError } from "./errors.ts";

export const KDF_HKDF_SHA256 = 0x0001;

export interface Kem {
  readonly id: number;
  readonly name: "MLKEM768-X25519" | "X25519";
  readonly publicBytes: number;
  readonly encBytes: number;
}

export interface Aead {
  readonly id: number;
  readonly keyBytes: 16 | 32;
}

/** ML-KEM-768 and X25519 together: draft-irtf-cfrg-concrete-hybrid-kems, section 4.2; once called X-Wing. */
export const MLKEM768_X25519: Kem = { id: 0x647a, name: "MLKEM768-X25519", publicBytes: 1216, encBytes: 1120 };
export const X25519_HKDF_SHA256: Kem = { id: 0x0020, name: "X25519", publicBytes: 32, encBytes: 32 };

/** What is known here, the better first. */
const KEMS: readonly Kem[] = [MLKEM768_X25519, X25519_HKDF_SHA256];

/** WebCrypto's. Every enclave offers them beside ChaCha20-Poly1305, which no browser has. */
const AEADS: readonly Aead[] = [
  { id: 0x0001, keyBytes: 16 },
  { id: 0x0002, keyBytes: 32 },
];

/** KDF and AEAD numbers: 2 bytes each. */
const SUITE_BYTES = 4;

/** One configuration: who can open, and with which ciphers, at least one, in the enclave's order of preference. */
export interface KeyConfig {
  readonly keyId: number;
  readonly kem: Kem;
  readonly publicKey: Bytes;
  readonly aeads: readonly [Aead, ...Aead[]];
}

/**
 * Decode `application/ohttp-keys`, in the enclave's order of preference, without what is unknown here.
 *
 * A malformed list is refused as a whole (section 3.2). Throws `SealingError` (`malformed_message`).
 */
export function decodeList(data: Bytes): KeyConfig[] {
  const configs: KeyConfig[] = [];
  for (let at = 0; at < data.length; ) {
    const start = at + 2;
    at = start + toUint(data.subarray(at, start));
    if (at > data.length) throw malformed("The list of key configurations is cut short.");
    const config = decode(data.subarray(start, at));
    if (config) configs.push(config);
  }
  return configs;
}

/** The configuration to seal to, whatever the list's order: with the best KEM. Undefined if there is none. */
export function preferred(configs: readonly KeyConfig[]): KeyConfig | undefined {
  return KEMS.map((kem) => configs.find((config) => config.kem === kem)).find((config) => config !== undefined);
}

/** Cipher of these numbers, or undefined. */
export function aeadOf(kdfId: number, aeadId: number): Aead | undefined {
  return kdfId === KDF_HKDF_SHA256 ? AEADS.find(({ id }) => id === aeadId) : undefined;
}

/** The error of a message that is not of its stated format. */
export function malformed(detail: string): BlindsightError {
  return refusal("malformed_message", detail);
}

/** One configuration; undefined if its KEM or all its ciphers are unknown here, which is no fault. */
function decode(data: Bytes): KeyConfig | undefined {
  const [keyId] = data;
  if (keyId === undefined || data.length < 3) throw malformed("A key configuration is cut short.");
  const kemId = toUint(data.subarray(1, 3));
  const kem = KEMS.find(({ id }) => id === kemId);
  if (!kem) return undefined;
  const end = 3 + kem.publicBytes;
  if (data.length < end + 2) throw malformed("A key configuration is cut short.");
  const length = toUint(data.subarray(end, end + 2));
  const suites = data.subarray(end + 2);
  if (suites.length !== length || length < SUITE_BYTES || length % SUITE_BYTES) {
    throw malformed("A key configuration's cipher list has the wrong length.");
  }
  const [first, ...others] = Array.from({ length: length / SUITE_BYTES }, (_, index) => {
    const at = SUITE_BYTES * index;
    return aeadOf(toUint(suites.subarray(at, at + 2)), toUint(suites.subarray(at + 2, at + SUITE_BYTES)));
  }).filter((aead) => aead !== undefined);
  return first && { keyId, kem, publicKey: data.slice(3, end), aeads: [first, ...others] };
}
