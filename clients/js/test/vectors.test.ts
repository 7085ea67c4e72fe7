/** The vectors that Python and TypeScript share: tests/vectors/, made by the Python side. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { decodeResponse, encodeRequest } from "../src/bhttp.ts";
import { equal, hex } from "../src/bytes.ts";
import { parseJson, type JsonObject } from "../src/json.ts";
import { aeadOf, decodeList, type KeyConfig } from "../src/keyconfig.ts";
import { encapsulate, ResponseOpener } from "../src/ohttp.ts";
import { padded } from "../src/padding.ts";
import { Policy } from "../src/policy.ts";
import { verify as verifyKept } from "../src/receipts.ts";
import { decapsulate, sealResponse, type Key } from "./enclave.ts";
import { jsonText, refused, unbase64, unhex } from "./support.ts";

interface Failure {
  error: string;
  step?: number;
}

/** The cases of one file, as the library's own parser reads them. */
function cases<Case>(name: string): (Case & { name: string })[] {
  const text = readFileSync(join(process.cwd(), "..", "..", "tests", "vectors", `${name}.json`), "utf8");
  const { cases: found } = parseJson(text) as unknown as { cases: (Case & { name: string })[] };
  assert.ok(found.length > 0);
  return found;
}

interface RequestCase {
  key_configs: string;
  private_keys: Record<string, string>;
  inner: string;
  request: { method: string; path: string; fields: [string, string][]; content: string };
  sealed: string;
  expect: "opens" | Failure;
}

/** Keys as the enclave has them, with all three ciphers: more than the library itself knows. */
function keysOf(configs: KeyConfig[], { private_keys: secrets }: RequestCase): Key[] {
  return configs.map(({ keyId, kem, publicKey }) => {
    const privateKey = unhex(secrets[String(keyId)] ?? assert.fail("no private key"));
    return { keyId, kem, publicKey, privateKey, aeadIds: [1, 2, 3] };
  });
}

for (const each of cases<RequestCase>("request")) {
  test(`request: ${each.name}`, async () => {
    const configs = decodeList(unbase64(each.key_configs));
    const keys = keysOf(configs, each);
    const open = (): ReturnType<typeof decapsulate> => decapsulate(keys, unbase64(each.sealed));
    if (each.expect !== "opens") return void (await refused(open, each.expect.error));
    const inner = unbase64(each.inner);
    const request = { ...each.request, content: unbase64(each.request.content) };
    assert.ok(equal(padded(encodeRequest(request)), inner));
    assert.ok(equal((await open()).inner, inner));
    for (const config of configs) {
      const { sealed, opener } = await encapsulate(config, inner);
      const opened = await decapsulate(keys, sealed);
      assert.ok(equal(opened.inner, inner));
      assert.ok(equal(await opener.open(await opened.seal(inner)), inner));
    }
  });
}

interface ResponseCase {
  suite: { kem_id: number; kdf_id: number; aead_id: number };
  secret: string;
  enc: string;
  sealed: string;
  expect: Failure | { status: number; fields: [string, string][]; content: string };
}

for (const each of cases<ResponseCase>("response")) {
  test(`response: ${each.name}`, async () => {
    const aead = aeadOf(each.suite.kdf_id, each.suite.aead_id);
    // WebCrypto has no ChaCha20-Poly1305, so nothing that is sealed here can be answered with it.
    if (!aead) return assert.equal(each.suite.aead_id, 3);
    const [enc, secret] = [unhex(each.enc), unhex(each.secret)];
    const opener = new ResponseOpener(aead, enc, secret);
    const open = async (): Promise<ReturnType<typeof decodeResponse>> =>
      decodeResponse(await opener.open(unbase64(each.sealed)));
    if ("error" in each.expect) return void (await refused(open, each.expect.error));
    const { status, fields, content } = await open();
    assert.equal(status, each.expect.status);
    assert.deepEqual(fields, each.expect.fields);
    assert.equal(hex(content), hex(unbase64(each.expect.content)));
    const resealed = await sealResponse(aead, enc, secret, content, new Uint8Array(secret.length));
    assert.equal(hex(await opener.open(resealed)), hex(content));
  });
}

interface ReceiptCase {
  answer: JsonObject;
  policy: JsonObject;
  image: string | null;
  expect: Failure | { iat: number };
}

for (const each of cases<ReceiptCase>("receipt")) {
  test(`receipt: ${each.name}`, async () => {
    const policy = Policy.fromJson(JSON.stringify(each.policy));
    const image = each.image === null ? null : unbase64(each.image);
    const verify = (): ReturnType<typeof verifyKept> => verifyKept(jsonText(each.answer), { policy, image });
    if ("error" in each.expect) return void (await refused(verify, each.expect.error));
    assert.equal((await verify()).receipt.iat, each.expect.iat);
  });
}
