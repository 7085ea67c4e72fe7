/**
 * Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).
 *
 *     1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
 *     2. Fields        every field present and in its range
 *     3. Root          the first certificate of the bundle is a pinned root
 *     4. Chain         root to signer, valid at the time of verification
 *     5. Signature     by the signer's P-384 key
 *     6. Debug mode    PCR 0, 1 and 2 are not all zero
 *     7. Measurements  no value is recalled, and an accepted, unexpired release of the policy lists the PCRs
 *     8. Claims        function and model in user_data match PCR 16
 *     9. Identity      neither is recalled, and that release accepts function and model
 *    10. Freshness     the caller's nonce, and an age within limits
 *
 * The first failure ends the verification. No PCR, claim or nonce is compared before the signature is valid. No I/O, no
 * state, no clock. Under a policy that lists QEMU's machine, steps 3 to 5 accept its unsigned documents (emulated.ts).
 * A port of blindsight/attestation/verifier.py: the same checks in the same order with the same codes.
 */

import { allZero, equal, hex, type Bytes } from "./bytes.ts";
import * as chains from "./chain.ts";
import { CLAIMS_PCR, expectedPcr16, parseClaims, type Claims } from "./claims.ts";
import * as cose from "./cose.ts";
import { MAX_DOCUMENT_BYTES, parseDocument, type AttestationDocument } from "./document.ts";
import * as emulated from "./emulated.ts";
import { refusal } from "./errors.ts";
import * as matching from "./matching.ts";
import type { Policy } from "./policy.ts";
import { VerificationReport, type Step } from "./report.ts";
import { EMULATED, type EvidenceKind } from "./roots.ts";
import { sha256 } from "./webcrypto.ts";

/** A caller's nonce must be too long to be guessed or to repeat by chance. */
export const MIN_NONCE_BYTES = 16;

/** The comparison of keys and manifest with their attested digests, which the caller has to make. */
export const CALLERS_STEP = 11;

/** Zero in a debug enclave, whose signature and chain are genuine. PCR 3 and 4 are not zero there. */
const DEBUG_PCRS = [0, 1, 2];

/** Number of unknown fields that a report names, and of letters of each name. */
const SHOWN_FIELDS = 8;
const SHOWN_LETTERS = 40;

/** A verified document. */
export interface Verified {
  readonly kind: EvidenceKind;
  readonly document: AttestationDocument;
  readonly claims: Claims | null;
  /** Null for unsigned evidence, which only a release of kind `qemu-nitro-enclave` accepts. */
  readonly rootSha256: string | null;
  readonly report: VerificationReport;
  /** The earlier expiry of policy and release. DO NOT RELY ON THE RESULT AFTERWARDS. */
  readonly until: Date | null;
}

/**
 * Verify live `evidence` at the time `now`. If it returns, every step passed. Throws `EvidenceError`, or `PolicyError`
 * for an expired policy, before it parses the evidence.
 *
 * THE CALLER MUST, for the result to mean anything:
 * - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE.
 * - CALL `checkKeyConfigs` WITH THE KEYS IT IS GOING TO ENCRYPT TO, and use only those.
 * - CALL `checkModel` BEFORE IT USES A MANIFEST that came beside the document.
 * - TREAT EVERY `kind` BUT `"nitro"` AS UNTRUSTED: such evidence proves nothing about hardware, and that of kind
 *   `"qemu-nitro-enclave"`, which only a policy that lists this kind accepts, is not even signed.
 * - SHOW THE REPORT'S `leftOpen`: the policy did not restrict these parts.
 * - VERIFY AGAIN BEFORE RELYING ON IT LATER: results do not expire by themselves.
 */
export async function verify(
  evidence: Bytes,
  { policy, nonce, now }: { policy: Policy; nonce: Bytes | null; now: Date },
): Promise<Verified> {
  if (nonce && nonce.length < MIN_NONCE_BYTES) {
    throw new RangeError(`a nonce has at least ${MIN_NONCE_BYTES} bytes`);
  }
  matching.checkPolicy(policy, now);
  return await verifySteps(evidence, policy, nonce, now);
}

/**
 * Verify a stored document at its own timestamp, which only the signer vouches for. Throws `EvidenceError`.
 *
 * Expiry of policy and releases is judged by that time, too; a release recalled since is refused. THE CALLER MUST NOT
 * SEND ANYTHING TO THE ENCLAVE on the strength of this: a party that stole the expired signing key can make such a
 * document today. `nonce`, of any length, is compared if given.
 */
export async function verifyArchived(
  evidence: Bytes,
  policy: Policy,
  nonce: Bytes | null = null,
): Promise<Verified> {
  return await verifySteps(evidence, policy, nonce, null);
}

