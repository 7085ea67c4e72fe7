/**
 * COSE_Sign1 with ES384 (RFC 9052, RFC 9053), the envelope of an attestation document.
 *
 * The algorithm is fixed here and never taken from the message: ECDSA on P-384 with SHA-384, protected header {1: -35}.
 */

import { concat, equal, utf8, type Bytes } from "./bytes.ts";
import { byteStringHead, CborError, decode, type CborValue } from "./cbor.ts";
import { refusal } from "./errors.ts";
import { ecdsaVerify, P384 } from "./webcrypto.ts";

/** The encoded protected header {alg: ES384}, as NSM writes it. */
const PROTECTED_ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22);

/** {1: -1}, which names no algorithm: what QEMU writes, whose signature is 64 zero bytes. */
const PROTECTED_UNSIGNED = Uint8Array.of(0xa1, 0x01, 0x20);

/** Head of the optional COSE_Sign1 tag (RFC 9052, section 2). */
const TAG_18 = 0xd2;

/** r and s of P-384, 48 bytes each, big-endian. */
const SIGNATURE_BYTES = 96;
const UNSIGNED_BYTES = 64;

/** The signed `payload` and its raw `signature`, not yet verified. `unsigned`: there is nothing to verify. */
export interface Sign1 {
  readonly payload: Bytes;
  readonly signature: Bytes;
  readonly unsigned: boolean;
}

/** Decode the CBOR of envelope or payload. Throws `EvidenceError`, marked with `step`. */
export function decodeAt(step: number, data: Bytes, options: { indefiniteMap?: boolean } = {}): CborValue {
  try {
    return decode(data, options);
  } catch (error) {
    throw error instanceof CborError ? refusal(error.code, error.message, step) : error;
  }
}

/**
 * Take `data` apart, with or without tag 18. Throws `EvidenceError`, marked with `step`.
 *
 * With `unsigned`, a message of QEMU's form is taken, too, which proves nothing.
 */
export function parse(data: Bytes, step: number, { unsigned: mayBeUnsigned = false } = {}): Sign1 {
  const message = decodeAt(step, data[0] === TAG_18 ? data.subarray(1) : data);
  if (!Array.isArray(message) || message.length !== 4) {
    throw refusal("not_cose_sign1", "Not a COSE_Sign1 array of four elements.", step);
  }
  const [header, unprotected, payload, signature] = message;
  const isHeader = (wanted: Bytes): boolean => header instanceof Uint8Array && equal(header, wanted);
  const unsigned = mayBeUnsigned && isHeader(PROTECTED_UNSIGNED);
  if (!unsigned && !isHeader(PROTECTED_ES384)) {
    throw refusal("wrong_algorithm", "The protected header is not exactly {alg: ES384}.", step);
  }
  if (!(unprotected instanceof Map) || unprotected.size) {
    throw refusal("unprotected_header", "The unprotected header is not an empty map.", step);
  }
  if (!(payload instanceof Uint8Array) || !payload.length) {
    throw refusal("not_cose_sign1", "The payload is not a byte string, or empty.", step);
  }
  const size = unsigned ? UNSIGNED_BYTES : SIGNATURE_BYTES;
  if (!(signature instanceof Uint8Array) || signature.length !== size) {
    throw refusal("not_cose_sign1", `The signature is not ${size} bytes.`, step);
  }
  return { payload, signature, unsigned };
}

/**
 * Check the signature with a P-384 `key`. Throws `EvidenceError` (`invalid_signature`), marked with `step`.
 *
 * ECDSA is malleable, (r, s) and (r, n - s) both verify: never identify a document by its signature.
 */
export async function verify(message: Sign1, key: CryptoKey, step: number): Promise<void> {
  if (!(await ecdsaVerify(key, P384, message.signature, sigStructure(message.payload)))) {
    throw refusal("invalid_signature", "The signature is not that of the document's certificate.", step);
  }
}

/** What is signed (RFC 9052, section 4.4), without external data: ["Signature1", header, empty, payload]. */
function sigStructure(payload: Bytes): Bytes {
  const head = concat(Uint8Array.of(0x84, 0x6a), utf8("Signature1"));
  return concat(
    head,
    byteStringHead(PROTECTED_ES384.length),
    PROTECTED_ES384,
    byteStringHead(0),
    byteStringHead(payload.length),
    payload,
  );
}
