import assert from "node:assert/strict";
import { test } from "node:test";

import { base64, concat, hex, utf8, type Bytes } from "../src/bytes.ts";
import { EvidenceError } from "../src/errors.ts";
import { Policy } from "../src/policy.ts";
import { checkKeyConfigs, checkManifest, verify, verifyArchived, type Verified } from "../src/verify.ts";
import * as forge from "./forge.ts";
import { CLAIMS, NONCE, NOW } from "./forge.ts";
import { chance, flipped, outcome, refused } from "./support.ts";

const root = await forge.newRoot();
const attesting = await forge.chainOf(root);
const policy = await forge.policyFor(root);
const good = await forge.documentOf(attesting);

async function verified(
  evidence: Bytes,
  changes: Partial<{ policy: Policy; nonce: Bytes | null; now: Date }> = {},
): Promise<Verified> {
  return await verify(evidence, { policy, nonce: NONCE, now: NOW, ...changes });
}

test("a good document passes every step, with the records of the Python verifier", async () => {
  const { report, kind, claims } = await verified(good);
  const { steps, at } = report;
  assert.deepEqual(
    steps.map(({ number, name, result }) => [number, name, result]),
    [
      "Envelope",
      "Fields",
      "Root",
      "Chain",
      "Signature",
      "Debug mode",
      "Measurements",
      "Claims",
      "Identity",
      "Freshness",
    ].map((name, index) => [index + 1, name, "passed"]),
  );
  assert.equal(kind, "simulated");
  assert.deepEqual(at, NOW);
  assert.deepEqual(claims, CLAIMS);
  assert.equal(steps[0]?.checked, `${good.length} bytes`);
  assert.equal(steps[1]?.checked, "document of 'i-0123456789abcdef0-enc0123456789abcdef'");
  assert.equal(steps[3]?.checked, "5 certificates");
  assert.equal(steps[3]?.against, "the root's key, at 2026-11-01 12:00:00Z");
  assert.equal(steps[6]?.checked, "PCR 0, 1, 2");
  assert.equal(steps[8]?.checked, "function and model");
  assert.equal(steps[9]?.checked, "nonce and age");
  assert.equal(steps[9]?.against, "the caller's nonce, 300 s at most");
});

test("what the policy does not ask for is recorded as not asked", async () => {
  const open = { function_checksums: undefined, model_digests: undefined, any_function: true };
  const any = await forge.policyFor(root, { ...open, any_code: true, pcrs: undefined });
  const { report } = await verifyArchived(await forge.documentOf(attesting, { user_data: null }), any);
  const { steps } = report;
  for (const index of [6, 7, 8, 9]) {
    assert.deepEqual(
      { ...steps[index], number: 0, name: "" },
      { number: 0, name: "", checked: "nothing", against: "nothing", result: "not asked" },
    );
  }
});

test("what of freshness was asked", async () => {
  const { steps } = (await verified(good, { nonce: null })).report;
  assert.deepEqual([steps[9]?.checked, steps[9]?.against], ["age", "300 s at most"]);
  const archived = await verifyArchived(good, policy, NONCE);
  assert.deepEqual([archived.report.steps[9]?.checked, archived.report.steps[9]?.against], ["nonce", "the caller's nonce"]);
});

test("the report lists PCRs in ascending order, whatever the release's", async () => {
  const [release] = policy.releases;
  assert.ok(release);
  for (const order of [[2, 1, 0], [1, 2, 0], [0, 1, 2]]) {
    const pcrs = new Map(order.map((index) => [index, release.pcrs.get(index) ?? new Set<string>()] as const));
    const ordered = { ...policy, releases: [{ ...release, pcrs }] };
    const { report } = await verified(good, { policy: ordered });
    assert.equal(report.steps[6]?.checked, "PCR 0, 1, 2");
  }
});

test("steps of unsigned evidence that ask nothing say so", async () => {
  const ofQemu = await forge.policyFor(root, { kind: "qemu-nitro-enclave", roots: undefined });
  const { steps } = (await verified(await forge.emulated(attesting), { policy: ofQemu })).report;
  const nothing = { checked: "nothing: the evidence is unsigned", against: "nothing", result: "not asked" };
  assert.deepEqual(
    steps.slice(2, 5),
    ["Root", "Chain", "Signature"].map((name, index) => ({ number: index + 3, name, ...nothing })),
  );
});

