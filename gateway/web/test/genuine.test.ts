/** Genuine documents of AWS, with which nothing here was made. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { hex, type Bytes } from "../src/protocol/bytes.ts";
import { parse } from "../src/protocol/cose.ts";
import { parseDocument } from "../src/protocol/document.ts";
import { AWS_NITRO_ROOT_G1, parsePolicy, type Policy } from "../src/protocol/policy.ts";
import { verify, verifyArchived } from "../src/protocol/verify.ts";
import { sha256 } from "../src/protocol/webcrypto.ts";
import { flipped, outcome, refused, unbase64 } from "./support.ts";
import { Refusal } from "../src/protocol/errors.ts";

const folder = join(process.env["BLINDSIGHT_ASSETS"] ?? "", "attestation");
const missing =
  process.env["BLINDSIGHT_ASSETS"] && existsSync(folder)
    ? false
    : "BLINDSIGHT_ASSETS names no folder with genuine attestation documents";

function asset(name: string): Bytes {
  return new Uint8Array(readFileSync(join(folder, name)));
}

function policyOf(pcrs: Record<string, string[]>): Policy {
  const roots = [{ kind: "nitro", sha256: AWS_NITRO_ROOT_G1 }];
  return parsePolicy(JSON.stringify({ schema: "blindsight-policy/1", roots, pcrs }));
}

/** Accepts what the production document measures. */
function policyFor(evidence: Bytes): Policy {
  const { pcrs } = parseDocument(parse(evidence, 1).payload, 2);
  return policyOf(
    Object.fromEntries([0, 1, 2].map((index) => [String(index), [hex(pcrs.get(index) ?? assert.fail("no PCR"))]])),
  );
}

test("the production document verifies at its own time", { skip: missing }, async () => {
  const evidence = asset("nitro_production_2023-02.bin");
  const { kind, rootSha256, document, claims, at } = await verifyArchived(evidence, policyFor(evidence));
  assert.deepEqual([kind, rootSha256], ["nitro", AWS_NITRO_ROOT_G1]);
  assert.equal(document.timestamp.toISOString(), "2023-02-10T12:43:31.418Z");
  assert.deepEqual(at, document.timestamp);
  assert.equal(document.moduleId, "i-08dd44ce4cc5ced0b-enc01863b583eb9dfbf");
  assert.equal(document.userData?.length, 746);
  assert.equal(claims, null);
});

test("it verifies live within its minutes, and no longer", { skip: missing }, async () => {
  const evidence = asset("nitro_production_2023-02.bin");
  const policy = policyFor(evidence);
  const { document } = await verifyArchived(evidence, policy);
  const after = (seconds: number): Date => new Date(document.timestamp.getTime() + 1000 * seconds);
  await verify(evidence, { policy, nonce: document.nonce, now: after(299) });
  await refused(() => verify(evidence, { policy, nonce: null, now: after(301) }), "evidence_too_old", 10);
  await refused(() => verify(evidence, { policy, nonce: null, now: new Date() }), "certificate_expired", 4);
});

test("other code is refused", { skip: missing }, async () => {
  const evidence = asset("nitro_production_2023-02.bin");
  await refused(() => verifyArchived(evidence, policyOf({ 0: ["ab".repeat(48)] })), "pcr_mismatch", 7);
});

test("the debug document is refused as such, and for nothing else", { skip: missing }, async () => {
  const policy = policyOf({ 4: ["ab".repeat(48)] });
  await refused(() => verifyArchived(asset("nitro_debug_2022-07.bin"), policy), "debug_document", 6);
});

test("no turned bit of the production document is accepted", { skip: missing }, async () => {
  const evidence = asset("nitro_production_2023-02.bin");
  const policy = policyFor(evidence);
  for (let bit = 0; bit < 8 * evidence.length; bit += 101) {
    const error = await outcome(() => verifyArchived(flipped(evidence, bit), policy));
    assert.ok(error instanceof Refusal, `bit ${bit}: ${String(error)}`);
  }
});

test("the pinned fingerprint is that of the published root", { skip: missing }, async () => {
  const pem = readFileSync(join(folder, "nitro_root_g1.pem"), "ascii");
  const der = unbase64(pem.replace(/-----[A-Z ]+-----|\s/g, ""));
  assert.equal(hex(await sha256(der)), AWS_NITRO_ROOT_G1);
});
