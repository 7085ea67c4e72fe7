import assert from "node:assert/strict";
import { test } from "node:test";

import { base64, base64url, hex, utf8, type Bytes } from "../src/bytes.ts";
import { canonical } from "../src/canonical.ts";
import { parseJson, type JsonObject } from "../src/json.ts";
import { Policy } from "../src/policy.ts";
import { archive, checkReceipt, verify as verifyKept, type Attested, type Receipt } from "../src/receipts.ts";
import { verify } from "../src/verify.ts";
import { sha256 } from "../src/webcrypto.ts";
import { ANSWER, Enclave, MANIFEST, ReceiptKey } from "./enclave.ts";
import { NONCE, NOW } from "./forge.ts";
import { at, flipped, refused } from "./support.ts";

const IMAGE = utf8("a photograph");
const enclave = await Enclave.start();
const policy = Policy.fromJson(await enclave.policy());
const document = await enclave.document(NONCE);
const attested: Attested = {
  document,
  verified: await verify(document, { policy, nonce: NONCE, now: NOW }),
  manifest: MANIFEST,
};
const PAYLOAD = await enclave.receiptPayload(ANSWER, IMAGE, hex(await sha256(document)));
const GOOD = await enclave.receiptKey.sign(PAYLOAD);

async function check(
  receipt: string,
  { answer = ANSWER, image = IMAGE }: { answer?: JsonObject; image?: Bytes } = {},
): Promise<Receipt> {
  return await checkReceipt({ ...answer, receipt }, attested, image);
}

test("a receipt that holds says what the enclave signed", async () => {
  assert.deepEqual({ ...(await check(GOOD)) }, { ...PAYLOAD });
});

const OTHER = "1".repeat(64);
const PAYLOADS: [string, JsonObject, string][] = [
  ["other evidence", { evidence_sha256: OTHER }, "receipt_evidence_mismatch"],
  ["another function", { func_checksum: OTHER }, "receipt_function_mismatch"],
  ["another model", { model_sha256: OTHER }, "receipt_model_mismatch"],
  ["other weights", { weights_sha256: OTHER }, "receipt_model_mismatch"],
  ["another output", { output_sha256: OTHER }, "receipt_output_mismatch"],
  ["another input", { input_sha256: OTHER }, "receipt_input_mismatch"],
  ["61 seconds too early", { iat: NOW.getTime() / 1000 - 61 }, "receipt_time_implausible"],
  ["a second more than a day late", { iat: NOW.getTime() / 1000 + 86_401 }, "receipt_time_implausible"],
  ["another schema", { schema: "blindsight-receipt/2" }, "malformed_receipt"],
  ["a member more", { more: "" }, "malformed_receipt"],
  ["capitals", { input_sha256: "A".repeat(64) }, "malformed_receipt"],
  ["a time of text", { iat: "1" }, "malformed_receipt"],
  ["a time of zero", { iat: 0 }, "malformed_receipt"],
  ["a time with a fraction", { iat: 1.5 }, "malformed_receipt"],
];

for (const [what, changes, code] of PAYLOADS) {
  test(`refused: signed, with ${what}`, async () => {
    await refused(async () => check(await enclave.receiptKey.sign({ ...PAYLOAD, ...changes })), code);
  });
}

test("refused: signed, with each member left out", async () => {
  for (const name of Object.keys(PAYLOAD)) {
    const { [name]: _, ...others } = PAYLOAD;
    await refused(async () => check(await enclave.receiptKey.sign(others)), "malformed_receipt");
  }
});

test("times at their limits", async () => {
  for (const seconds of [-60, 86_400]) {
    await check(await enclave.receiptKey.sign({ ...PAYLOAD, iat: NOW.getTime() / 1000 + seconds }));
  }
});

test("another key, and one that is not on the curve", async () => {
  const other = await ReceiptKey.generate();
  await refused(async () => check(await other.sign(PAYLOAD)), "receipt_key_mismatch");
  const { jwk } = enclave.receiptKey;
  const jwks: JsonObject[] = [
    { ...jwk, x: base64url(new Uint8Array(32)) },
    { ...jwk, x: base64url(new Uint8Array(31)) },
    { ...jwk, x: 1 },
    { ...jwk, crv: "P-384" },
    { ...jwk, alg: "ES256" },
  ];
  for (const each of jwks) {
    const header = { alg: "ES256", jwk: each, typ: "blindsight-receipt+jws" };
    await refused(async () => check(await enclave.receiptKey.sign(PAYLOAD, header)), "malformed_receipt");
  }
});

test("headers", async () => {
  const { jwk } = enclave.receiptKey;
  const header = { alg: "ES256", jwk, typ: "blindsight-receipt+jws" };
  for (const changes of [{ alg: "none" }, { alg: "HS256" }, { typ: "JWT" }, { kid: "" }, { crit: [] }]) {
    const changed: JsonObject = { ...header, ...changes };
    await refused(async () => check(await enclave.receiptKey.sign(PAYLOAD, changed)), "malformed_receipt");
  }
  for (const name of Object.keys(header)) {
    const { [name]: _, ...others } = header as JsonObject;
    await refused(async () => check(await enclave.receiptKey.sign(PAYLOAD, others)), "malformed_receipt");
  }
});