test("a live document is judged by a policy that is in force now, though the document's clock is ahead", async () => {
  const ahead = await forge.documentOf(attesting, { timestamp: NOW.getTime() + 30_000 });
  const ending = await forge.policyFor(root, {}, { expires: "2026-11-01T12:00:10Z" });
  await verified(ahead, { policy: ending });
  await refused(() => verifyArchived(ahead, ending), "policy_expired");
});

test("tag 18 may be there, and only that", async () => {
  await verified(concat(Uint8Array.of(0xd2), good));
  await refused(() => verified(concat(Uint8Array.of(0xd2, 0xd2), good)), "unexpected_tag", 1);
  await refused(() => verified(concat(Uint8Array.of(0xd1), good)), "unexpected_tag", 1);
});

const EMPTY = new Uint8Array();
const BREAK = Uint8Array.of(0xff);

test("envelopes", async () => {
  const payload = await forge.fieldsOf(attesting);
  const signature = new Uint8Array(96);
  const ES384 = forge.PROTECTED;
  const cases: [forge.Encodable, string][] = [
    [[ES384, new Map(), payload], "not_cose_sign1"],
    [new Map(), "not_cose_sign1"],
    [[ES384, new Map(), EMPTY, signature], "not_cose_sign1"],
    [[ES384, new Map(), null, signature], "not_cose_sign1"],
    [[ES384, new Map(), payload, signature.subarray(1)], "not_cose_sign1"],
    [[Uint8Array.of(0xa1, 0x01, 0x26), new Map(), payload, signature], "wrong_algorithm"],
    [["a1013822", new Map(), payload, signature], "wrong_algorithm"],
    [[ES384, new Map([[1, -35]]), payload, signature], "unprotected_header"],
    [[ES384, null, payload, signature], "unprotected_header"],
  ];
  for (const [message, code] of cases) await refused(() => verified(forge.cbor(message)), code, 1);
  await refused(() => verified(concat(good, Uint8Array.of(0))), "trailing_bytes", 1);
  await refused(() => verified(new Uint8Array(16 * 1024 + 1)), "document_too_large", 1);
  await refused(() => verified(EMPTY), "malformed_cbor", 1);
});

test("fields", async () => {
  const certificate = new Uint8Array(1025);
  const cases: [forge.Fields, string][] = [
    [{ digest: undefined }, "missing_field"],
    [{ module_id: null }, "missing_field"],
    [{ module_id: "" }, "invalid_field"],
    [{ digest: "SHA256" }, "unsupported_digest"],
    [{ timestamp: 0 }, "invalid_field"],
    [{ timestamp: true }, "invalid_field"],
    [{ timestamp: 253_402_300_800_000 }, "invalid_field"],
    [{ timestamp: 2n ** 63n }, "invalid_field"],
    [{ pcrs: new Map() }, "invalid_field"],
    [{ pcrs: new Map([["0", new Uint8Array(48)]]) }, "invalid_pcr_index"],
    [{ pcrs: new Map([[32, new Uint8Array(48)]]) }, "invalid_pcr_index"],
    [{ pcrs: new Map([[0, new Uint8Array(32)]]) }, "invalid_pcr_length"],
    [{ certificate }, "invalid_field"],
    [{ cabundle: [] }, "invalid_field"],
    [{ cabundle: [root.der, EMPTY] }, "invalid_field"],
    [{ cabundle: [root.der, null] }, "invalid_field"],
    [{ public_key: EMPTY }, "invalid_field"],
    [{ user_data: new Uint8Array(1025) }, "invalid_field"],
    [{ nonce: "text" }, "invalid_field"],
  ];
  for (const [changes, code] of cases) {
    await refused(async () => verified(await forge.documentOf(attesting, changes)), code, 2);
  }
  await refused(async () => verified(await forge.envelope(attesting, forge.cbor([]))), "invalid_field", 2);
});

