/**
 * Receipts: the enclave's signature over digests of image, answer, model and function (docs/protocol.md, section 6).
 *
 * A receipt is a compact JWS (RFC 7515, ES256). Its header contains the key, whose thumbprint (RFC 7638) must be in the
 * evidence. A holder of receipt, answer and evidence can verify them offline.
 */

import { base64, concat, equal, fromBase64, fromBase64url, fromUtf8, hex, utf8, type Bytes } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import type { Claims } from "./claims.ts";
import { refusal, type BlindsightError } from "./errors.ts";
import { isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import type { Policy } from "./policy.ts";
import { checkModel } from "./recipient.ts";
import type { VerificationReport } from "./report.ts";
import { claimsOf, verifyArchived, type Verified } from "./verify.ts";
import { ecdsaKey, ecdsaVerify, P256, sha256 } from "./webcrypto.ts";

export const SCHEMA = "blindsight-receipt/1";

/** Header field of the inner request that asks for a receipt: SHA-256, in hex, of the document that is relied on. */
export const EVIDENCE_FIELD = "receipt-evidence";

/** The answer's members that `output_sha256` is of. */
const SIGNED_MEMBERS = ["image", "model", "predictions"] as const;

const TYPE = "blindsight-receipt+jws";
const DIGEST = /^[0-9a-f]{64}$/;
const DIGEST_MEMBERS = [
  "input_sha256",
  "output_sha256",
  "func_checksum",
  "model_sha256",
  "weights_sha256",
  "evidence_sha256",
] as const;

/** Seconds; the year 2242. */
const MAX_IAT = 2 ** 33;

/** Milliseconds between the document's time and the receipt's: the clock's slack, and the life of the signer. */
const BEFORE_EVIDENCE = 60 * 1000;
const AFTER_EVIDENCE = 24 * 3600 * 1000;

/** The contents of a receipt. Digests are SHA-256 in lower-case hexadecimal, `iat` is in whole seconds since 1970. */
export type Receipt = Readonly<Record<(typeof DIGEST_MEMBERS)[number], string>> & {
  readonly schema: typeof SCHEMA;
  readonly iat: number;
};

/** Evidence that the caller has verified: the document, what it claims and when it was made, the attested manifest. */
export interface Attested {
  readonly document: Bytes;
  readonly verified: Verified;
  readonly manifest: JsonObject;
}

/**
 * Check a receipt against its `answer`, the evidence that it is for, and the image if it is at hand.
 *
 * Throws `ReceiptError` (`malformed_receipt`, or one of the codes that begin with `receipt_`).
 */
export async function checkReceipt(
  answer: JsonObject,
  { document, verified, manifest }: Attested,
  image: Uint8Array | null,
): Promise<Receipt> {
  const claims = claimsOf(verified);
  const receipt = claimsIn(await checkedPayload(answer["receipt"], claims));
  if (receipt.evidence_sha256 !== hex(await sha256(document))) {
    throw refusal("receipt_evidence_mismatch", "The receipt was made for another attestation document.");
  }
  if (receipt.func_checksum !== hex(claims.funcChecksum)) {
    throw refusal("receipt_function_mismatch", "The receipt names another function than the evidence.");
  }
  const onnx = manifest["onnx"];
  const weights = isObject(onnx) ? onnx["sha256"] : undefined;
  if (receipt.model_sha256 !== hex(claims.modelSha256) || receipt.weights_sha256 !== weights) {
    throw refusal("receipt_model_mismatch", "The receipt names another model than the evidence.");
  }
  if (receipt.output_sha256 !== (await outputDigest(answer))) {
    throw refusal("receipt_output_mismatch", "The answer is not the one that was signed.");
  }
  if (image && receipt.input_sha256 !== hex(await sha256(image))) {
    throw refusal("receipt_input_mismatch", "The receipt is for another image.");
  }
  const after = 1000 * receipt.iat - verified.document.timestamp.getTime();
  if (after < -BEFORE_EVIDENCE || after > AFTER_EVIDENCE) {
    throw refusal("receipt_time_implausible", "The receipt's time does not fit its evidence.");
  }
  return receipt;
}

/** The answer with the evidence of its receipt, as JSON text to store. */
export function archive(answer: JsonObject, { document, manifest }: Pick<Attested, "document" | "manifest">): string {
  return `${JSON.stringify({ ...answer, evidence: { document: base64(document), model: manifest } }, null, 2)}\n`;
}

/** A valid receipt with the report of its evidence. `imageChecked`: the image was available and compared. */
export interface VerifiedReceipt {
  readonly receipt: Receipt;
  readonly report: VerificationReport;
  readonly imageChecked: boolean;
}

/**
 * Verify the text of an answer's `archive` with its receipt and its evidence, offline. Without `image`, the image is not
 * compared.
 *
 * The evidence is judged at its own time, under `policy`. Throws `ReceiptError`, `EvidenceError` or `PolicyError`.
 */
export async function verify(
  kept: string,
  { policy, image = null }: { policy: Policy; image?: Uint8Array | null },
): Promise<VerifiedReceipt> {
  const answer = answerIn(kept);
  const evidence = answer["evidence"];
  const text = isObject(evidence) ? evidence["document"] : undefined;
  const document = typeof text === "string" ? fromBase64(text) : undefined;
  if (!isObject(evidence) || !document || !isObject(evidence["model"])) {
    throw malformed("The answer was saved without evidence, or with one that cannot be read.");
  }
  digestible(evidence["model"], "The answer's evidence cannot be read.");
  const verified = await verifyArchived(document, policy);
  const manifest = await checkModel(verified, evidence["model"]);
  const receipt = await checkReceipt(answer, { document, verified, manifest }, image);
  return { receipt, report: verified.report, imageChecked: image !== null };
}

function answerIn(text: string): JsonObject {
  let value: Json = null;
  try {
    value = parseJson(text);
  } catch {
    throw malformed("What was kept is not JSON.");
  }
  if (!isObject(value)) throw malformed("What was kept is not a JSON object.");
  return value;
}

/** The payload of a receipt that the attested key has signed. */
async function checkedPayload(text: Json | undefined, claims: Claims): Promise<JsonObject> {
  const parts = typeof text === "string" ? text.split(".") : [];
  const [header, payload, encodedSignature] = parts;
  if (parts.length !== 3 || header === undefined || payload === undefined) {
    throw malformed("The answer has no receipt in compact JWS form.");
  }
  const { alg, typ, jwk, ...others } = object(header);
  const members = object(payload);
  const signature = decoded(encodedSignature);
  // The algorithm is ours to state, not the header's to choose.
  if (alg !== "ES256" || typ !== TYPE || jwk === undefined || Object.keys(others).length) {
    throw malformed("The receipt's header is not that of a receipt.");
  }
  if (signature.length !== 2 * P256.bytes) throw malformed("The receipt's signature has the wrong length.");
  const key = await publicKey(jwk);
  if (!equal(await sha256(digestible(jwk, "The receipt's key is not on P-256.")), claims.receiptKeySha256)) {
    throw refusal("receipt_key_mismatch", "The receipt is signed with another key than the attested one.");
  }
  if (!(await ecdsaVerify(key, P256, signature, utf8(`${header}.${payload}`)))) {
    throw refusal("receipt_signature_invalid", "The receipt's signature does not hold.");
  }
  return members;
}

async function publicKey(jwk: Json): Promise<CryptoKey> {
  const { crv, kty, x, y, ...others } = isObject(jwk) ? jwk : {};
  if (crv === "P-256" && kty === "EC" && !Object.keys(others).length) {
    const coordinates = [decoded(x), decoded(y)];
    if (coordinates.every(({ length }) => length === P256.bytes)) {
      const key = await ecdsaKey(concat(Uint8Array.of(0x04), ...coordinates), P256);
      if (key) return key;
    }
  }
  throw malformed("The receipt's key is not on P-256.");
}

function claimsIn(payload: JsonObject): Receipt {
  const { schema, iat, ...digests } = payload;
  const wellFormed =
    schema === SCHEMA &&
    typeof iat === "number" &&
    iat > 0 &&
    iat < MAX_IAT &&
    Object.keys(digests).length === DIGEST_MEMBERS.length &&
    DIGEST_MEMBERS.every((name) => typeof digests[name] === "string" && DIGEST.test(digests[name]));
  if (!wellFormed) throw malformed("A member of the receipt is missing, unknown or not of its form.");
  return { ...(digests as Record<(typeof DIGEST_MEMBERS)[number], string>), schema, iat };
}

async function outputDigest(answer: JsonObject): Promise<string> {
  const missing = "The answer lacks what a receipt is about.";
  const signed: JsonObject = {};
  for (const name of SIGNED_MEMBERS) {
    const value = answer[name];
    if (value === undefined) throw malformed(missing);
    signed[name] = value;
  }
  return hex(await sha256(digestible(signed, missing)));
}

function object(part: string): JsonObject {
  const bytes = decoded(part);
  const text = fromUtf8(bytes);
  let value: Json = null;
  try {
    value = parseJson(text ?? "", { integersOnly: true });
  } catch {
    throw malformed("A part of the receipt is not JSON.");
  }
  // One spelling only, so that no two readers can read it differently.
  const canonicalObject = isObject(value) && equal(digestible(value, "A part of the receipt has no canonical form."), bytes);
  if (!isObject(value) || !canonicalObject) {
    throw malformed("A part of the receipt is not a canonical JSON object.");
  }
  return value;
}

function decoded(part: Json | undefined): Bytes {
  const bytes = typeof part === "string" ? fromBase64url(part) : undefined;
  if (!bytes) throw malformed("A part of the receipt is not base64url.");
  return bytes;
}

/** The canonical form of `value`, which may have none. */
function digestible(value: Json, message: string): Bytes {
  try {
    return canonical(value);
  } catch {
    throw malformed(message);
  }
}

function malformed(message: string): BlindsightError {
  return refusal("malformed_receipt", message);
}
