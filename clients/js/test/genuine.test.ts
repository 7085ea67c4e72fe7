/** Genuine documents of AWS, with which nothing here was made. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { hex, type Bytes } from "../src/bytes.ts";
import { parse } from "../src/cose.ts";
import { parseDocument } from "../src/document.ts";
import { Policy } from "../src/policy.ts";
import { AWS_NITRO_ROOT_G1 } from "../src/roots.ts";
import { verify, verifyArchived } from "../src/verify.ts";
import { sha256 } from "../src/webcrypto.ts";
import type { Members } from "./forge.ts";
import { flipped, outcome, refused, unbase64 } from "./support.ts";
import { BlindsightError } from "../src/errors.ts";

const folder = join(process.env["BLINDSIGHT_ASSETS"] ?? "", "attestation");
const missing =
  process.env["BLINDSIGHT_ASSETS"] && existsSync(folder)
    ? false
    : "BLINDSIGHT_ASSETS names no folder with genuine attestation documents";

function asset(name: string): Bytes {
  return new Uint8Array(readFileSync(join(folder, name)));
}

/** These documents are not of our enclaves: no function is claimed. AWS's root is the default. */
function policyOf(pcrs: Record<string, string[]>, release: Members = {}): Policy {
  const releases = [{ kind: "nitro", pcrs, any_function: true, ...release }];
  return Policy.fromJson(JSON.stringify({ schema: "blindsight-policy/2", releases }));
}

/** Accepts what a production document measures. */
function policyFor(evidence: Bytes): Policy {
  const { pcrs } = parseDocument(parse(evidence, 1).payload, 2);
  return policyOf(
    Object.fromEntries([0, 1, 2].map((index) => [String(index), [hex(pcrs.get(index) ?? assert.fail("no PCR"))]])),
  );
}

interface Genuine {
  name: string;
  /** The first byte of the payload: a definite outer map, or one of indefinite length. */
  first: number;
  made: string;
  moduleId: string;
  userDataBytes: number;
  /** The first bytes of PCR 0, 1 and 2. */
  pcrs: string[];
}

const PRODUCTION: Genuine[] = [
  {
    name: "nitro_production_2023-02.bin",
    first: 0xa9,
    made: "2023-02-10T12:43:31.418Z",
    moduleId: "i-08dd44ce4cc5ced0b-enc01863b583eb9dfbf",
    userDataBytes: 746,
    pcrs: ["bda74673e83a", "bcdf05fefcca", "f2725d726cb7"],
  },
  {
    name: "nitro_production_2025-12.bin",
    first: 0xbf,
    made: "2025-12-25T16:04:19.346Z",
    moduleId: "i-0827e799ec9232d44-enc019b5640fdf630d6",
    userDataBytes: 64,
    pcrs: ["eb7d0dab08ff", "0343b056cd84", "d7b0a76788c1"],
  },
];

for (const genuine of PRODUCTION) {
  test(`${genuine.name} verifies at its own time`, { skip: missing }, async () => {
    const evidence = asset(genuine.name);
    assert.equal(parse(evidence, 1).payload[0], genuine.first);
    const { kind, rootSha256, document, claims, report } = await verifyArchived(evidence, policyFor(evidence));
    assert.deepEqual([kind, rootSha256], ["nitro", AWS_NITRO_ROOT_G1]);
    assert.equal(document.timestamp.toISOString(), genuine.made);
    assert.deepEqual([report.at, report.archived], [document.timestamp, true]);
    assert.equal(document.moduleId, genuine.moduleId);
    assert.equal(document.userData?.length, genuine.userDataBytes);
    assert.deepEqual(document.unknownFields, []);
    assert.equal(claims, null);
    for (const [index, start] of genuine.pcrs.entries()) {
      assert.ok(hex(document.pcrs.get(index) ?? assert.fail("no PCR")).startsWith(start));
    }
  });

  test(`${genuine.name} verifies live within its minutes, and no longer`, { skip: missing }, async () => {
    const evidence = asset(genuine.name);
    const policy = policyFor(evidence);
    const { document } = await verifyArchived(evidence, policy);
    const after = (seconds: number): Date => new Date(document.timestamp.getTime() + 1000 * seconds);
    await verify(evidence, { policy, nonce: document.nonce, now: after(299) });
    await refused(() => verify(evidence, { policy, nonce: null, now: after(301) }), "evidence_too_old", 10);
    await refused(() => verify(evidence, { policy, nonce: null, now: new Date() }), "certificate_expired", 4);
  });

  test(`${genuine.name}: other code is refused`, { skip: missing }, async () => {
    const evidence = asset(genuine.name);
    await refused(() => verifyArchived(evidence, policyOf({ 0: ["ab".repeat(48)] })), "pcr_mismatch", 7);
  });

  test(`${genuine.name}: no turned bit is accepted`, { skip: missing }, async () => {
    const evidence = asset(genuine.name);
    const policy = policyFor(evidence);
    for (let bit = 0; bit < 8 * evidence.length; bit += 101) {
      const error = await outcome(() => verifyArchived(flipped(evidence, bit), policy));
      assert.ok(error instanceof BlindsightError, `bit ${bit}: ${String(error)}`);
    }
  });
}

for (const name of ["nitro_debug_2022-07.bin", "nitro_debug_2025-12.bin"]) {
  test(`${name} is refused as a debug document, and for nothing else`, { skip: missing }, async () => {
    const evidence = asset(name);
    const pcr4 = hex(parseDocument(parse(evidence, 1).payload, 2).pcrs.get(4) ?? assert.fail("no PCR 4"));
    await refused(() => verifyArchived(evidence, policyOf({ 4: [pcr4] }, { any_code: true })), "debug_document", 6);
  });
}

test("the pinned fingerprint is that of the published root", { skip: missing }, async () => {
  const pem = readFileSync(join(folder, "nitro_root_g1.pem"), "ascii");
  const der = unbase64(pem.replace(/-----[A-Z ]+-----|\s/g, ""));
  assert.equal(hex(await sha256(der)), AWS_NITRO_ROOT_G1);
});
