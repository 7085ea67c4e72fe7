/** What mutants of the verifier are tried on: every conformance case, and every case of a policy (mutants.mjs). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { base64, type Bytes } from "../src/bytes.ts";
import type { Claims } from "../src/claims.ts";
import * as emulated from "../src/emulated.ts";
import { parseJson, type JsonObject } from "../src/json.ts";
import * as matching from "../src/matching.ts";
import { Policy } from "../src/policy.ts";
import { judge, type Question } from "./conformance.ts";
import { isRefusal, unhex } from "./support.ts";

interface Case extends Omit<Question, "policy"> {
  policy: string;
  expected: JsonObject;
}

interface PolicyCase {
  name: string;
  policy: string;
  at: string;
  document: {
    root: string | null;
    pcrs: Record<string, string>;
    function_checksum: string | null;
    model_digest: string | null;
  };
  expect: { refused?: string };
}

export interface Judge {
  readonly id: string;
  /** Rejects unless the verdict is the expected one. */
  readonly run: () => Promise<void>;
}

/** All of them, those that differ most from each other first. `root` is the repository's. */
export function judges(root: string): Judge[] {
  const folder = join(root, "vectors", "attestation");
  const manifest = parseJson(readFileSync(join(folder, "manifest.json"), "utf8")) as unknown as {
    policies: Record<string, JsonObject>;
    cases: Case[];
  };
  const seen = new Map<string, number>();
  const ordered = manifest.cases.map((each) => {
    const kind = String(each.expected["code"] ?? "accepted");
    const number = (seen.get(kind) ?? 0) + 1;
    seen.set(kind, number);
    return { number, each };
  });
  ordered.sort((one, other) => one.number - other.number);
  const file = readFileSync(join(root, "tests", "vectors", "policy.json"), "utf8");
  const { cases } = JSON.parse(file) as { cases: PolicyCase[] };
  return [
    ...ordered.map(({ each: { expected, policy, document, ...rest } }) => {
      const asked = {
        ...rest,
        policy: JSON.stringify(manifest.policies[policy]),
        document: base64(new Uint8Array(readFileSync(join(folder, document)))),
      };
      return { id: rest.id, run: () => judged(asked, expected) };
    }),
    ...cases.map((each) => ({ id: `policy: ${each.name}`, run: () => policyJudged(each) })),
  ];
}

async function judged(asked: Question, expected: JsonObject): Promise<void> {
  const { reason, ...answer } = await judge(asked);
  const { result, ...details } = expected;
  assert.deepEqual(answer, { accepted: result === "accepted", ...details }, String(reason));
}

async function policyJudged({ policy: text, at, document, expect }: PolicyCase): Promise<void> {
  if (expect.refused === "simulated_root" || expect.refused === "wrong_algorithm") return;
  assert.deepEqual(verdict(text, new Date(at), document), expect);
}

function verdict(text: string, at: Date, shown: PolicyCase["document"]): unknown {
  try {
    const policy = Policy.fromJson(text);
    matching.checkPolicy(policy, at);
    const ofQemu = emulated.releasesOf(policy);
    const ofRoot = shown.root === null ? ofQemu : matching.byRoot(policy, shown.root, 3);
    assert.ok(ofRoot);
    const pcrs = new Map<number, Bytes>(Object.entries(shown.pcrs).map(([index, value]) => [Number(index), unhex(value)]));
    const measured = matching.byMeasurements(ofRoot, pcrs, { policy, at, step: 7 });
    const { name, kind, leftOpen } = matching.byIdentity(measured, claimsOf(shown), { policy, step: 9 });
    return { accepted: true, release: name, kind, left_open: [...leftOpen] };
  } catch (error) {
    if (!(isRefusal(error))) throw error;
    return { refused: error.code, ...(error.step ? { step: error.step } : {}) };
  }
}

function claimsOf({ function_checksum: checksum, model_digest: digest }: PolicyCase["document"]): Claims | null {
  if (checksum === null || digest === null) return null;
  const none = new Uint8Array(32);
  return { funcChecksum: unhex(checksum), modelSha256: unhex(digest), keyConfigsSha256: none, receiptKeySha256: none };
}
