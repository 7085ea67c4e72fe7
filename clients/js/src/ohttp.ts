/** Oblivious HTTP encapsulation (RFC 9458, section 4): the caller's side, over HPKE (RFC 9180) of @hpke/core. */

import { Aes128Gcm, Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";

import { concat, uint, utf8, type Bytes } from "./bytes.ts";
import { refusal, type BlindsightError } from "./errors.ts";
import { KDF_HKDF_SHA256, MLKEM768_X25519, X25519_HKDF_SHA256 } from "./keyconfig.ts";
import type { Aead, Kem, KeyConfig } from "./keyconfig.ts";
import { subtle } from "./webcrypto.ts";

export const REQUEST_MEDIA_TYPE = "message/ohttp-req";
export const RESPONSE_MEDIA_TYPE = "message/ohttp-res";

export const REQUEST_LABEL = utf8("message/bhttp request");
export const RESPONSE_LABEL = utf8("message/bhttp response");

const NONCE_BYTES = 12;

/** A sealed request, and what opens its one answer. */
export interface Encapsulated {
  readonly sealed: Bytes;
  readonly opener: ResponseOpener;
}

/**
 * Seal a binary HTTP `request` to `config`, with the first cipher that the enclave prefers.
 *
 * `ephemeral` is for test vectors only. Throws `SealingError` (`cannot_open`) for a public key that is none,
 * and `PlatformError` (`unsupported_platform`) if this browser cannot do what the configuration needs.
 */
export async function encapsulate(
  config: KeyConfig,
  request: Bytes,
  { ephemeral }: { ephemeral?: CryptoKeyPair } = {},
): Promise<Encapsulated> {
  const {
    keyId,
    kem,
    publicKey,
    aeads: [aead],
  } = config;
  const header = concat(uint(keyId, 1), uint(kem.id, 2), uint(KDF_HKDF_SHA256, 2), uint(aead.id, 2));
  const suite = cipherSuite(kem, aead);
  await checkPlatform(kem);
  try {
    const context = await suite.createSenderContext({
      recipientPublicKey: await suite.kem.deserializePublicKey(publicKey),
      info: requestInfo(header),
      ...(ephemeral && { ekm: ephemeral }),
    });
    const enc = new Uint8Array(context.enc);
    const sealed = concat(header, enc, new Uint8Array(await context.seal(request)));
    const secret = await context.export(RESPONSE_LABEL, responseNonceBytes(aead));
    return { sealed, opener: new ResponseOpener(aead, enc, new Uint8Array(secret)) };
  } catch {
    throw cannotOpen();
  }
}

/** What is bound to the request's key: its label, and the header that stands before it. */
export function requestInfo(header: Uint8Array): Bytes {
  return concat(REQUEST_LABEL, Uint8Array.of(0), header);
}

/** The suite of @hpke/core. */
export function cipherSuite(kem: Kem, { keyBytes }: Aead): CipherSuite {
  return new CipherSuite({
    kem: kem === MLKEM768_X25519 ? new XWing() : new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: keyBytes === 16 ? new Aes128Gcm() : new Aes256Gcm(),
  });
}

/** What the sender keeps to open the one answer (section 4.4). Its secret is in no property that could be printed. */
export class ResponseOpener {
  readonly #aead: Aead;
  readonly #enc: Bytes;
  readonly #secret: Bytes;

  constructor(aead: Aead, enc: Bytes, secret: Bytes) {
    this.#aead = aead;
    this.#enc = enc;
    this.#secret = secret;
  }

  /** Open a `message/ohttp-res` to its binary HTTP response. Throws `SealingError` (`cannot_open`). */
  async open(response: Bytes): Promise<Bytes> {
    const nonceBytes = responseNonceBytes(this.#aead);
    const keys = await responseKeys(this.#aead, this.#enc, this.#secret, response.subarray(0, nonceBytes));
    try {
      const algorithm = { name: "AES-GCM", iv: keys.nonce };
      return new Uint8Array(await subtle().decrypt(algorithm, keys.key, response.subarray(nonceBytes)));
    } catch {
      throw cannotOpen();
    }
  }
}

/** Key and nonce of an answer, from the secret that the request's context exports and the answer's own nonce. */
export async function responseKeys(
  aead: Aead,
  enc: Uint8Array,
  secret: Bytes,
  responseNonce: Uint8Array,
): Promise<{ key: CryptoKey; nonce: Bytes }> {
  const api = subtle();
  const prk = await api.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  // WebCrypto's HKDF is extract and expand in one; the extract, with this salt, is the same for both.
  const derive = async (info: string, bytes: number): Promise<Bytes> => {
    const algorithm = { name: "HKDF", hash: "SHA-256", salt: concat(enc, responseNonce), info: utf8(info) };
    return new Uint8Array(await api.deriveBits(algorithm, prk, 8 * bytes));
  };
  const rawKey = await derive("key", aead.keyBytes);
  const key = await api.importKey("raw", rawKey, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { key, nonce: await derive("nonce", NONCE_BYTES) };
}

/** Bytes of the nonce before an answer, and of the exported secret. */
export function responseNonceBytes({ keyBytes }: Aead): number {
  return Math.max(NONCE_BYTES, keyBytes);
}

/** X25519 alone is WebCrypto's, which older browsers lack; the hybrid's is the library's own. */
async function checkPlatform(kem: Kem): Promise<void> {
  const api = subtle();
  if (kem !== X25519_HKDF_SHA256) return;
  try {
    await api.generateKey("X25519", false, ["deriveBits"]);
  } catch {
    throw refusal("unsupported_platform", "This browser cannot do the key exchange that the enclave offers.");
  }
}

/** The one error of every failure: which stage failed is the attacker's question, not the caller's. */
function cannotOpen(): BlindsightError {
  return refusal("cannot_open", "The sealed message cannot be opened, or not be sealed, with this key.");
}