test("every bit of the signature counts, and every byte of what is signed", async () => {
  const [header, payload, signature] = GOOD.split(".");
  const raw = Uint8Array.from(atob(signature?.replaceAll("-", "+").replaceAll("_", "/") ?? ""), (character) =>
    character.charCodeAt(0),
  );
  for (let bit = 0; bit < 8 * raw.length; bit++) {
    await refused(() => check(`${header}.${payload}.${base64url(flipped(raw, bit))}`), "receipt_signature_invalid");
  }
  const changed = base64url(canonical({ ...PAYLOAD, iat: NOW.getTime() / 1000 + 1 }));
  await refused(() => check(`${header}.${changed}.${signature}`), "receipt_signature_invalid");
});

test("texts that are no compact JWS", async () => {
  const [header, payload, signature] = GOOD.split(".");
  const texts = [
    "",
    "..",
    `${header}.${payload}`,
    `${GOOD}.`,
    `${GOOD}=`,
    `${GOOD} `,
    ` ${GOOD}`,
    `${header}.${payload}.${signature?.slice(0, -2)}`,
    `${base64url(utf8("[]"))}.${payload}.${signature}`,
    `${header}.${base64url(utf8('{"iat":1,"iat":1}'))}.${signature}`,
    `${header}.${base64url(Uint8Array.of(0xff))}.${signature}`,
  ];
  for (const text of texts) await refused(() => check(text), "malformed_receipt");
  await refused(() => checkReceipt(ANSWER, attested, IMAGE), "malformed_receipt");
  await refused(() => checkReceipt({ ...ANSWER, receipt: 1 }, attested, IMAGE), "malformed_receipt");
});

test("a second spelling of the signature is refused", async () => {
  // 64 bytes leave four unused bits in the last of 86 characters.
  const last = at(GOOD, GOOD.length - 1);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const spelt = GOOD.slice(0, -1) + at(alphabet, alphabet.indexOf(last) ^ 1);
  await refused(() => check(spelt), "malformed_receipt");
});

test("answers that are not the signed one", async () => {
  const first = at(ANSWER["predictions"] as JsonObject[], 0);
  const answers: JsonObject[] = [
    { ...ANSWER, predictions: [{ ...first, label: "cat" }] },
    { ...ANSWER, predictions: [{ ...first, score: 0.8124 }] },
    { ...ANSWER, predictions: [] },
    { ...ANSWER, image: null },
    { ...ANSWER, model: {} },
  ];
  for (const answer of answers) await refused(() => check(GOOD, { answer }), "receipt_output_mismatch");
  const { image: _, ...without } = ANSWER;
  await refused(() => check(GOOD, { answer: without }), "malformed_receipt");
  await check(GOOD, { answer: { ...ANSWER, timings_ms: {} } });
});

test("another image", async () => {
  await refused(() => check(GOOD, { image: utf8("another photograph") }), "receipt_input_mismatch");
  await checkReceipt({ ...ANSWER, receipt: GOOD }, attested, null);
});

test("an archive is verified offline, and whatever is changed in it is noticed", async () => {
  const text = archive({ ...ANSWER, receipt: GOOD }, attested);
  const kept = parseJson(text) as JsonObject;
  const verified = await verifyKept(text, { policy, image: IMAGE });
  assert.equal(verified.receipt.iat, NOW.getTime() / 1000);
  assert.equal(verified.report.steps.length, 10);
  assert.equal(verified.imageChecked, true);
  assert.equal((await verifyKept(text, { policy })).imageChecked, false);
  for (const other of ["", "[]", text.slice(0, -3), text.replace("{", `{"image": null,`)]) {
    await refused(() => verifyKept(other, { policy }), "malformed_receipt");
  }
  const evidence = kept["evidence"] as JsonObject;
  const cases: [JsonObject, string][] = [
    [{ evidence: null }, "malformed_receipt"],
    [{ evidence: { ...evidence, document: "?" } }, "malformed_receipt"],
    [{ evidence: { document: evidence["document"] ?? "" } }, "malformed_receipt"],
    [{ evidence: { ...evidence, model: { ...MANIFEST, name: "\ud800" } } }, "malformed_receipt"],
    [{ evidence: { ...evidence, model: { ...MANIFEST, name: "other" } } }, "model_mismatch"],
    [{ evidence: { ...evidence, document: base64(flipped(document, 8 * document.length - 1)) } }, "invalid_signature"],
    [{ evidence: { ...evidence, document: base64(await enclave.document(NONCE)) } }, "receipt_evidence_mismatch"],
    [{ receipt: null }, "malformed_receipt"],
  ];
  for (const [changes, code] of cases) {
    await refused(() => verifyKept(JSON.stringify({ ...kept, ...changes }), { policy, image: IMAGE }), code);
  }
  await refused(() => verifyKept(text, { policy, image: utf8("another") }), "receipt_input_mismatch");
});
