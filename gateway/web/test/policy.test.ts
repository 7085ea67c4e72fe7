import assert from "node:assert/strict";
import { test } from "node:test";

import { AWS_NITRO_ROOT_G1, parsePolicy } from "../src/protocol/policy.ts";
import { refused } from "./support.ts";

const ROOT = "1".repeat(64);
const PCR = "ab".repeat(48);
const GOOD = {
  schema: "blindsight-policy/1",
  roots: [{ kind: "simulated", sha256: ROOT }],
  pcrs: { 0: [PCR], 16: [PCR] },
};

test("a policy, its defaults and its forms", () => {
  const policy = parsePolicy(JSON.stringify({ ...GOOD, pcrs: { 3: [PCR.toUpperCase()] } }));
  assert.deepEqual(policy, {
    roots: new Map([[ROOT, "simulated"]]),
    pcrs: new Map([[3, new Set([PCR])]]),
    functionChecksums: null,
    modelDigests: null,
    maxAge: 300,
    maxFutureSkew: 60,
  });
  const whole = parsePolicy(
    JSON.stringify({
      ...GOOD,
      function_checksums: [ROOT],
      model_digests: null,
      max_age_seconds: 0,
      max_future_skew_seconds: 86_400,
    }),
  );
  assert.deepEqual([whole.functionChecksums, whole.modelDigests], [new Set([ROOT]), null]);
  assert.deepEqual([whole.maxAge, whole.maxFutureSkew], [0, 86_400]);
});

const REFUSED: [string, Record<string, unknown>, string][] = [
  ["another schema", { schema: "blindsight-policy/2" }, "invalid_policy"],
  ["a misspelt key", { function_checksum: [ROOT] }, "unknown_policy_key"],
  ["a misspelt key of a root", { roots: [{ kind: "nitro", sha256: ROOT, not_after: 1 }] }, "unknown_policy_key"],
  ["no roots", { roots: [] }, "no_roots"],
  ["roots that are no list", { roots: {} }, "invalid_policy"],
  ["roots left out", { roots: undefined }, "invalid_policy"],
  ["a root without kind", { roots: [{ sha256: ROOT }] }, "invalid_policy"],
  ["a root of another kind", { roots: [{ kind: "any", sha256: ROOT }] }, "invalid_policy"],
  ["a root twice", { roots: [1, 2].map(() => ({ kind: "nitro", sha256: ROOT })) }, "invalid_policy"],
  ["a root of zeros", { roots: [{ kind: "nitro", sha256: "0".repeat(64) }] }, "zero_measurement"],
  ["a short root", { roots: [{ kind: "nitro", sha256: "1" }] }, "invalid_policy"],
  ["AWS's root as simulated", { roots: [{ kind: "simulated", sha256: AWS_NITRO_ROOT_G1 }] }, "invalid_policy"],
  [
    "the hash of AWS's ZIP file",
    { roots: [{ kind: "nitro", sha256: "8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c" }] },
    "not_a_certificate_fingerprint",
  ],
  ["no measurements", { pcrs: {} }, "no_measurements"],
  ["measurements left out", { pcrs: undefined }, "invalid_policy"],
  ["a PCR without values", { pcrs: { 0: [] } }, "empty_allow_list"],
  ["a PCR of zeros", { pcrs: { 0: [PCR, "0".repeat(96)] } }, "zero_measurement"],
  ["a PCR of SHA-256", { pcrs: { 0: [ROOT] } }, "invalid_policy"],
  ["a PCR that is no list", { pcrs: { 0: PCR } }, "invalid_policy"],
  ["PCR 32", { pcrs: { 32: [PCR] } }, "invalid_policy"],
  ["PCR 01", { pcrs: { "01": [PCR] } }, "invalid_policy"],
  ["functions without values", { function_checksums: [] }, "empty_allow_list"],
  ["models that are no list", { model_digests: ROOT }, "invalid_policy"],
  ["a negative age", { max_age_seconds: -1 }, "invalid_policy"],
  ["an age beyond a day", { max_age_seconds: 86_401 }, "invalid_policy"],
  ["an age of null", { max_age_seconds: null }, "invalid_policy"],
  ["an age that is true", { max_future_skew_seconds: true }, "invalid_policy"],
];

for (const [what, changes, code] of REFUSED) {
  test(`refused: ${what}`, async () => {
    await refused(() => parsePolicy(JSON.stringify({ ...GOOD, ...changes })), code);
  });
}

test("texts that are no policies", async () => {
  for (const text of ["", "{", "\ufeff{}", JSON.stringify({ ...GOOD, max_age_seconds: 0.5 })]) {
    await refused(() => parsePolicy(text), "unreadable_policy");
  }
  for (const text of ["[]", "null", "{}", `{"schema":"blindsight-policy/1","schema":"blindsight-policy/1"}`]) {
    await refused(() => parsePolicy(text), "invalid_policy");
  }
});
