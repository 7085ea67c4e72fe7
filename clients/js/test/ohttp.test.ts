/** Oblivious HTTP against RFC 9458, appendix A, and against damage; key configurations. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { DhkemX25519HkdfSha256 } from "@hpke/core";

import { concat, equal, hex, uint, utf8, type Bytes } from "../src/bytes.ts";
import {
  decodeList,
  MLKEM768_X25519,
  preferred,
  X25519_HKDF_SHA256,
  type KeyConfig,
} from "../src/keyconfig.ts";
import { encapsulate, ResponseOpener, responseKeys } from "../src/ohttp.ts";
import { decapsulate, encodeConfig, encodeList, newKey, type Key } from "./enclave.ts";
import { at, flipped, refused, unhex } from "./support.ts";

// RFC 9458, appendix A.
const SK_R = unhex("3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a");
const CONFIG = unhex("01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003");
const REQUEST = unhex("00034745540568747470730b6578616d706c652e636f6d012f");
const SK_E = unhex("bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73");
const ENC = "4b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472";
const SEALED = `01002000010001${ENC}6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525`;
const RESPONSE = unhex("0140c8");
const SECRET = unhex("62d87a6ba569ee81014c2641f52bea36");
const RESPONSE_NONCE = unhex("c789e7151fcba46158ca84b04464910d");
const AEAD_NONCE = "f6bf1aeb88d6df87007fa263";
const SEALED_RESPONSE = unhex("c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd");

const AES128 = { id: 1, keyBytes: 16 } as const;
const list = (...encoded: Bytes[]): Bytes => concat(...encoded.flatMap((each) => [uint(each.length, 2), each]));
const only = (encoded: Bytes): KeyConfig => at(decodeList(list(encoded)), 0);

async function rfcKey(): Promise<Key> {
  const { keyId, kem, publicKey } = only(CONFIG);
  return { keyId, kem, publicKey, privateKey: SK_R, aeadIds: [1, 3] };
}

/** The key pair of a raw private key. */
async function pairOf(raw: Bytes): Promise<CryptoKeyPair> {
  const privateKey = await new DhkemX25519HkdfSha256().deserializePrivateKey(raw);
  const { d: _, key_ops: __, ...jwk } = await crypto.subtle.exportKey("jwk", privateKey);
  return { privateKey, publicKey: await crypto.subtle.importKey("jwk", jwk, "X25519", true, []) };
}

test("appendix A: the request", async () => {
  const { sealed, opener } = await encapsulate(only(CONFIG), REQUEST, { ephemeral: await pairOf(SK_E) });
  assert.equal(hex(sealed), SEALED);
  assert.equal(hex(await opener.open(SEALED_RESPONSE)), hex(RESPONSE));
  const opened = await decapsulate([await rfcKey()], unhex(SEALED));
  assert.equal(hex(opened.inner), hex(REQUEST));
  assert.equal(hex(await opened.seal(RESPONSE, RESPONSE_NONCE)), hex(SEALED_RESPONSE));
});

test("appendix A: the response's keys", async () => {
  const opener = new ResponseOpener(AES128, unhex(ENC), SECRET);
  assert.equal(hex(await opener.open(SEALED_RESPONSE)), hex(RESPONSE));
  assert.equal(hex((await responseKeys(AES128, unhex(ENC), SECRET, RESPONSE_NONCE)).nonce), AEAD_NONCE);
});

test("round trips with every KEM and cipher, of its lengths", async () => {
  for (const kem of [MLKEM768_X25519, X25519_HKDF_SHA256]) {
    for (const [aeadId, nonceBytes] of [
      [1, 16],
      [2, 32],
    ] as const) {
      const key = await newKey(7, kem, [aeadId]);
      const message = utf8("question");
      const { sealed, opener } = await encapsulate(only(encodeConfig(key)), message);
      assert.equal(sealed.length, 7 + kem.encBytes + message.length + 16);
      const opened = await decapsulate([key], sealed);
      assert.ok(equal(opened.inner, message));
      const answer = await opened.seal(utf8("answer"));
      assert.equal(answer.length, nonceBytes + 6 + 16);
      assert.deepEqual(await opener.open(answer), utf8("answer"));
    }
  }
});