test("both forms of the payload's outer map", async () => {
  const entries = await forge.entriesOf(attesting);
  const payload = forge.indefinite(...entries);
  for (const each of [payload, forge.definite(...entries)]) {
    const { document, claims } = await verified(await forge.envelope(attesting, each));
    assert.deepEqual([document.unknownFields, claims], [[], CLAIMS]);
  }
  const extra = forge.cbor("extra");
  const cases: [Bytes, string][] = [
    [payload.subarray(0, -1), "malformed_cbor"],
    [concat(payload, BREAK), "trailing_bytes"],
    [concat(payload, extra, extra), "trailing_bytes"],
    [concat(forge.definite(...entries), BREAK), "trailing_bytes"],
    [forge.indefinite(...entries, extra), "indefinite_length"],
    [forge.indefinite(...entries, extra, BREAK), "indefinite_length"],
    [forge.indefinite(...entries, extra, forge.indefinite()), "indefinite_length"],
    [concat(Uint8Array.of(0x81), payload), "indefinite_length"],
    [concat(Uint8Array.of(0x9f), payload.subarray(1)), "indefinite_length"],
    [concat(Uint8Array.of(0xd2), payload), "unexpected_tag"],
    [forge.indefinite(...entries, ...entries.slice(-2)), "duplicate_key"],
    [forge.definite(...entries, ...entries.slice(0, 2)), "duplicate_key"],
    [forge.indefinite(extra, extra, ...entries, extra, extra), "duplicate_key"],
    [forge.indefinite(...entries, extra, forge.cbor([[[[0]]]])), "nesting_too_deep"],
    [forge.indefinite(), "missing_field"],
  ];
  for (const [hostile, code] of cases) {
    await refused(async () => verified(await forge.envelope(attesting, hostile)), code, 2);
  }
  await refused(() => verified(concat(Uint8Array.of(0x9f), good.subarray(1), BREAK)), "indefinite_length", 1);
});

test("unknown fields are skipped, and named in the report", async () => {
  const entries = await forge.entriesOf(attesting);
  const added = ["added_later", "line\nbreak", 7, "x".repeat(5000)].flatMap((key) => [key, [1]].map(forge.cbor));
  for (const form of [forge.indefinite, forge.definite]) {
    const { document, report } = await verified(await forge.envelope(attesting, form(...entries, ...added)));
    assert.deepEqual(document.unknownFields, ["added_later", "line\nbreak", 7, "x".repeat(5000)]);
    assert.equal(
      report.steps[1]?.checked,
      "document of 'i-0123456789abcdef0-enc0123456789abcdef', and fields that are not known here: " +
        `'added_later', 'line\\u{a}break', 7, '${"x".repeat(40)}'`,
    );
  }
  const many = Array.from({ length: 10 }, (_, key) => [key, null].map(forge.cbor)).flat();
  const { report } = await verified(await forge.envelope(attesting, forge.indefinite(...entries, ...many)));
  assert.match(report.steps[1]?.checked ?? "", /: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more$/);
});

test("roots", async () => {
  const other = await forge.newRoot();
  await refused(async () => verified(good, { policy: await forge.policyFor(other) }), "root_not_pinned", 3);
  const simulated = await forge.newRoot("blindsight.simulated");
  const chain = await forge.chainOf(simulated);
  const document = await forge.documentOf(chain);
  await verified(document, { policy: await forge.policyFor(simulated) });
  const genuine = await forge.policyFor(simulated, { kind: "nitro" });
  await refused(() => verified(document, { policy: genuine }), "simulated_root", 3);
  const garbage = await forge.documentOf(attesting, { certificate: new Uint8Array(100) });
  await refused(() => verified(garbage), "malformed_certificate", 3);
});

test("the enclave's clock may be ahead by the permitted skew, and its certificate with it", async () => {
  const soon = new Date(NOW.getTime() + 30_000);
  const ahead = await forge.chainOf(root, { start: soon });
  const document = await forge.documentOf(ahead, { timestamp: soon.getTime() });
  const { report } = await verified(document);
  assert.deepEqual(report.at, NOW);
  const strict = await forge.policyFor(root, {}, { max_future_skew_seconds: 10 });
  await refused(() => verified(document, { policy: strict }), "certificate_not_yet_valid", 4);
});

