/**
 * The hybrid suite against the HPKE working group's own vectors (github.com/hpkewg/hpke-pq, draft-ietf-hpke-pq).
 *
 * Two of their 13 entries are of our KEM; the KDF of one is SHAKE256, which is not here, so its KEM alone is checked. The
 * page never derives a key pair from keying material, in which the library follows an older draft.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";

import { hex, type Bytes } from "../src/bytes.ts";
import { KDF_HKDF_SHA256, MLKEM768_X25519 } from "../src/keyconfig.ts";
import { at, unhex } from "./support.ts";

interface Vector {
  kem_id: number;
  kdf_id: number;
  aead_id: number;
  info: string;
  ikmE: string;
  skRm: string;
  pkRm: string;
  enc: string;
  shared_secret: string;
  encryptions: { aad: string; pt: string; ct: string }[];
  exports: { exporter_context: string; L: number; exported_value: string }[];
}

const file = join(process.env["BLINDSIGHT_ASSETS"] ?? "", "vectors", "hpke-pq", "test-vectors.json");
const skip =
  process.env["BLINDSIGHT_ASSETS"] && existsSync(file)
    ? false
    : "BLINDSIGHT_ASSETS names no folder with vectors/hpke-pq";

function vectors(): Vector[] {
  const all = JSON.parse(readFileSync(file, "utf8")) as Vector[];
  return all.filter((vector) => vector.kem_id === MLKEM768_X25519.id);
}

function offered(): Vector {
  const found = vectors().filter((vector) => vector.kdf_id === KDF_HKDF_SHA256);
  assert.deepEqual(
    found.map((vector) => vector.aead_id),
    [3],
  );
  return at(found, 0);
}

const bytes = (buffer: ArrayBufferLike): Bytes => new Uint8Array(buffer.slice(0) as ArrayBuffer);
const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() });

test("hpke-pq: encapsulation from their randomness, and decapsulation", { skip }, async () => {
  assert.equal(vectors().length, 2);
  for (const vector of vectors()) {
    const kem = new XWing();
    const recipientPublicKey = await kem.deserializePublicKey(unhex(vector.pkRm));
    const { enc, sharedSecret } = await kem.encap({ recipientPublicKey, ekm: unhex(vector.ikmE) });
    assert.equal(hex(bytes(enc)), vector.enc);
    assert.equal(hex(bytes(sharedSecret)), vector.shared_secret);
    const recipientKey = await kem.deserializePrivateKey(unhex(vector.skRm));
    assert.equal(hex(bytes(await kem.decap({ recipientKey, enc: unhex(vector.enc) }))), vector.shared_secret);
  }
});

test("hpke-pq: sealing, opening and the exporter", { skip }, async () => {
  const vector = offered();
  const info = unhex(vector.info);
  const sender = await suite.createSenderContext({
    recipientPublicKey: await suite.kem.deserializePublicKey(unhex(vector.pkRm)),
    info,
    ekm: unhex(vector.ikmE),
  });
  const recipient = await suite.createRecipientContext({
    recipientKey: await suite.kem.deserializePrivateKey(unhex(vector.skRm)),
    enc: unhex(vector.enc),
    info,
  });
  for (const { aad, pt, ct } of vector.encryptions) {
    assert.equal(hex(bytes(await sender.seal(unhex(pt), unhex(aad)))), ct);
    assert.equal(hex(bytes(await recipient.open(unhex(ct), unhex(aad)))), pt);
  }
  for (const { exporter_context, L, exported_value } of vector.exports) {
    for (const context of [sender, recipient])
      assert.equal(hex(bytes(await context.export(unhex(exporter_context), L))), exported_value);
  }
});
