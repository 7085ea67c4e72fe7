/**
 * Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).
 *
 *     1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
 *     2. Fields        every field present and in its range
 *     3. Root          the first certificate of the bundle is a pinned root
 *     4. Chain         root to signer, valid at the time of verification
 *     5. Signature     by the signer's P-384 key
 *     6. Debug mode    PCR 0, 1 and 2 are not all zero
 *     7. Measurements  every PCR that the policy lists has an accepted value
 *     8. Claims        function and model in user_data are what PCR 16 measures
 *     9. Identity      function and model are accepted by the policy
 *    10. Freshness     the caller's nonce, and an age within limits
 *
 * Nothing is compared before the signature holds, and the first failure ends the verification. No I/O, no state, no
 * clock. A port of blindsight/attestation/verifier.py: the same checks in the same order with the same codes.
 */

import { allZero, equal, hex, type Bytes } from "./bytes.ts";
import * as chains from "./chain.ts";
import { CLAIMS_PCR, expectedPcr16, parseClaims, type Claims } from "./claims.ts";
import * as cose from "./cose.ts";
import { MAX_DOCUMENT_BYTES, parseDocument, type AttestationDocument } from "./document.ts";
import { refusal, type Code } from "./errors.ts";
import type { Kind, Policy } from "./policy.ts";
import { sha256 } from "./webcrypto.ts";

/** A nonce that a caller sends must be too long to guess or to meet twice. */
export const MIN_NONCE_BYTES = 16;

/** The comparisons with what came beside the document, which are the caller's to make. */
export const CALLERS_STEP = 11;

/** Zero in a debug enclave, whose signature and chain are as genuine as any. PCR 3 and 4 are not. */
const DEBUG_PCRS = [0, 1, 2];

/** How many unknown fields a report names, and how much of a name. */
const SHOWN_FIELDS = 8;
const SHOWN_LETTERS = 40;

/** One step: what was `checked`, `against` what, and whether it passed or the policy did not ask for it. */
export interface Step {
  readonly number: number;
  readonly name: string;
  readonly checked: string;
  readonly against: string;
  readonly result: "passed" | "not asked";
}

/** A document that was verified. `at` is the time judged by. */
export interface Verified {
  readonly kind: Kind;
  readonly document: AttestationDocument;
  readonly claims: Claims | null;
  readonly rootSha256: string;
  readonly steps: readonly Step[];
  readonly at: Date;
}

/**
 * Verify live `evidence` at the time `now`. Throws `Refusal`; a return means that every step passed.
 *
 * THE CALLER MUST, for the result to mean anything:
 * - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE.
 * - CALL `checkKeyConfigs` WITH THE KEYS IT IS GOING TO SEAL TO, and seal to those only.
 * - CALL `checkModel` BEFORE IT BELIEVES A MANIFEST that came beside the document.
 * - TREAT `kind === "simulated"` AS UNTRUSTED: such evidence proves nothing about hardware.
 * - VERIFY AGAIN BEFORE RELYING ON IT LATER; nothing here expires by itself.
 */
export async function verify(
  evidence: Bytes,
  { policy, nonce, now }: { policy: Policy; nonce: Bytes | null; now: Date },
): Promise<Verified> {
  if (nonce && nonce.length < MIN_NONCE_BYTES) {
    throw new RangeError(`a nonce has at least ${MIN_NONCE_BYTES} bytes`);
  }
  return await verifySteps(evidence, policy, nonce, now);
}

/**
 * Verify a kept document at its own timestamp, which is only the signer's word for when it was made. Throws `Refusal`.
 *
 * THE CALLER MUST NOT SEND ANYTHING TO THE ENCLAVE on the strength of this: whoever obtained the long expired signing
 * key can make such a document today.
 */
export async function verifyArchived(evidence: Bytes, policy: Policy): Promise<Verified> {
  return await verifySteps(evidence, policy, null, null);
}

/** The step that defeats a relay. Throws `Refusal` (`key_configs_mismatch`, or `claims_missing`). */
export async function checkKeyConfigs(verified: Verified, keyConfigs: Bytes): Promise<void> {
  if (!equal(claimsOf(verified).keyConfigsSha256, await sha256(keyConfigs))) {
    throw refusal("key_configs_mismatch", "The key configurations are not the attested ones.", CALLERS_STEP);
  }
}

