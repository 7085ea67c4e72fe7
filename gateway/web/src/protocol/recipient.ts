/** Whom to seal to: a verified document together with the keys and the model manifest that came beside it. */

import { allZero, hex, type Bytes } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import type { Claims } from "./claims.ts";
import { refusal } from "./errors.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";
import { decodeList, preferred, type KeyConfig } from "./keyconfig.ts";
import type { Policy } from "./policy.ts";
import type { Part } from "./release.ts";
import type { EvidenceKind } from "./roots.ts";
import { CALLERS_STEP, checkKeyConfigs, checkModel, claimsOf, verify, type Step, type Verified } from "./verify.ts";

/** What came as evidence, of which nothing is believed yet. */
export interface Evidence {
  readonly document: Bytes;
  /** The `application/ohttp-keys` list. */
  readonly keyConfigs: Bytes;
  readonly model: Json;
}

/** An enclave whose evidence was accepted: whom to seal to, and what is known of it. */
export interface Recipient {
  readonly config: KeyConfig;
  readonly verified: Verified;
  readonly claims: Claims;
  readonly steps: readonly Step[];
  readonly document: Bytes;
  readonly manifest: JsonObject;
}

/**
 * Take the verifier's steps and the one that it leaves to its caller: keys and manifest are the attested ones.
 *
 * `nonce` is fresh and used for nothing else. Throws `Refusal`.
 */
export async function verifyRecipient(
  { document, keyConfigs, model }: Evidence,
  { policy, nonce, now }: { policy: Policy; nonce: Bytes; now: Date },
): Promise<Recipient> {
  const verified = await verify(document, { policy, nonce, now });
  await checkKeyConfigs(verified, keyConfigs);
  const manifest = await checkedManifest(verified, model);
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
  return { config, verified, claims: claimsOf(verified), steps: [...verified.steps, binding], document, manifest };
}

/** The manifest, once its canonical form is the attested one. Throws `Refusal` (`model_mismatch`). */
export async function checkedManifest(verified: Verified, model: Json): Promise<JsonObject> {
  let encoded: Bytes;
  try {
    encoded = canonical(model);
  } catch {
    // No canonical form, so no digest: it cannot be what an enclave attests.
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
  await checkModel(verified, encoded);
  if (!isObject(model)) throw refusal("model_mismatch", "The model manifest is not an object.", CALLERS_STEP);
  return model;
}

/** PCR index to hex, without the PCRs that nothing was measured into. */
export function measurements({ document }: Verified): Record<string, string> {
  const measured = [...document.pcrs].filter(([, value]) => !allZero(value)).sort(([one], [other]) => one - other);
  return Object.fromEntries(measured.map(([index, value]) => [String(index), hex(value)]));
}

/** What a caller must know of an enclave of which the policy did not ask everything. */
export const LEFT_OPEN: Readonly<Record<Part, string>> = {
  code: "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
  function: "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted.",
};

/** What a caller must know of evidence that no hardware stands behind. */
export const PROVES_NOTHING: Readonly<Record<EvidenceKind, string | null>> = {
  nitro: null,
  simulated: "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it.",
  "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing.",
};

/** What must be known before an answer is relied on. */
export function notices({ manifest, verified }: Recipient): string[] {
  const { notice, trained } = manifest;
  const nothing = PROVES_NOTHING[verified.kind];
  return [
    ...verified.leftOpen.map((part) => LEFT_OPEN[part]),
    ...(typeof notice === "string" ? [notice] : []),
    ...(trained ? [] : ["UNTRAINED WEIGHTS: this model has learnt nothing and its answers are noise."]),
    ...(nothing === null ? [] : [nothing]),
  ];
}
