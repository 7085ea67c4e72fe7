import assert from "node:assert/strict";
import { test } from "node:test";

import { concat, utf8, type Bytes } from "../src/bytes.ts";
import * as chains from "../src/chain.ts";
import {
  chainOf,
  extension,
  integer,
  newRoot,
  NOW,
  party,
  tlv,
  type Attesting,
  type Party,
  type PartyOptions,
} from "./forge.ts";
import { at, flipped, outcome, refused, unhex } from "./support.ts";
import { BlindsightError } from "../src/errors.ts";

const STEP = 4;

const root = await newRoot();
const good = await chainOf(root);

async function verify({ root, intermediates, leaf }: Attesting, moment = NOW): Promise<CryptoKey> {
  const bundle: [Party, ...Party[]] = [root, ...intermediates];
  const [first, ...others] = bundle.map(({ der }) => der);
  assert.ok(first);
  return await chains.verify(chains.parse([first, ...others], leaf.der, 3), moment, STEP);
}

/** A good chain in which one intermediate (0 to 2) or the leaf is made with other options. */
async function with_(place: number | "leaf", options: PartyOptions): Promise<Attesting> {
  if (place === "leaf") return await chainOf(root, options);
  const changed: PartyOptions[] = [];
  changed[place] = options;
  return await chainOf(root, {}, changed);
}

test("a good chain gives the leaf's key, and shorter ones do, too", async () => {
  const key = await verify(good);
  const exported = await crypto.subtle.exportKey("raw", good.leaf.pair.publicKey);
  assert.equal(key.type, "public");
  assert.equal(exported.byteLength, 97);
  await verify({ root, intermediates: [], leaf: await party(root, "leaf", { ca: false }) });
});

test("serial numbers and signatures whose first bytes are zero are read", async () => {
  // One in 128 coordinates begins with a zero byte or needs one more: enough certificates have some of each.
  for (let round = 0; round < 40; round++) {
    await verify({ root, intermediates: [], leaf: await party(root, `leaf ${round}`, { ca: false }) });
  }
});

test("times: each certificate, the root included, at both ends", async () => {
  const before = new Date(NOW.getTime() - 3600_000);
  const after = new Date(NOW.getTime() + 3600_000);
  for (const place of [0, 1, 2, "leaf"] as const) {
    await refused(
      async () => verify(await with_(place, { end: before, start: new Date(0) })),
      "certificate_expired",
      STEP,
    );
    await refused(async () => verify(await with_(place, { start: after })), "certificate_not_yet_valid", STEP);
  }
  const ended = await newRoot("old.root", { start: new Date(0), end: before });
  await refused(async () => verify(await chainOf(ended)), "certificate_expired", STEP);
  const last = await with_("leaf", { end: NOW });
  await verify(last);
  await refused(() => verify(last, new Date(NOW.getTime() + 1)), "certificate_expired", STEP);
  const first = await with_("leaf", { start: NOW });
  await verify(first);
  await refused(() => verify(first, new Date(NOW.getTime() - 1)), "certificate_not_yet_valid", STEP);
});

test("only P-384 with SHA-384", async () => {
  for (const place of [1, "leaf"] as const) {
    await refused(async () => verify(await with_(place, { curve: "P-256" })), "certificate_algorithm", STEP);
    await refused(async () => verify(await with_(place, { hash: "SHA-256" })), "certificate_algorithm", STEP);
  }
});

test("a signature algorithm inside that differs from the one outside", async () => {
  const inner = tlv(0x30, tlv(0x06, unhex("2a8648ce3d040302")));
  await refused(async () => verify(await with_(1, { innerAlgorithm: inner })), "invalid_chain", STEP);
});

const BROKEN: [string, number | "leaf", PartyOptions][] = [
  ["an issuer that is not a CA", 1, { ca: false, usage: 0x04, usageCritical: true }],
  ["an issuer that may not sign certificates", 1, { usage: 0x80 }],
  ["an issuer without key usage", 1, { usage: false }],
  ["an issuer whose key usage is not critical", 1, { usageCritical: false }],
  ["an issuer whose constraints are not critical", 1, { constraintsCritical: false }],
  ["a path that is too long", 0, { pathLength: 1 }],
  ["a leaf that is a CA", "leaf", { ca: true, usage: 0x84 }],
  ["a leaf that may not sign", "leaf", { usage: 0x04 }],
  ["a leaf without key usage", "leaf", { usage: false }],
  ["a leaf whose constraints are not critical", "leaf", { constraintsCritical: false }],
  [
    "a leaf with alternative names",
    "leaf",
    { extras: [extension("551d11", false, tlv(0x30, tlv(0x82, utf8("a.example"))))] },
  ],
  ["an unknown critical extension", 1, { extras: [extension("2a0304", true, tlv(0x05))] }],
  ["constraints twice", 1, { extras: [extension("551d13", true, tlv(0x30))] }],
  ["an issuer of another name", 1, { issuerName: "another authority" }],
  ["a serial number that is negative", 1, { serial: tlv(0x02, Uint8Array.of(0x80)) }],
  ["a serial number that is too long", 1, { serial: tlv(0x02, new Uint8Array(22).fill(1)) }],
  ["four digits of a year before 2050", 1, { encodedEnd: tlv(0x18, utf8("20300101000000Z")) }],
  ["a certificate of version 1", 1, { version: new Uint8Array() }],
];

