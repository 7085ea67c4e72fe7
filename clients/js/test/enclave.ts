/** The recipient's side of the sealed lane, and an enclave with a gateway before it, for tests only. */

import assert from "node:assert/strict";

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import {
  Aes128Gcm,
  Aes256Gcm,
  CipherSuite,
  DhkemX25519HkdfSha256,
  HkdfSha256,
  type RecipientContext,
} from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";

import { varint } from "../src/bhttp.ts";
import { base64, base64url, concat, hex, toUint, uint, utf8, type Bytes } from "../src/bytes.ts";
import { canonical } from "../src/canonical.ts";
import type { Claims } from "../src/claims.ts";
import { refusal } from "../src/errors.ts";
import type { Json, JsonObject } from "../src/json.ts";
import {
  KDF_HKDF_SHA256,
  MLKEM768_X25519,
  X25519_HKDF_SHA256,
  type Aead,
  type Kem,
} from "../src/keyconfig.ts";
import { requestInfo, RESPONSE_LABEL, responseKeys, responseNonceBytes } from "../src/ohttp.ts";
import { sha256 } from "../src/webcrypto.ts";
import * as forge from "./forge.ts";
import { at } from "./support.ts";

/** A private key (X25519's 32 bytes, or the hybrid's seed) and what is published for it. */
export interface Key {
  readonly keyId: number;
  readonly kem: Kem;
  readonly publicKey: Bytes;
  readonly privateKey: Bytes;
  readonly aeadIds: readonly number[];
}

const AEADS = new Map([
  [1, { suite: () => new Aes128Gcm(), keyBytes: 16 }],
  [2, { suite: () => new Aes256Gcm(), keyBytes: 32 }],
  [3, { suite: () => new Chacha20Poly1305(), keyBytes: 32 }],
] as const);

function kemOf(kem: Kem): XWing | DhkemX25519HkdfSha256 {
  return kem === MLKEM768_X25519 ? new XWing() : new DhkemX25519HkdfSha256();
}

export async function newKey(
  keyId: number,
  kem: Kem,
  aeadIds = kem === MLKEM768_X25519 ? [2, 3, 1] : [1, 2, 3],
): Promise<Key> {
  const api = kemOf(kem);
  const pair = await api.generateKeyPair();
  return {
    keyId,
    kem,
    publicKey: new Uint8Array(await api.serializePublicKey(pair.publicKey)),
    privateKey: new Uint8Array(await api.serializePrivateKey(pair.privateKey)),
    aeadIds,
  };
}

export function encodeConfig({ keyId, kem, publicKey, aeadIds }: Key): Bytes {
  const suites = aeadIds.map((id) => concat(uint(KDF_HKDF_SHA256, 2), uint(id, 2)));
  return concat(uint(keyId, 1), uint(kem.id, 2), publicKey, uint(4 * suites.length, 2), ...suites);
}

export function encodeList(keys: readonly Key[]): Bytes {
  return concat(...keys.map(encodeConfig).flatMap((encoded) => [uint(encoded.length, 2), encoded]));
}

/** An opened request, and what seals its answer. */
export interface Opened {
  readonly inner: Bytes;
  seal(response: Bytes, nonce?: Bytes): Promise<Bytes>;
}