test("no damaged answer opens, nor one to another request", async () => {
  const key = await newKey(7, MLKEM768_X25519);
  const config = only(encodeConfig(key));
  const { sealed, opener } = await encapsulate(config, utf8("q"));
  const answer = await (await decapsulate([key], sealed)).seal(utf8("answer"));
  for (let bit = 0; bit < 8 * answer.length; bit += 3) {
    await refused(() => opener.open(flipped(answer, bit)), "cannot_open");
  }
  for (const length of [0, 1, 31, 32, 33, answer.length - 1]) {
    await refused(() => opener.open(answer.subarray(0, length)), "cannot_open");
  }
  const other = await encapsulate(config, utf8("q"));
  await refused(() => other.opener.open(answer), "cannot_open");
});

test("what is sealed is different each time, and shows nothing in print", async () => {
  const config = only(encodeConfig(await newKey(7, MLKEM768_X25519)));
  const [one, other] = [await encapsulate(config, utf8("q")), await encapsulate(config, utf8("q"))];
  assert.ok(!equal(one.sealed.subarray(7), other.sealed.subarray(7)));
  assert.equal(JSON.stringify(one.opener), "{}");
});

test("public keys that are none", async () => {
  const zeros: KeyConfig = { keyId: 1, kem: X25519_HKDF_SHA256, publicKey: new Uint8Array(32), aeads: [AES128] };
  await refused(() => encapsulate(zeros, utf8("q")), "cannot_open");
  // 0xfff is beyond ML-KEM's modulus (FIPS 203, section 7.2).
  const beyond: KeyConfig = {
    keyId: 1,
    kem: MLKEM768_X25519,
    publicKey: new Uint8Array(1216).fill(0xff),
    aeads: [AES128],
  };
  await refused(() => encapsulate(beyond, utf8("q")), "cannot_open");
});

test("a browser without X25519 is told so, and nothing weaker is done", async (context) => {
  const key = await newKey(7, X25519_HKDF_SHA256);
  context.mock.method(crypto.subtle, "generateKey", () => Promise.reject(new DOMException("no", "NotSupportedError")));
  await refused(() => encapsulate(only(encodeConfig(key)), utf8("q")), "unsupported_platform");
  const hybrid = await newKey(8, MLKEM768_X25519);
  const { sealed } = await encapsulate(only(encodeConfig(hybrid)), utf8("q"));
  assert.deepEqual((await decapsulate([hybrid], sealed)).inner, utf8("q"));
});

test("lists: order, unknown KEMs and ciphers, and the better KEM first", async () => {
  const [hybrid, classical] = [await newKey(1, MLKEM768_X25519), await newKey(2, X25519_HKDF_SHA256)];
  const unknown = concat(Uint8Array.of(3), uint(0x0010, 2), new Uint8Array(80));
  const chacha = encodeConfig({ ...hybrid, keyId: 4, aeadIds: [3] });
  const configs = decodeList(list(unknown, encodeConfig(classical), chacha, encodeConfig(hybrid)));
  assert.deepEqual(
    configs.map(({ keyId }) => keyId),
    [2, 1],
  );
  assert.deepEqual(
    configs.map(({ aeads }) => aeads.map(({ id }) => id)),
    [
      [1, 2],
      [2, 1],
    ],
  );
  assert.equal(preferred(configs)?.keyId, 1);
  assert.equal(preferred(decodeList(encodeList([classical])))?.kem.name, "X25519");
  assert.equal(preferred(decodeList(list(unknown, chacha))), undefined);
});

test("malformed lists are refused as a whole", async () => {
  const good = encodeConfig(await newKey(2, X25519_HKDF_SHA256));
  const cases = [
    list(good).subarray(0, -1),
    concat(list(good), Uint8Array.of(0)),
    list(good, new Uint8Array()),
    list(good, good.subarray(0, 2)),
    list(good, good.subarray(0, 36)),
    list(good, good.subarray(0, -1)),
    list(good, concat(good, Uint8Array.of(0))),
    list(concat(good.subarray(0, 35), uint(0, 2))),
    list(concat(good.subarray(0, 35), uint(2, 2), uint(1, 2))),
  ];
  for (const each of cases) await refused(() => decodeList(each), "malformed_message");
  assert.deepEqual(decodeList(new Uint8Array()), []);
});