for (const [what, place, options] of BROKEN) {
  test(`refused: ${what}`, async () => {
    await refused(async () => verify(await with_(place, options)), "invalid_chain", STEP);
  });
}

test("accepted: a non-critical unknown extension, and a leaf whose key usage is critical", async () => {
  await verify(await with_(1, { extras: [extension("2a0304", false, tlv(0x05))] }));
  await verify(await with_("leaf", { usageCritical: true }));
});

test("more intermediates than genuine chains have", async () => {
  let issuer = root;
  const intermediates: Party[] = [];
  for (let index = 0; index < chains.MAX_INTERMEDIATES + 1; index++) {
    issuer = await party(issuer, `ca ${index}`);
    intermediates.push(issuer);
  }
  const leaf = await party(issuer, "leaf", { ca: false });
  await refused(() => verify({ root, intermediates, leaf }), "invalid_chain", STEP);
});

test("an issuer that has the right name and another key", async () => {
  const impostor = await party(root, "instance", { pathLength: 0 });
  const [regional, zonal] = good.intermediates;
  assert.ok(regional && zonal);
  await refused(() => verify({ ...good, intermediates: [regional, zonal, impostor] }), "invalid_chain", STEP);
  await refused(() => verify({ ...good, root: at([impostor], 0) }), "invalid_chain", STEP);
});

test("the bundle's order is the chain's, and nothing else is in it", async () => {
  const [regional, zonal, instance] = good.intermediates;
  assert.ok(regional && zonal && instance);
  await refused(() => verify({ ...good, intermediates: [zonal, regional, instance] }), "chain_order", STEP);
  const spare = await party(root, "spare");
  await refused(() => verify({ ...good, intermediates: [...good.intermediates, spare] }), "chain_order", STEP);
  await refused(() => verify({ ...good, intermediates: [regional, zonal] }), "invalid_chain", STEP);
});

test("a bundle that is made to be searched for long", async () => {
  const pair = root.pair;
  const same = await Promise.all(Array.from({ length: 24 }, () => party(root, "test.root", { pair })));
  const leaf = await party(root, "leaf", { ca: false, pair: good.leaf.pair });
  const error = await outcome(() => verify({ root, intermediates: same, leaf }));
  assert.ok(error instanceof BlindsightError && ["invalid_chain", "chain_order"].includes(error.code));
});

test("thirty-two signatures are checked for a document, and no more", async () => {
  // Certificates with the name of the leaf's issuer, and other keys: one check each. One more for the issuer itself,
  // which comes last, and one for its own signature.
  const decoy = await party(root, "issuer");
  const issuer = await party(root, "issuer");
  const leaf = await party(issuer, "leaf", { ca: false });
  const searched = (decoys: number): Promise<CryptoKey> =>
    verify({ root, intermediates: [...new Array<Party>(decoys).fill(decoy), issuer], leaf });
  await verify({ root, intermediates: [issuer], leaf });
  await refused(() => searched(30), "chain_order", STEP);
  await refused(() => searched(31), "invalid_chain", STEP);
});

test("a serial number of 20 bytes with a zero before it", async () => {
  await verify(await with_(1, { serial: integer(new Uint8Array(20).fill(0xff)) }));
});

test("a programmer's mistake is not taken for a bad certificate", async () => {
  const missing = null as unknown as Bytes;
  assert.throws(() => chains.parse([root.der], missing, 3), TypeError);
  const leaf = await party(root, "leaf", { ca: false });
  const chain = chains.parse([root.der], leaf.der, 3);
  const [first, last] = [at(chain.certificates, 0), at(chain.certificates, 1)];
  const extensions = new Map(last.extensions).set("551d13", { critical: true, value: missing });
  for (const broken of [{ ...last, signature: missing }, { ...last, extensions }]) {
    await assert.rejects(chains.verify({ ...chain, certificates: [first, broken] }, NOW, STEP), TypeError);
  }
});

test("a root that calls itself simulated is noticed", async () => {
  const simulated = await newRoot("blindsight.simulated");
  assert.ok(chains.parse([simulated.der], good.leaf.der, 3).callsItselfSimulated);
  assert.ok(!chains.parse([root.der], good.leaf.der, 3).callsItselfSimulated);
});

test("no damaged certificate is accepted, and nothing but a refusal comes of it", async () => {
  const { der } = good.leaf;
  let parsed = 0;
  for (let bit = 0; bit < 8 * der.length; bit += 3) {
    const damaged = { ...good, leaf: { ...good.leaf, der: flipped(der, bit) } };
    const error = await outcome(() => verify(damaged));
    assert.ok(error instanceof BlindsightError, `bit ${bit}: ${String(error)}`);
    if (error.code !== "malformed_certificate") parsed++;
  }
  assert.ok(parsed > 0);
});

test("what is not a certificate at all", async () => {
  const { der } = good.leaf;
  const outer = der.subarray(4);
  const cases = [
    new Uint8Array(1),
    der.subarray(0, -1),
    concat(der, Uint8Array.of(0)),
    concat(Uint8Array.of(0x30, 0x80), outer, Uint8Array.of(0, 0)),
    concat(Uint8Array.of(0x30, 0x83, 0), der.subarray(2)),
    tlv(0x30, integer(Uint8Array.of(1))),
    (await party(good.root, "x", { version: tlv(0xa0, integer(Uint8Array.of(1))) })).der,
  ];
  for (const each of cases) await refused(() => chains.parse([root.der], each, 3), "malformed_certificate", 3);
});