/** What the enclave does with a `message/ohttp-req`; refuses it as blindsight/sealing/ohttp.py does. */
export async function decapsulate(keys: readonly Key[], sealed: Bytes): Promise<Opened> {
  if (sealed.length < 7 + 32 + 16) throw refusal("malformed_message", "cut short");
  const [keyId, kemId, kdfId, aeadId] = [
    sealed.subarray(0, 1),
    sealed.subarray(1, 3),
    sealed.subarray(3, 5),
    sealed.subarray(5, 7),
  ].map(toUint);
  const key = keys.find((each) => each.keyId === keyId && each.kem.id === kemId && each.aeadIds.includes(aeadId ?? 0));
  const aead = AEADS.get(aeadId as 1 | 2 | 3);
  if (!key || !aead || kdfId !== KDF_HKDF_SHA256) throw refusal("unknown_key", "not offered");
  const end = 7 + key.kem.encBytes;
  if (sealed.length < end + 16) throw refusal("malformed_message", "cut short");
  const enc = sealed.slice(7, end);
  const suite = new CipherSuite({ kem: kemOf(key.kem), kdf: new HkdfSha256(), aead: aead.suite() });
  let context: RecipientContext;
  let inner: Bytes;
  try {
    const recipientKey = await suite.kem.deserializePrivateKey(key.privateKey);
    context = await suite.createRecipientContext({ recipientKey, enc, info: requestInfo(sealed.subarray(0, 7)) });
    inner = new Uint8Array(await context.open(sealed.subarray(end)));
  } catch {
    throw refusal("cannot_open", "does not open");
  }
  return {
    inner,
    async seal(response, nonce) {
      assert.notEqual(aeadId, 3, "WebCrypto has no ChaCha20-Poly1305");
      const known: Aead = { id: aeadId ?? 0, keyBytes: aead.keyBytes };
      const length = responseNonceBytes(known);
      const secret = new Uint8Array(await context.export(RESPONSE_LABEL, length));
      return await sealResponse(known, enc, secret, response, nonce ?? crypto.getRandomValues(new Uint8Array(length)));
    },
  };
}

export async function sealResponse(
  aead: Aead,
  enc: Bytes,
  secret: Bytes,
  response: Bytes,
  nonce: Bytes,
): Promise<Bytes> {
  const keys = await responseKeys(aead, enc, secret, nonce);
  const algorithm = { name: "AES-GCM", iv: keys.nonce };
  return concat(nonce, new Uint8Array(await crypto.subtle.encrypt(algorithm, keys.key, response)));
}

/** A known-length request of binary HTTP, taken apart. */
export interface Question {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly content: Bytes;
}

export function decodeRequest(data: Bytes): Question {
  let position = 1;
  const number = (): number => {
    const size = 1 << (at(data, position) >> 6);
    const bytes = data.slice(position, (position += size));
    bytes[0] = at(bytes, 0) & 0x3f;
    return toUint(bytes);
  };
  const counted = (): Bytes => {
    const length = number();
    return data.slice(position, (position += length));
  };
  const text = (): string => new TextDecoder().decode(counted());
  assert.equal(data[0], 0, "a known-length request");
  const [method, scheme, authority, path] = [text(), text(), text(), text()];
  const length = number();
  const fields: [string, string][] = [];
  for (const end = position + length; position < end; ) fields.push([text(), text()]);
  const content = counted();
  assert.ok(
    data.subarray(position).every((byte) => byte === 0),
    "padding",
  );
  return { method, scheme, authority, path, fields: Object.fromEntries(fields), content };
}

export function encodeResponse(status: number, mediaType: string, content: Bytes): Bytes {
  const line = concat(...["content-type", mediaType].flatMap((part) => [varint(part.length), utf8(part)]));
  return concat(
    Uint8Array.of(1),
    varint(status),
    varint(line.length),
    line,
    varint(content.length),
    content,
    varint(0),
  );
}

// Receipts ----------------------------------------------------------------------------------------------------------

export class ReceiptKey {
  private constructor(
    readonly pair: CryptoKeyPair,
    readonly jwk: JsonObject,
  ) {}

  static async generate(): Promise<ReceiptKey> {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    const [x, y] = [base64url(point.subarray(1, 33)), base64url(point.subarray(33))];
    return new ReceiptKey(pair, { crv: "P-256", kty: "EC", x, y });
  }

  async thumbprint(): Promise<Bytes> {
    return await sha256(canonical(this.jwk));
  }