/**
 * Compare the key configurations with their attested digest: the step that prevents a relay attack.
 *
 * Throws `EvidenceError` (`key_configs_mismatch`, or `claims_missing`).
 */
export async function checkKeyConfigs(verified: Verified, keyConfigs: Bytes): Promise<void> {
  if (!equal(claimsOf(verified).keyConfigsSha256, await sha256(keyConfigs))) {
    throw refusal("key_configs_mismatch", "The key configurations are not the attested ones.", CALLERS_STEP);
  }
}

/** Check the canonical model `manifest`. Throws `EvidenceError` (`model_mismatch`, or `claims_missing`). */
export async function checkManifest(verified: Verified, manifest: Bytes): Promise<void> {
  if (!equal(claimsOf(verified).modelSha256, await sha256(manifest))) {
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
}

/** Throws `EvidenceError` (`claims_missing`). */
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
  const ofQemu = emulated.releasesOf(policy);
  const message = cose.parse(evidence, number, { unsigned: ofQemu !== undefined });
  steps.passed(`${evidence.length} bytes`, `COSE_Sign1 ${message.unsigned ? "as QEMU writes it" : "with ES384"}`);

  // 2. Fields.
  number = steps.begin("Fields");
  const document = parseDocument(message.payload, number);
  steps.passed(`document of ${printable(document.moduleId)}${unknown(document.unknownFields)}`, "AWS's field table");

  // 3 to 5. Root, chain, signature.
  const signer =
    ofQemu && message.unsigned
      ? unsigned(message, document, ofQemu, steps)
      : await signed({ message, document, policy, now, steps });
  const { kind, rootSha256, releases: ofRoot } = signer;

  // 6. Debug mode, whatever the policy lists.
  number = steps.begin("Debug mode");
  if (DEBUG_PCRS.every((index) => allZero(document.pcrs.get(index) ?? new Uint8Array()))) {
    throw refusal("debug_document", "PCR 0, 1 and 2 are zero or missing: debug mode.", number);
  }
  steps.passed("PCR 0, 1, 2", "not all zero");

  // 7. Measurements. An archived document is judged by what was in force when it was made; its time is signed by now.
  const measurements = steps.begin("Measurements");
  if (!now) matching.checkPolicy(policy, document.timestamp);
  const judging = { policy, at: now ?? document.timestamp, step: measurements };
  const measured = matching.byMeasurements(ofRoot, document.pcrs, judging);

  // 8. Claims: user_data is only as good as the PCR that measures it.
  number = steps.begin("Claims");
  const claims = parseClaims(document.userData, number);
  if (claims) await checkClaimsPcr(claims, document.pcrs.get(CLAIMS_PCR), number);
  steps.asked(claims !== null, "function and model in user_data", `PCR ${CLAIMS_PCR}`);

  // 9. Identity. Of the releases with these measurements, the first that accepts function and model is the one.
  number = steps.begin("Identity");
  const release = matching.byIdentity(measured, claims, { policy, step: number });
  const asked = [...(release.functionChecksums ? ["function"] : []), ...(release.modelDigests ? ["model"] : [])];
  const listed = [...release.pcrs.keys()].sort((one, other) => one - other);
  steps.asked(listed.length > 0, `PCR ${listed.join(", ")}`, "the policy's accepted values", measurements);
  steps.asked(asked.length > 0, asked.join(" and "), "the policy's accepted values");

  // 10. Freshness.
  number = steps.begin("Freshness");
  if (nonce) checkNonce(nonce, document.nonce, number);
  if (now) checkAge(document.timestamp, now, policy, number);
  const fresh = [...(nonce ? ["nonce"] : []), ...(now ? ["age"] : [])];
  const limits = [...(nonce ? ["the caller's nonce"] : []), ...(now ? [`${policy.maxAge} s at most`] : [])];
  steps.asked(fresh.length > 0, fresh.join(" and "), limits.join(", "));

  const { name, leftOpen } = release;
  const until = earlier(policy.expires, release.expires);
  const archived = now === null;
  const report = new VerificationReport({ kind, at: judging.at, archived, steps: steps.done(), release: name, leftOpen });
  return { kind, document, claims, rootSha256, report, until };
}

/** Who made the document, as far as steps 3 to 5 find it. */
type Signer = Pick<Verified, "kind" | "rootSha256"> & { readonly releases: matching.Releases };

