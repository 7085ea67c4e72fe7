/** A verified enclave with its keys and model manifest, to which clients encrypt requests. */

import { allZero, hex, type Bytes } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import type { Claims } from "./claims.ts";
import { refusal } from "./errors.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";
import { decodeList, preferred, type KeyConfig } from "./keyconfig.ts";
import type { Policy } from "./policy.ts";
import { VerificationReport, type Step } from "./report.ts";
import { CALLERS_STEP, checkKeyConfigs, checkManifest, claimsOf, verify, type Verified } from "./verify.ts";

/** Evidence that is not verified yet. */
export interface Evidence {
  readonly document: Bytes;
  /** The `application/ohttp-keys` list. */
  readonly keyConfigs: Bytes;
  /** The model manifest, as JSON that was parsed. */
  readonly model: Json;
}

type Accepted = Pick<Recipient, "config" | "verified" | "document" | "keyConfigs" | "manifest">;

/** An enclave whose evidence was accepted. */
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

  /** Number of classes of the model; undefined if its manifest does not state it. */
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

  /** Statements that every caller has to see, such as that the evidence is simulated. */
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
 * Verify evidence and compare keys and manifest with their attested digests: steps 1 to 11.
 *
 * `nonce` is fresh and used only once. Throws `EvidenceError`, `PolicyError` if the policy has expired, or
 * `SealingError` if this client supports none of the enclave's key configurations.
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