test("signatures: another payload, and zeros", async () => {
  const other = await forge.chainOf(root);
  const payload = await forge.fieldsOf(attesting);
  await refused(
    async () => verified(await forge.envelope({ ...attesting, leaf: other.leaf }, payload)),
    "invalid_signature",
    5,
  );
  const zeros = forge.cbor([forge.PROTECTED, new Map(), payload, new Uint8Array(96)]);
  await refused(() => verified(zeros), "invalid_signature", 5);
});

test("debug mode, whatever the policy lists", async () => {
  const pcrs = await forge.pcrsFor(CLAIMS);
  for (const index of [0, 1, 2]) pcrs.set(index, new Uint8Array(48));
  const lenient = await forge.policyFor(root, { any_code: true, pcrs: { 16: [hex(pcrs.get(16) ?? EMPTY)] } });
  await refused(
    async () => verified(await forge.documentOf(attesting, { pcrs }), { policy: lenient }),
    "debug_document",
    6,
  );
  const none = new Map([[3, new Uint8Array(48).fill(1)]]);
  await refused(async () => verified(await forge.documentOf(attesting, { pcrs: none })), "debug_document", 6);
});

test("measurements", async () => {
  const pcrs = await forge.pcrsFor(CLAIMS);
  pcrs.set(1, new Uint8Array(48).fill(9));
  await refused(async () => verified(await forge.documentOf(attesting, { pcrs })), "pcr_mismatch", 7);
  pcrs.delete(1);
  await refused(async () => verified(await forge.documentOf(attesting, { pcrs })), "pcr_missing", 7);
});

test("claims", async () => {
  const whole = JSON.parse(new TextDecoder().decode(forge.userData(CLAIMS))) as Record<string, string>;
  for (const name of Object.keys(whole)) {
    const { [name]: left, ...others } = whole;
    assert.ok(left);
    const cases: unknown[] = [
      others,
      { ...whole, [name]: base64(new Uint8Array(32)) },
      { ...whole, [name]: 1 },
      { ...whole, [name]: left.slice(4) },
    ];
    for (const members of cases) {
      const user_data = utf8(JSON.stringify(members));
      await refused(async () => verified(await forge.documentOf(attesting, { user_data })), "malformed_claims", 8);
    }
  }
  const twice = utf8(`{"model_sha256":"","model_sha256":""}`);
  await refused(async () => verified(await forge.documentOf(attesting, { user_data: twice })), "malformed_claims", 8);
  const pcrs = await forge.pcrsFor(CLAIMS);
  pcrs.set(16, new Uint8Array(48).fill(1));
  await refused(async () => verified(await forge.documentOf(attesting, { pcrs })), "claims_pcr_mismatch", 8);
  pcrs.delete(16);
  await refused(async () => verified(await forge.documentOf(attesting, { pcrs })), "claims_pcr_missing", 8);
  for (const user_data of [
    null,
    EMPTY,
    utf8("not JSON"),
    utf8("[]"),
    utf8(`{"func_checksum":"x"}`),
    Uint8Array.of(0xff),
  ]) {
    await refused(async () => verified(await forge.documentOf(attesting, { user_data })), "claims_missing", 9);
  }
});

test("identity", async () => {
  const other = "1".repeat(64);
  for (const [name, code] of [
    ["function_checksums", "function_not_accepted"],
    ["model_digests", "model_not_accepted"],
  ] as const) {
    await refused(async () => verified(good, { policy: await forge.policyFor(root, { [name]: [other] }) }), code, 9);
  }
});

test("what was found, and what it leaves open", async () => {
  const found = await verified(good);
  assert.deepEqual([found.report.release, found.report.leftOpen, found.until], ["forged", [], null]);
  const second = { kind: "simulated", roots: [await forge.fingerprint(root)], any_code: true, any_function: true };
  const releases = [{ ...second, name: "other code", any_code: undefined, pcrs: { 0: ["9".repeat(96)] } }, second];
  const open = Policy.fromJson(JSON.stringify({ schema: "blindsight-policy/2", releases }));
  const { release, leftOpen, steps } = (await verified(good, { policy: open })).report;
  assert.deepEqual([release, leftOpen], [null, ["code", "function"]]);
  assert.equal(steps[6]?.result, "not asked");
});