/** Steps 3 to 5 of a document of QEMU's, which prove nothing. */
function unsigned(
  message: cose.Sign1,
  document: AttestationDocument,
  releases: matching.Releases,
  steps: Steps,
): Signer {
  emulated.checkBundle(document, steps.begin("Root"));
  steps.unsigned();
  emulated.checkCertificate(document, steps.begin("Chain"));
  steps.unsigned();
  emulated.checkSignature(message, steps.begin("Signature"));
  steps.unsigned();
  return { kind: EMULATED, rootSha256: null, releases };
}

interface Signed {
  readonly message: cose.Sign1;
  readonly document: AttestationDocument;
  readonly policy: Policy;
  readonly now: Date | null;
  readonly steps: Steps;
}

/** Steps 3 to 5 of a signed document. */
async function signed({ message, document, policy, now, steps }: Signed): Promise<Signer> {
  // 3. Root: the bundle's own first certificate, which counts only if its fingerprint is pinned.
  let number = steps.begin("Root");
  const rootSha256 = hex(await sha256(document.cabundle[0]));
  const ofRoot = matching.byRoot(policy, rootSha256, number);
  const { kind } = ofRoot[0];
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
  return { kind, rootSha256, releases: ofRoot };
}

function earlier(one: Date | null, other: Date | null): Date | null {
  if (!one || !other) return one ?? other;
  return one < other ? one : other;
}

/** What the report says of fields that no check looks at: AWS may add some at any time. */
function unknown(fields: AttestationDocument["unknownFields"]): string {
  if (!fields.length) return "";
  const shown = fields.slice(0, SHOWN_FIELDS);
  const names = shown.map((name) => (typeof name === "string" ? printable(firstLetters(name)) : String(name)));
  const more = fields.length > shown.length ? ` and ${fields.length - shown.length} more` : "";
  return `, and fields that are not known here: ${names.join(", ")}${more}`;
}

/** By code points: half a surrogate pair is not a letter. */
function firstLetters(text: string): string {
  return [...text].slice(0, SHOWN_LETTERS).join("");
}

async function checkClaimsPcr(claims: Claims, measured: Bytes | undefined, step: number): Promise<void> {
  if (!measured) throw refusal("claims_pcr_missing", `PCR ${CLAIMS_PCR} is not in the document.`, step);
  if (!equal(measured, await expectedPcr16(claims))) {
    throw refusal("claims_pcr_mismatch", `PCR ${CLAIMS_PCR} measures other claims.`, step);
  }
}

function checkNonce(sent: Bytes, received: Bytes | null, step: number): void {
  if (!received?.length) throw refusal("nonce_missing", "The document carries no nonce.", step);
  if (!equal(sent, received)) throw refusal("nonce_mismatch", "The document carries another nonce.", step);
}

function checkAge(made: Date, now: Date, { maxAge, maxFutureSkew }: Policy, step: number): void {
  const age = (now.getTime() - made.getTime()) / 1000;
  if (age > maxAge) {
    throw refusal("evidence_too_old", `The document is ${Math.ceil(age)} s old; ${maxAge} s are accepted.`, step);
  }
  if (-age > maxFutureSkew) {
    throw refusal("evidence_from_future", `The document was made ${Math.ceil(-age)} s in the future.`, step);
  }
}

/** In quotes, with everything escaped that is not printable ASCII. */
function printable(text: string): string {
  const escaped = text.replace(/[^ -~]|['\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return `'${escaped}'`;
}

/** Records what each numbered step did. */
class Steps {
  readonly #names: string[] = [];
  readonly #done = new Map<number, Step>();

  begin(name: string): number {
    return this.#names.push(name);
  }

  /** Record the step begun last, or an earlier one of which more is known by now. */
  passed(checked: string, against: string, number = this.#names.length): void {
    this.#record(number, { checked, against, result: "passed" });
  }

  /** There is nothing to look at: the evidence is unsigned. */
  unsigned(): void {
    const checked = "nothing: the evidence is unsigned";
    this.#record(this.#names.length, { checked, against: "nothing", result: "not asked" });
  }

  asked(was: boolean, checked: string, against: string, number = this.#names.length): void {
    if (was) this.passed(checked, against, number);
    else this.#record(number, { checked: "nothing", against: "nothing", result: "not asked" });
  }

  /** All steps in order; one that was begun and not recorded is a mistake. */
  done(): readonly Step[] {
    return this.#names.map((name, index) => {
      const step = this.#done.get(index + 1);
      if (!step) throw new RangeError(`step ${name} was not recorded`);
      return step;
    });
  }

  #record(number: number, what: Pick<Step, "checked" | "against" | "result">): void {
    this.#done.set(number, { number, name: this.#names[number - 1] ?? "", ...what });
  }
}
