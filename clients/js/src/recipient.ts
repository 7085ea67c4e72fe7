/** Whom to seal to: a verified document together with the keys and the model manifest that came beside it. */

import { allZero, hex, type Bytes } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import type { Claims } from "./claims.ts";
import { refusal } from "./errors.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";
import { decodeList, preferred, type KeyConfig } from "./keyconfig.ts";
import type { Policy } from "./policy.ts";
import { VerificationReport, type Step } from "./report.ts";
import { CALLERS_STEP, checkKeyConfigs, checkManifest, claimsOf, verify, type Verified } from "./verify.ts";

/** What came as evidence, of which nothing is believed yet. */
export interface Evidence {
  readonly document: Bytes;
  /** The `application/ohttp-keys` list. */
  readonly keyConfigs: Bytes;
  /** The model manifest, as JSON that was parsed. */
  readonly model: Json;
}

type Accepted = Pick<Recipient, "config" | "verified" | "document" | "keyConfigs" | "manifest">;

/** An enclave whose evidence was accepted: whom to seal to, and what is known of it. */
export class Recipient {
  readonly config: KeyConfig;
  readonly verified: Verified;
  /** The attestation document. */
  readonly document: Bytes;
  /** The `application/ohttp-keys` list, as attested. */
  readonly keyConfigs: Bytes;
  /** The model manifest, as attested. */
  readonly manifest: JsonObject;

  constructor({ config, verified, document, keyConfigs, manifest }: Accepted) {
    this.config = config;
    this.verified = verified;
    this.document = document;
    this.keyConfigs = keyConfigs;
    this.manifest = manifest;
  }

  /** How many classes the model tells apart; undefined if its manifest does not say. */
  get classes(): number | undefined {
    const labels = this.manifest["labels"];
    const count = isObject(labels) ? labels["count"] : undefined;
    return typeof count === "number" ? count : undefined;
  }

  get report(): VerificationReport {
    return this.verified.report;
  }

  /** What the document claims. */
  get claims(): Claims {
    return claimsOf(this.verified);
  }

  /** SHA-256 of the bundle, hex, as attested. */
  get functionChecksum(): string {
    return hex(this.claims.funcChecksum);
  }

  /** SHA-256 of the canonical manifest, hex, as attested. */
  get modelDigest(): string {
    return hex(this.claims.modelSha256);
  }

  /** PCR index to hex, without the PCRs that nothing was measured into. */
  get measurements(): Readonly<Record<string, string>> {
    return measurements(this.verified);
  }

  /** What must be known before an answer is relied on. */
  get notices(): readonly string[] {
    const { notice, trained } = this.manifest;
    const { warnings, notice: nothing } = this.report;
    return [
      ...warnings,
      ...(typeof notice === "string" ? [notice] : []),
      ...(trained ? [] : ["UNTRAINED WEIGHTS: this model has learnt nothing and its answers are noise."]),
      ...(nothing === null ? [] : [nothing]),
    ];
  }

  /** The notices in one text; null if there are none. */
  get notice(): string | null {
    return this.notices.join(" ") || null;
  }
}

/**
 * Take the verifier's steps and the one that it leaves to its caller: keys and manifest are the attested ones.
 *
 * `nonce` is fresh and used for nothing else. Throws `EvidenceError`, `PolicyError` if the policy has expired, or
 * `SealingError` if the enclave offers no key configuration that is known here.
 */
export async function verifyRecipient(
  { document, keyConfigs, model }: Evidence,
  { policy, nonce, now }: { policy: Policy; nonce: Bytes; now: Date },
): Promise<Recipient> {
  const verified = await verify(document, { policy, nonce, now });
  await checkKeyConfigs(verified, keyConfigs);
  const manifest = await checkModel(verified, model);
  const config = preferred(decodeList(keyConfigs));
  if (!config) {
    throw refusal("unsupported_suite", "The enclave offers no key configuration that is known here.");
  }
  const binding: Step = {
    number: CALLERS_STEP,
    name: "Binding",
    checked: "key configurations and model manifest",
    against: "their attested digests",
    result: "passed",
  };
  const report = new VerificationReport({ ...verified.report, steps: [...verified.report.steps, binding] });
  return new Recipient({ config, verified: { ...verified, report }, document, keyConfigs, manifest });
}

/** The model manifest, once its canonical form is the attested one. Throws `EvidenceError` (`model_mismatch`). */
export async function checkModel(verified: Verified, model: Json): Promise<JsonObject> {
  let encoded: Bytes;
  try {
    encoded = canonical(model);
  } catch {
    // No canonical form, so no digest: it cannot be what an enclave attests.
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
  await checkManifest(verified, encoded);
  if (!isObject(model)) throw refusal("model_mismatch", "The model manifest is not an object.", CALLERS_STEP);
  return model;
}

/** PCR index to hex, without the PCRs that nothing was measured into. */
export function measurements({ document }: Verified): Record<string, string> {
  const measured = [...document.pcrs].filter(([, value]) => !allZero(value)).sort(([one], [other]) => one - other);
  return Object.fromEntries(measured.map(([index, value]) => [String(index), hex(value)]));
}
