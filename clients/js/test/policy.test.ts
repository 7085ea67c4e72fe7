/** How a policy file is read. What is refused, and which release a document is: tests/vectors/policy.json. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Policy } from "../src/policy.ts";
import { versionKey } from "../src/release.ts";
import { AWS_NITRO_ROOT_G1 } from "../src/roots.ts";
import { refused } from "./support.ts";

const ROOT = "1".repeat(64);
const DIGEST = "ef".repeat(32);
const PCR = "ab".repeat(48);

const RELEASE = { kind: "nitro", pcrs: { 0: [PCR] }, function_in_image: true };
const FIRST = {
  schema: "blindsight-policy/1",
  roots: [{ kind: "simulated", sha256: ROOT }],
  pcrs: { 0: [PCR], 16: [PCR] },
};

const policyOf = (release: object, policy: object = {}): string =>
  JSON.stringify({ schema: "blindsight-policy/2", releases: [{ ...RELEASE, ...release }], ...policy });

test("a policy of which most is left out", () => {
  assert.deepEqual({ ...Policy.fromJson(policyOf({ pcrs: { 0: [PCR.toUpperCase()] } })) }, {
    releases: [
      {
        kind: "nitro",
        name: null,
        version: null,
        roots: new Set([AWS_NITRO_ROOT_G1]),
        pcrs: new Map([[0, new Set([PCR])]]),
        functionChecksums: null,
        modelDigests: null,
        leftOpen: [],
        expires: null,
      },
    ],
    refuse: new Set(),
    minimumVersion: null,
    expires: null,
    maxAge: 300,
    maxFutureSkew: 60,
  });
});

test("a policy that states everything", () => {
  const release = {
    kind: "simulated",
    name: "a release",
    version: "1.4",
    roots: [ROOT],
    pcrs: { 8: [PCR], 31: [PCR, PCR] },
    function_in_image: undefined,
    function_checksums: [DIGEST],
    model_digests: [DIGEST],
    any_code: true,
    expires: "2027-01-01T00:00:00Z",
  };
  const policy = {
    refuse: [DIGEST.toUpperCase(), PCR],
    minimum_version: "1.3.0",
    expires: "2028-02-29T23:59:59Z",
    max_age_seconds: 0,
    max_future_skew_seconds: 86_400,
  };
  assert.deepEqual({ ...Policy.fromJson(policyOf(release, policy)) }, {
    releases: [
      {
        kind: "simulated",
        name: "a release",
        version: "1.4",
        roots: new Set([ROOT]),
        pcrs: new Map([
          [8, new Set([PCR])],
          [31, new Set([PCR])],
        ]),
        functionChecksums: new Set([DIGEST]),
        modelDigests: new Set([DIGEST]),
        leftOpen: ["code"],
        expires: new Date("2027-01-01T00:00:00Z"),
      },
    ],
    refuse: new Set([DIGEST, PCR]),
    minimumVersion: "1.3.0",
    expires: new Date("2028-02-29T23:59:59Z"),
    maxAge: 0,
    maxFutureSkew: 86_400,
  });
});

test("what is left open is in one order", () => {
  const open = { function_in_image: undefined, pcrs: undefined, any_function: true, any_code: true };
  assert.deepEqual(Policy.fromJson(policyOf(open)).releases[0]?.leftOpen, ["code", "function"]);
});

test("the first format is read as a release for each kind of root", () => {
  const other = "2".repeat(64);
  const roots = [
    { kind: "simulated", sha256: ROOT },
    { kind: "nitro", sha256: AWS_NITRO_ROOT_G1 },
    { kind: "simulated", sha256: other },
  ];
  const { releases } = Policy.fromJson(JSON.stringify({ ...FIRST, roots, function_checksums: null }));
  assert.deepEqual(
    releases.map(({ kind, roots: listed, leftOpen }) => [kind, listed, leftOpen]),
    [
      ["simulated", new Set([ROOT, other]), []],
      ["nitro", new Set([AWS_NITRO_ROOT_G1]), []],
    ],
  );
});

test("the first format is refused where it does not say enough", async () => {
  for (const [pcrs, code] of [
    [{ 0: [PCR] }, "function_not_pinned"],
    [{ 16: [PCR] }, "code_not_pinned"],
    [{ 1: [PCR], 16: [PCR] }, "code_not_pinned"],
  ] as const) {
    const { nextStep } = await refused(() => Policy.fromJson(JSON.stringify({ ...FIRST, pcrs })), code);
    assert.match(nextStep, /^Add /);
  }
});

test("roots of the first format", async () => {
  const read = (...roots: unknown[]): unknown => Policy.fromJson(JSON.stringify({ ...FIRST, roots }));
  // In this order: what lacks a member is not looked at further.
  for (const entry of [null, 5, "x", [], {}, { kind: "simulated", extra: 1 }, { sha256: ROOT, extra: 1 }]) {
    await refused(() => read(entry), "invalid_policy");
  }
  await refused(() => read({ kind: "simulated", sha256: ROOT, extra: 1 }), "unknown_policy_key");
  await refused(() => read({ kind: "simulated", sha256: ROOT }, { kind: "nitro", sha256: ROOT }), "invalid_policy");
});

test("what is refused by name is a text", async () => {
  for (const value of [null, 5, [], {}]) {
    await refused(() => Policy.fromJson(policyOf({}, { refuse: [value] })), "invalid_policy");
  }
});

test("the lowest version is looked at when the policy is read", async () => {
  await refused(() => Policy.fromJson(policyOf({}, { minimum_version: "one" })), "invalid_policy");
});

test("times have four digits of the year, and nothing around them", async () => {
  for (const expires of [
    "+012027-01-01T00:00:00Z",
    "-000001-01-01T00:00:00Z",
    "x2027-01-01T00:00:00Z",
    "2027-01-01T00:00:00Zx",
    "2027-01-01T00:00:00Z\n",
    "2027-01-01",
  ]) {
    await refused(() => Policy.fromJson(policyOf({}, { expires })), "invalid_policy");
  }
});

test("a refusal names the release that it is for", async () => {
  const releases = [RELEASE, { ...RELEASE, pcrs: { 0: [] } }];
  const error = await refused(() => Policy.fromJson(policyOf({}, { releases })), "empty_allow_list");
  assert.match(error.message, /^Release 2 of the policy: /);
});

test("texts that are no policies", async () => {
  for (const text of ["", "{", "\ufeff{}", policyOf({}, { max_age_seconds: 0.5 })]) {
    await refused(() => Policy.fromJson(text), "unreadable_policy");
  }
  for (const text of ["[]", "null", "{}", `{"schema":"blindsight-policy/2","schema":"blindsight-policy/2"}`]) {
    await refused(() => Policy.fromJson(text), "invalid_policy");
  }
});

test("versions are four numbers", async () => {
  assert.deepEqual(versionKey("1", ""), [1, 0, 0, 0]);
  assert.deepEqual(versionKey("0.10.999999999.1", ""), [0, 10, 999_999_999, 1]);
  await refused(() => versionKey("1.2.3.4.5", "version"), "invalid_policy");
});
