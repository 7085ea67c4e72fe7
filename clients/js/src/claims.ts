/**
 * What an enclave says of itself in `user_data`: its function, its model, its sealing keys and its receipt key.
 *
 * Canonical JSON (RFC 8785) of four members, each the standard base64 of 32 bytes. PCR 16 measures function and model.
 */

import { allZero, base64, concat, fromBase64, fromUtf8, type Bytes } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import { PCR_BYTES } from "./document.ts";
import { refusal } from "./errors.ts";
import { DuplicateMemberError, isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import { sha384 } from "./webcrypto.ts";

/** The first PCR that an application may extend. */
export const CLAIMS_PCR = 16;

const CLAIM_BYTES = 32;

/** The members that mark `user_data` as Blindsight's: Cape's own documents have `func_checksum` too. */
const OURS = ["key_configs_sha256", "model_sha256", "receipt_key_sha256"] as const;

/** SHA-256 values, 32 bytes each; that of the receipt key is its thumbprint (RFC 7638). */
export interface Claims {
  readonly funcChecksum: Bytes;
  readonly keyConfigsSha256: Bytes;
  readonly modelSha256: Bytes;
  readonly receiptKeySha256: Bytes;
}

/**
 * Parse `userData`; null if it is someone else's. Members beside the four are ignored.
 *
 * Throws `EvidenceError` (`malformed_claims`), marked with `step`.
 */
export function parseClaims(userData: Bytes | null, step: number): Claims | null {
  const members = jsonObject(userData ?? new Uint8Array(), step);
  if (!OURS.some((name) => name in members)) return null;
  return {
    funcChecksum: claim("func_checksum", members, step),
    keyConfigsSha256: claim("key_configs_sha256", members, step),
    modelSha256: claim("model_sha256", members, step),
    receiptKeySha256: claim("receipt_key_sha256", members, step),
  };
}

/** The value of PCR 16, 48 bytes, that goes with these claims: extended once from zeros. */
export async function expectedPcr16({ funcChecksum, modelSha256 }: Claims): Promise<Bytes> {
  const measured = canonical({ func_checksum: base64(funcChecksum), model_sha256: base64(modelSha256) });
  return await sha384(concat(new Uint8Array(PCR_BYTES), await sha384(measured)));
}

function jsonObject(userData: Bytes, step: number): JsonObject {
  const somebodyElses: JsonObject = {};
  const text = fromUtf8(userData);
  if (text === undefined) return somebodyElses;
  let value: Json;
  try {
    value = parseJson(text);
  } catch (error) {
    if (error instanceof DuplicateMemberError) {
      throw refusal("malformed_claims", "user_data has the same member twice.", step);
    }
    return somebodyElses; // Not JSON is another party's user data, not a fault.
  }
  return isObject(value) ? value : somebodyElses;
}

function claim(name: string, members: JsonObject, step: number): Bytes {
  const text = members[name];
  const value = typeof text === "string" ? fromBase64(text) : undefined;
  // All zeros is a value that was published before it was computed (nitriding-daemon, pull request 16).
  if (value?.length !== CLAIM_BYTES || allZero(value)) {
    const form = `the base64 of ${CLAIM_BYTES} bytes, or zero`;
    throw refusal("malformed_claims", `${name} in user_data is not ${form}.`, step);
  }
  return value;
}