/** Check the canonical model `manifest`. Throws `Refusal` (`model_mismatch`, or `claims_missing`). */
export async function checkModel(verified: Verified, manifest: Bytes): Promise<void> {
  if (!equal(claimsOf(verified).modelSha256, await sha256(manifest))) {
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
}

/** Throws `Refusal` (`claims_missing`). */
export function claimsOf({ claims }: Verified): Claims {
  if (!claims) throw refusal("claims_missing", "The document makes no claims.", CALLERS_STEP);
  return claims;
}

async function verifySteps(evidence: Bytes, policy: Policy, nonce: Bytes | null, now: Date | null): Promise<Verified> {
  const steps = new Steps();

  // 1. Envelope.
  let number = steps.begin("Envelope");
  if (evidence.length > MAX_DOCUMENT_BYTES) {
    throw refusal("document_too_large", `More than ${MAX_DOCUMENT_BYTES} bytes.`, number);
  }
  const message = cose.parse(evidence, number);
  steps.passed(`${evidence.length} bytes`, "COSE_Sign1 with ES384");

  // 2. Fields.
  number = steps.begin("Fields");
  const document = parseDocument(message.payload, number);
  steps.passed(`document of ${printable(document.moduleId)}${unknown(document.unknownFields)}`, "AWS's field table");

  // 3. Root: the bundle's own first certificate, which counts only if its fingerprint is pinned.
  number = steps.begin("Root");
  const rootSha256 = hex(await sha256(document.cabundle[0]));
  const kind = policy.roots.get(rootSha256);
  if (!kind) throw refusal("root_not_pinned", `The root ${rootSha256} is not in the policy.`, number);
  const chain = chains.parse(document.cabundle, document.certificate, number);
  if (kind === "nitro" && chain.callsItselfSimulated) {
    throw refusal("simulated_root", "A simulated root is listed as a genuine one.", number);
  }
  steps.passed(`root ${rootSha256}`, `the policy's roots, as ${kind}`);

  // 4. Chain, at the verifier's time. An enclave's clock may be ahead of ours by the permitted skew, and its newest
  //    certificate with it; expiry is never judged by an earlier time than ours.
  number = steps.begin("Chain");
  const made = document.timestamp.getTime();
  const latest = now && now.getTime() + 1000 * policy.maxFutureSkew;
  const at = new Date(now && latest !== null ? Math.max(now.getTime(), Math.min(made, latest)) : made);
  const key = await chains.verify(chain, at, number);
  steps.passed(`${chain.certificates.length} certificates`, `the root's key, at ${chains.formatted(at)}`);

  // 5. Signature.
  number = steps.begin("Signature");
  await cose.verify(message, key, number);
  steps.passed("signature over the payload", "the key of the leaf certificate");

  // 6. Debug mode, whatever the policy lists.
  number = steps.begin("Debug mode");
  if (DEBUG_PCRS.every((index) => allZero(document.pcrs.get(index) ?? new Uint8Array()))) {
    throw refusal("debug_document", "PCR 0, 1 and 2 are zero or missing: debug mode.", number);
  }
  steps.passed("PCR 0, 1, 2", "not all zero");

  // 7. Measurements.
  number = steps.begin("Measurements");
  const listed = [...policy.pcrs.keys()].sort((one, other) => one - other);
  checkMeasurements(document.pcrs, policy.pcrs, listed, number);
  steps.passed(`PCR ${listed.join(", ")}`, "the policy's accepted values");

  // 8. Claims: user_data is only as good as the PCR that measures it.
  number = steps.begin("Claims");
  const claims = parseClaims(document.userData, number);
  if (claims) await checkClaimsPcr(claims, document.pcrs.get(CLAIMS_PCR), number);
  steps.asked(claims !== null, "function and model in user_data", `PCR ${CLAIMS_PCR}`);

  // 9. Identity.
  number = steps.begin("Identity");
  const asked = [...(policy.functionChecksums ? ["function"] : []), ...(policy.modelDigests ? ["model"] : [])];
  if (claims) {
    checkIdentity(claims.funcChecksum, policy.functionChecksums, "function", number);
    checkIdentity(claims.modelSha256, policy.modelDigests, "model", number);
  } else if (asked.length) {
    throw refusal("claims_missing", "The document names no function and no model.", number);
  }
  steps.asked(asked.length > 0, asked.join(" and "), "the policy's accepted values");

  // 10. Freshness.
  number = steps.begin("Freshness");
  if (nonce) checkNonce(nonce, document.nonce, number);
  if (now) checkAge(document.timestamp, now, policy, number);
  const fresh = [...(nonce ? ["nonce"] : []), ...(now ? ["age"] : [])];
  steps.asked(fresh.length > 0, fresh.join(" and "), `the caller's, ${policy.maxAge} s at most`);

  return { kind, document, claims, rootSha256, steps: steps.done, at: now ?? at };
}

/** What the report says of fields that no check looks at: AWS may add some at any time. */
function unknown(fields: AttestationDocument["unknownFields"]): string {
  if (!fields.length) return "";
  const shown = fields.slice(0, SHOWN_FIELDS);
  const names = shown.map((name) => (typeof name === "string" ? printable(firstLetters(name)) : String(name)));
  const more = fields.length > shown.length ? ` and ${fields.length - shown.length} more` : "";
  return `, and fields that are not known here: ${names.join(", ")}${more}`;
}

/** By code points: half a surrogate pair is no letter. */
function firstLetters(text: string): string {
  return [...text].slice(0, SHOWN_LETTERS).join("");
}

function checkMeasurements(
  measured: ReadonlyMap<number, Bytes>,
  accepted: Policy["pcrs"],
  listed: readonly number[],
  step: number,
): void {
  for (const index of listed) {
    const value = measured.get(index);
    if (!value) throw refusal("pcr_missing", `The document has no PCR ${index}.`, step);
    if (!accepted.get(index)?.has(hex(value))) {
      throw refusal("pcr_mismatch", `PCR ${index} is ${hex(value)}, which the policy does not accept.`, step);
    }
  }
}

async function checkClaimsPcr(claims: Claims, measured: Bytes | undefined, step: number): Promise<void> {
  if (!measured) throw refusal("claims_pcr_missing", `PCR ${CLAIMS_PCR} is not in the document.`, step);
  if (!equal(measured, await expectedPcr16(claims))) {
    throw refusal("claims_pcr_mismatch", `PCR ${CLAIMS_PCR} measures other claims.`, step);
  }
}

function checkIdentity(
  digest: Bytes,
  accepted: ReadonlySet<string> | null,
  name: "function" | "model",
  step: number,
): void {
  const code: Code = `${name}_not_accepted`;
  if (accepted && !accepted.has(hex(digest))) throw refusal(code, `The ${name} is ${hex(digest)}.`, step);
}

function checkNonce(sent: Bytes, received: Bytes | null, step: number): void {
  if (!received?.length) throw refusal("nonce_missing", "The document carries no nonce.", step);
  if (!equal(sent, received)) throw refusal("nonce_mismatch", "The document carries another nonce.", step);
}

function checkAge(made: Date, now: Date, { maxAge, maxFutureSkew }: Policy, step: number): void {
  const age = (now.getTime() - made.getTime()) / 1000;
  if (age > maxAge) {
    throw refusal("evidence_too_old", `The document is ${age.toFixed()} s old; ${maxAge} s are accepted.`, step);
  }
  if (-age > maxFutureSkew) {
    throw refusal("evidence_from_future", `The document was made ${(-age).toFixed()} s in the future.`, step);
  }
}

/** In quotes, with everything escaped that is not printable ASCII. */
function printable(text: string): string {
  const escaped = text.replace(/[^ -~]|['\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return `'${escaped}'`;
}

/** Records what each numbered step did. */
class Steps {
  readonly done: Step[] = [];
  #name = "";

  begin(name: string): number {
    this.#name = name;
    return this.done.length + 1;
  }

  passed(checked: string, against: string): void {
    this.done.push({ number: this.done.length + 1, name: this.#name, checked, against, result: "passed" });
  }

  asked(was: boolean, checked: string, against: string): void {
    if (was) return this.passed(checked, against);
    const nothing = { checked: "nothing", against: "nothing", result: "not asked" } as const;
    this.done.push({ number: this.done.length + 1, name: this.#name, ...nothing });
  }
}
