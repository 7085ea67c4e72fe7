/**
 * The envelope that evidence travels in to callers: the JSON of `GET /attestation` (docs/protocol.md, section 1).
 *
 * Nothing in it is authenticated but what the document in it vouches for.
 */

import { fromBase64, fromUtf8, owned, type Bytes } from "./bytes.ts";
import { refusal } from "./errors.ts";
import { isObject, parseJson, type JsonObject } from "./json.ts";

/** The version of the envelope; members may be added within it. */
export const FORMAT = "blindsight-attestation/1";

/** Refuse another version. Releases before 0.2.0 stated none. Throws `EvidenceError` (`unsupported_envelope`). */
export function checkFormat({ format = FORMAT }: JsonObject): void {
  if (format !== FORMAT) {
    throw refusal("unsupported_envelope", "The evidence came in an envelope of another version.", 1);
  }
}

/** The attestation document in a kept file: its bytes, or an envelope's member. Throws `EvidenceError`. */
export function documentIn(kept: Uint8Array): Bytes {
  const text = fromUtf8(kept)?.trimStart();
  if (!text?.startsWith("{")) return owned(kept);
  const members = objectIn(text);
  checkFormat(members);
  const encoded = members["document"];
  const document = typeof encoded === "string" ? fromBase64(encoded) : undefined;
  if (!document) throw refusal("not_cose_sign1", "The JSON has no attestation document in it.", 1);
  return document;
}

/** Empty for what is not an object. */
function objectIn(text: string): JsonObject {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
