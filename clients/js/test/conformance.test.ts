/** The conformance suite of attestation verifiers: vectors/attestation, made by the Python side. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { base64 } from "../src/bytes.ts";
import { parseJson, type JsonObject } from "../src/json.ts";
import { judge, type Question } from "./conformance.ts";

interface Case extends Omit<Question, "policy"> {
  policy: string;
  expected: JsonObject;
}

const folder = join(process.cwd(), "..", "..", "vectors", "attestation");
const manifest = parseJson(readFileSync(join(folder, "manifest.json"), "utf8")) as unknown as {
  policies: Record<string, JsonObject>;
  cases: Case[];
};
assert.ok(manifest.cases.length > 500);

for (const { expected, policy, document, ...rest } of manifest.cases) {
  test(`conformance: ${rest.id}`, async () => {
    const text = JSON.stringify(manifest.policies[policy]);
    const bytes = new Uint8Array(readFileSync(join(folder, document)));
    const { reason, ...answer } = await judge({ ...rest, policy: text, document: base64(bytes) });
    const { result, ...details } = expected;
    assert.deepEqual(answer, { accepted: result === "accepted", ...details }, String(reason));
  });
}
