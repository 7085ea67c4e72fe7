/** The built verifier behind the conformance suite's protocol (vectors/attestation/README.md). */

import { attestation, BlindsightError, EvidenceError, Policy } from "blindsight-client";

import type { Bytes } from "../src/bytes.ts";
import { parseJson, type Json, type JsonObject } from "../src/json.ts";
import { decodeList, preferred } from "../src/keyconfig.ts";
import { unbase64, unhex } from "./support.ts";

const { checkKeyConfigs, checkModel, verify, verifyArchived, verifyRecipient } = attestation;

export interface Question {
  id: string;
  document: string;
  policy: string;
  nonce: string | null;
  time: string;
  mode: "live" | "archived";
  binding?: { key_configs: string; model: Json };
}

/** A question as the library's own parser reads it. */
export function questionIn(text: string): Question {
  return parseJson(text) as unknown as Question;
}

/** The answer to one question. */
export async function judge(asked: Question): Promise<JsonObject> {
  try {
    return { accepted: true, ...(await accepted(asked)) };
  } catch (error) {
    if (!(error instanceof BlindsightError)) throw error;
    const { code, message } = error;
    return { accepted: false, code, ...(error instanceof EvidenceError && { step: error.step }), reason: message };
  }
}

async function accepted(asked: Question): Promise<JsonObject> {
  const policy = Policy.fromJson(asked.policy);
  const document = unbase64(asked.document);
  const nonce = asked.nonce === null ? null : unhex(asked.nonce);
  const now = new Date(asked.time);
  const { binding } = asked;
  if (!binding) {
    const live = asked.mode === "live";
    return shown(
      live ? await verify(document, { policy, nonce, now }) : await verifyArchived(document, policy, nonce),
    );
  }
  const keyConfigs = unbase64(binding.key_configs);
  if (asked.mode === "live") {
    const evidence = { document, keyConfigs, model: binding.model };
    const { verified, config } = await verifyRecipient(evidence, { policy, nonce: present(nonce), now });
    return { ...shown(verified), kem_id: config.kem.id };
  }
  const verified = await verifyArchived(document, policy, nonce);
  await checkKeyConfigs(verified, keyConfigs);
  await checkModel(verified, binding.model);
  return { ...shown(verified), kem_id: preferred(decodeList(keyConfigs))?.kem.id ?? null };
}

function shown({ kind, report: { release, leftOpen }, document }: attestation.Verified): JsonObject {
  return {
    kind,
    release,
    left_open: [...leftOpen],
    unknown_fields: document.unknownFields.map((name) => (typeof name === "bigint" ? Number(name) : name)),
  };
}

function present(nonce: Bytes | null): Bytes {
  if (!nonce) throw new RangeError("evidence that is verified live answers a nonce");
  return nonce;
}
