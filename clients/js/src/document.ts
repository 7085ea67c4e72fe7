/**
 * The payload of a Nitro attestation document, parsed strictly and without trusting it.
 *
 * Source: AWS Nitro Enclaves NSM API, docs/attestation_process.md, sections 3.1 (format) and 3.2.2 (field checks), and
 * what genuine documents carry where the two differ: CBOR null for optional fields, more than 512 bytes of user data,
 * and since July 2025 an outer map of indefinite length. Both forms of that map are taken; what it holds is definite.
 */

import type { Bytes } from "./bytes.ts";
import type { CborKey, CborMap, CborValue } from "./cbor.ts";
import { decodeAt } from "./cose.ts";
import { refusal, type Code, type BlindsightError } from "./errors.ts";

/** AWS's limit for the payload, taken here for the whole message. Genuine documents have 4.4 to 5.2 kB. */
export const MAX_DOCUMENT_BYTES = 16 * 1024;

/** SHA-384. AWS allows 32 and 64 for digests that no Nitro system uses. */
export const PCR_BYTES = 48;

export const MAX_PCRS = 32;
const MAX_CERTIFICATE_BYTES = 1024;

/** Of public_key, user_data and nonce each. AWS's text says 512 for two of them; its devices sign 746. */
const MAX_OPTIONAL_BYTES = 1024;

const KNOWN: ReadonlySet<CborKey> = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);

/** End of the year 9999. */
const MAX_TIMESTAMP_MS = 253_402_300_799_999;

/**
 * The fields of an attestation document. Nothing in it is trustworthy before `verify` has returned it.
 *
 * `pcrs` maps index to 48 bytes; `certificate` and `cabundle` are DER, the bundle from the root to the issuer of
 * `certificate`, never empty.
 */
export interface AttestationDocument {
  readonly moduleId: string;
  readonly timestamp: Date;
  readonly pcrs: ReadonlyMap<number, Bytes>;
  readonly certificate: Bytes;
  readonly cabundle: readonly [Bytes, ...Bytes[]];
  readonly publicKey: Bytes | null;
  readonly userData: Bytes | null;
  readonly nonce: Bytes | null;
  /** Keys of the payload that this parser skipped: they are signed, and no check depends on what they hold. */
  readonly unknownFields: readonly CborKey[];
}

/** Parse the payload of a COSE_Sign1 message. Throws `EvidenceError`, marked with `step`. */
export function parseDocument(payload: Bytes, step: number): AttestationDocument {
  const fields = decodeAt(step, payload, { indefiniteMap: true });
  if (!(fields instanceof Map)) throw refusal("invalid_field", "The payload is not a map.", step);
  return new Fields(fields, step).document();
}

/** The rules of the field table, one method a type. */
class Fields {
  readonly #fields: CborMap;
  readonly #step: number;

  constructor(fields: CborMap, step: number) {
    this.#fields = fields;
    this.#step = step;
  }

  document(): AttestationDocument {
    if (this.#text("digest") !== "SHA384") throw this.#error("unsupported_digest", "The digest is not SHA384.");
    return {
      moduleId: this.#text("module_id"),
      timestamp: this.#timestamp(),
      pcrs: this.#pcrs(),
      certificate: this.#certificate("certificate", this.#mandatory("certificate")),
      cabundle: this.#cabundle(),
      publicKey: this.#optional("public_key", 1),
      userData: this.#optional("user_data", 0),
      nonce: this.#optional("nonce", 0),
      unknownFields: [...this.#fields.keys()].filter((name) => !KNOWN.has(name)),
    };
  }

  #mandatory(name: string): Exclude<CborValue, null> {
    const value = this.#fields.get(name) ?? null;
    if (value === null) throw this.#error("missing_field", `The field ${name} is missing or null.`);
    return value;
  }

  #text(name: string): string {
    const value = this.#mandatory(name);
    if (typeof value !== "string" || !value) {
      throw this.#error("invalid_field", `The field ${name} is not a text, or empty.`);
    }
    return value;
  }

  #timestamp(): Date {
    const value = this.#mandatory("timestamp");
    if (typeof value !== "number" || value <= 0 || value > MAX_TIMESTAMP_MS) {
      throw this.#error("invalid_field", "The timestamp is not a number of milliseconds since 1970.");
    }
    return new Date(value);
  }

  #pcrs(): ReadonlyMap<number, Bytes> {
    const value = this.#mandatory("pcrs");
    if (!(value instanceof Map) || value.size < 1 || value.size > MAX_PCRS) {
      throw this.#error("invalid_field", `The field pcrs is not a map of 1 to ${MAX_PCRS} entries.`);
    }
    const pcrs = new Map<number, Bytes>();
    for (const [index, measurement] of value) {
      if (typeof index !== "number" || index < 0 || index >= MAX_PCRS) {
        throw this.#error("invalid_pcr_index", `A PCR index is not an integer from 0 to ${MAX_PCRS - 1}.`);
      }
      if (!(measurement instanceof Uint8Array) || measurement.length !== PCR_BYTES) {
        throw this.#error("invalid_pcr_length", `PCR ${index} is not a string of ${PCR_BYTES} bytes.`);
      }
      pcrs.set(index, measurement);
    }
    return pcrs;
  }

  #certificate(name: string, value: CborValue): Bytes {
    if (!(value instanceof Uint8Array) || value.length < 1 || value.length > MAX_CERTIFICATE_BYTES) {
      throw this.#error("invalid_field", `${name} is not a string of 1 to ${MAX_CERTIFICATE_BYTES} bytes.`);
    }
    return value;
  }

  #cabundle(): [Bytes, ...Bytes[]] {
    const value = this.#mandatory("cabundle");
    const [root, ...others] = Array.isArray(value) ? value : [];
    if (root === undefined) throw this.#error("invalid_field", "The field cabundle is not an array, or empty.");
    return [
      this.#certificate("cabundle[0]", root),
      ...others.map((item, position) => this.#certificate(`cabundle[${position + 1}]`, item)),
    ];
  }

  #optional(name: string, least: number): Bytes | null {
    const value = this.#fields.get(name) ?? null;
    if (value === null) return null;
    if (value instanceof Uint8Array && value.length >= least && value.length <= MAX_OPTIONAL_BYTES) return value;
    throw this.#error("invalid_field", `${name} is not a string of ${least} to ${MAX_OPTIONAL_BYTES} bytes.`);
  }

  #error(code: Code, message: string): BlindsightError {
    return refusal(code, message, this.#step);
  }
}