test("policy and release end, for live documents now and for archived ones at their time", async () => {
  const at = (seconds: number): string => new Date(NOW.getTime() + 1000 * seconds).toISOString().replace(".000", "");
  const [now, next, later] = [at(0), at(1), at(2)];
  const policies: [forge.Members, forge.Members, string | null, string | null][] = [
    [{}, { expires: now }, null, "policy_expired"],
    [{ expires: now }, {}, null, "release_expired"],
    [{ expires: next }, { expires: later }, next, null],
    [{ expires: later }, { expires: next }, next, null],
    [{ expires: next }, {}, next, null],
  ];
  for (const [release, members, until, code] of policies) {
    const ending = await forge.policyFor(root, release, members);
    for (const judge of [() => verified(good, { policy: ending }), () => verifyArchived(good, ending)]) {
      if (code === null) assert.deepEqual((await judge()).until, until && new Date(until));
      else await refused(judge, code);
    }
  }
  const expired = await forge.policyFor(root, {}, { expires: now });
  // Before anything else, and without a step: nothing is wrong with the evidence.
  const error = await refused(() => verified(EMPTY, { policy: expired }), "policy_expired");
  assert.equal(error.step, undefined);
  const earlier = await forge.documentOf(attesting, { timestamp: NOW.getTime() - 1 });
  assert.deepEqual((await verifyArchived(earlier, expired)).until, NOW);
});

test("freshness", async () => {
  const later = (seconds: number): { now: Date } => ({ now: new Date(NOW.getTime() + 1000 * seconds) });
  await refused(() => verified(good, { nonce: new Uint8Array(32) }), "nonce_mismatch", 10);
  await refused(() => verified(good, { nonce: NONCE.slice(1) }), "nonce_mismatch", 10);
  await refused(async () => verified(await forge.documentOf(attesting, { nonce: null })), "nonce_missing", 10);
  await refused(async () => verified(await forge.documentOf(attesting, { nonce: EMPTY })), "nonce_missing", 10);
  await verified(good, later(300));
  await refused(() => verified(good, later(301)), "evidence_too_old", 10);
  await verified(good, later(-60));
  await refused(() => verified(good, later(-61)), "evidence_from_future", 10);
  await assert.rejects(() => verified(good, { nonce: new Uint8Array(15) }), RangeError);
  await verifyArchived(good, policy);
});

test("an age that is too much is said to be more than what is accepted", async () => {
  const after = (milliseconds: number) => verified(good, { now: new Date(NOW.getTime() + milliseconds) });
  await assert.rejects(() => after(300_400), { message: "The document is 301 s old; 300 s are accepted." });
  await assert.rejects(() => after(-60_400), { message: "The document was made 61 s in the future." });
});

test("keys and manifest are compared with the attested digests", async () => {
  const found = await verified(good);
  await checkKeyConfigs(found, utf8("keys"));
  await checkManifest(found, utf8("{}"));
  await refused(() => checkKeyConfigs(found, utf8("key")), "key_configs_mismatch", 11);
  await refused(() => checkManifest(found, utf8("{} ")), "model_mismatch", 11);
  await refused(() => checkManifest({ ...found, claims: null }, utf8("{}")), "claims_missing", 11);
});

test("no document with a bit turned is accepted, and nothing but a refusal comes of it", async () => {
  const next = chance(1);
  const random = Array.from({ length: 600 }, () => Math.floor(next() * 8 * good.length));
  const ends = Array.from({ length: 256 }, (_, index) => (index < 128 ? index : 8 * good.length - 1 - (index - 128)));
  for (const bit of [...random, ...ends]) {
    const error = await outcome(() => verified(flipped(good, bit)));
    assert.ok(error instanceof EvidenceError && error.step > 0, `bit ${bit}: ${String(error)}`);
  }
});

test("no document cut short or filled with garbage is accepted, either", async () => {
  const next = chance(2);
  for (let round = 0; round < 200; round++) {
    const cut = good.subarray(0, Math.floor(next() * good.length));
    const noise = Uint8Array.from({ length: 1 + Math.floor(next() * 200) }, () => Math.floor(next() * 256));
    for (const bytes of [cut, noise, concat(cut, noise)]) {
      const error = await outcome(() => verified(bytes));
      assert.ok(error instanceof EvidenceError && error.step > 0, String(error));
    }
  }
});
