/** The vectors of policies that Python and TypeScript share (docs/policy.md): part by part, and by whole documents. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import type { Bytes } from "../src/bytes.ts";
import type { Claims } from "../src/claims.ts";
import * as emulated from "../src/emulated.ts";
import * as matching from "../src/matching.ts";
import { Policy } from "../src/policy.ts";
import { AWS_NITRO_ROOT_G1, SIMULATED_ROOT_NAME } from "../src/roots.ts";
import { verify, verifyArchived } from "../src/verify.ts";
import * as forge from "./forge.ts";
import { CLAIMS, NONCE } from "./forge.ts";
import { at, isRefusal, outcome, unhex } from "./support.ts";

interface Accepted {
  accepted: true;
  release: string | null;
  kind: string;
  left_open: string[];
}

interface Refused {
  refused: string;
  step?: number;
}

interface Case {
  name: string;
  policy: string;
  at: string;
  document: {
    /** Null: an unsigned document of QEMU's. */
    root: string | null;
    kind: "nitro" | "simulated" | "qemu-nitro-enclave";
    pcrs: Record<string, string>;
    function_checksum: string | null;
    model_digest: string | null;
  };
  expect: Accepted | Refused;
}

const file = join(process.cwd(), "..", "..", "tests", "vectors", "policy.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Case[] };
assert.ok(cases.length > 250);

function pcrsOf({ document }: Case): Map<number, Bytes> {
  return new Map(Object.entries(document.pcrs).map(([index, value]) => [Number(index), unhex(value)]));
}

function claimsOf({ document: { function_checksum: checksum, model_digest: digest } }: Case): Claims | null {
  if (checksum === null || digest === null) return null;
  return { ...CLAIMS, funcChecksum: unhex(checksum), modelSha256: unhex(digest) };
}

async function judged(judge: () => Omit<Accepted, "accepted"> | Promise<Omit<Accepted, "accepted">>): Promise<unknown> {
  let found: Omit<Accepted, "accepted"> | undefined;
  const error = await outcome(async () => {
    found = await judge();
  });
  if (found) return { accepted: true, ...found };
  assert.ok(isRefusal(error), String(error));
  return { refused: error.code, ...(error.step ? { step: error.step } : {}) };
}

for (const each of cases) {
  // Certificates call themselves simulated, an envelope is unsigned; these parts see none.
  const skip = "refused" in each.expect && ["simulated_root", "wrong_algorithm"].includes(each.expect.refused);
  test(`policy: ${each.name}`, { skip }, async () => {
    const found = await judged(() => {
      const policy = Policy.fromJson(each.policy);
      const now = new Date(each.at);
      matching.checkPolicy(policy, now);
      const { root } = each.document;
      const ofQemu = emulated.releasesOf(policy);
      const ofRoot = root === null ? (ofQemu ?? assert.fail()) : matching.byRoot(policy, root, 3);
      const measured = matching.byMeasurements(ofRoot, pcrsOf(each), { policy, at: now, step: 7 });
      const { name, kind, leftOpen } = matching.byIdentity(measured, claimsOf(each), { policy, step: 9 });
      return { release: name, kind, left_open: [...leftOpen] };
    });
    assert.deepEqual(found, each.expect);
  });
}

const attesting = {
  nitro: await forge.chainOf(await forge.newRoot()),
  simulated: await forge.chainOf(await forge.newRoot(SIMULATED_ROOT_NAME)),
};

for (const each of cases) {
  // AWS does not sign for tests.
  const skip = each.document.root === AWS_NITRO_ROOT_G1;
  test(`policy, with a document: ${each.name}`, { skip }, async () => {
    const { root, kind } = each.document;
    const chain = attesting[kind === "simulated" ? kind : "nitro"];
    const fingerprint = await forge.fingerprint(chain.root);
    // A root of the test's own in the place of the document's.
    const spellings = root === null ? [] : [root, root.toUpperCase()];
    const text = spellings.reduce((policy, spelling) => policy.replaceAll(spelling, fingerprint), each.policy);
    const claims = claimsOf(each);
    const now = new Date(each.at);
    const fields = { timestamp: now.getTime(), pcrs: pcrsOf(each), user_data: claims && forge.userData(claims) };
    const document = root === null ? await forge.emulated(chain, fields) : await forge.documentOf(chain, fields);
    for (const archived of [false, true]) {
      const found = await judged(async () => {
        const policy = Policy.fromJson(text);
        const verified = archived
          ? await verifyArchived(document, policy)
          : await verify(document, { policy, nonce: NONCE, now });
        const { kind, release, leftOpen } = verified.report;
        return { release, kind, left_open: [...leftOpen] };
      });
      assert.deepEqual(found, each.expect, archived ? "archived" : "live");
    }
  });
}

test("there is a case for every way to leave something open, and for both steps of a recall", () => {
  const leftOpen = new Set(cases.map(({ expect }) => ("accepted" in expect ? expect.left_open.join() : "")));
  assert.deepEqual([...leftOpen].sort(), ["", "code", "code,function", "function"]);
  const refusals = cases.flatMap(({ expect }) => ("refused" in expect ? [expect] : []));
  const recalls = refusals.filter(({ refused }) => refused === "release_recalled").map(({ step }) => step);
  assert.deepEqual(new Set(recalls), new Set([7, 9]));
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
  assert.ok(at(cases, 0).document.pcrs["16"]);
});