  async sign(
    payload: Json,
    header: Json = { alg: "ES256", jwk: this.jwk, typ: "blindsight-receipt+jws" },
  ): Promise<string> {
    const signed = [header, payload].map((part) => base64url(canonical(part))).join(".");
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = new Uint8Array(await crypto.subtle.sign(algorithm, this.pair.privateKey, utf8(signed)));
    return `${signed}.${base64url(signature)}`;
  }
}

// A whole enclave ---------------------------------------------------------------------------------------------------

export const MANIFEST: JsonObject = {
  format: "blindsight-model/1",
  name: "resnet50",
  trained: true,
  onnx: { file: "resnet50.onnx", sha256: "a".repeat(64), bytes: 102000000 },
  labels: { file: "classes.txt", count: 3, sha256: "b".repeat(64) },
};

const root = await forge.newRoot("blindsight.simulated");
const attesting = await forge.chainOf(root);

export const ANSWER: JsonObject = {
  predictions: [{ rank: 1, class_id: 207, label: "golden retriever", score: 0.8123 }],
  model: { name: "resnet50", trained: true },
  image: { width: 640, height: 480 },
  timings_ms: { decode: 3.5, run: 20 },
};

export class Enclave {
  readonly manifest: JsonObject = MANIFEST;
  constructor(
    public keys: readonly Key[],
    readonly receiptKey: ReceiptKey,
  ) {}

  static async start(keys?: readonly Key[]): Promise<Enclave> {
    const both = [await newKey(7, MLKEM768_X25519), await newKey(8, X25519_HKDF_SHA256)];
    return new Enclave(keys ?? both, await ReceiptKey.generate());
  }

  async claims(): Promise<Claims> {
    return {
      funcChecksum: forge.CLAIMS.funcChecksum,
      keyConfigsSha256: await sha256(encodeList(this.keys)),
      modelSha256: await sha256(canonical(this.manifest)),
      receiptKeySha256: await this.receiptKey.thumbprint(),
    };
  }

  async policy(release: forge.Members = {}, policy: forge.Members = {}): Promise<string> {
    const claims = await this.claims();
    return await forge.policyText(root, { model_digests: [hex(claims.modelSha256)], ...release }, policy);
  }

  async document(nonce: Bytes, moment = forge.NOW): Promise<Bytes> {
    const claims = await this.claims();
    const changes = {
      nonce,
      user_data: forge.userData(claims),
      pcrs: await forge.pcrsFor(claims),
      timestamp: moment.getTime(),
    };
    return await forge.documentOf(attesting, changes);
  }

  /** What `/attestation` answers. */
  async evidence(nonce: Bytes, moment?: Date): Promise<JsonObject> {
    const document = base64(await this.document(nonce, moment));
    return { document, key_configs: base64(encodeList(this.keys)), model: this.manifest };
  }

  async receiptPayload(
    answer: JsonObject,
    image: Bytes,
    evidence: string,
    iat = forge.NOW.getTime() / 1000,
  ): Promise<JsonObject> {
    const claims = await this.claims();
    const { predictions, model, image: size } = answer;
    assert.ok(predictions !== undefined && model !== undefined && size !== undefined);
    return {
      schema: "blindsight-receipt/1",
      iat,
      input_sha256: hex(await sha256(image)),
      output_sha256: hex(await sha256(canonical({ predictions, model, image: size }))),
      func_checksum: hex(claims.funcChecksum),
      model_sha256: hex(claims.modelSha256),
      weights_sha256: "a".repeat(64),
      evidence_sha256: evidence,
    };
  }

  /** The answer to a question, with a receipt if it asked for one. */
  async answer(question: Question, moment?: Date): Promise<JsonObject> {
    const evidence = question.fields["receipt-evidence"];
    if (evidence === undefined) return ANSWER;
    const iat = moment && Math.floor(moment.getTime() / 1000);
    const payload = await this.receiptPayload(ANSWER, question.content, evidence, iat);
    return { ...ANSWER, receipt: await this.receiptKey.sign(payload) };
  }
}
