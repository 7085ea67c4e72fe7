/**
 * Makes attestation documents, right and wrong: every part of the chain and the payload can be replaced.
 *
 * Certificates and CBOR are written here by code of their own, so that an error of the reader's would show.
 */

import { base64, concat, hex, utf8, type Bytes } from "../src/bytes.ts";
import { expectedPcr16, type Claims } from "../src/claims.ts";
import { Policy } from "../src/policy.ts";
import { sha256 } from "../src/webcrypto.ts";
import { at, unhex } from "./support.ts";

export const NOW = new Date("2026-11-01T12:00:00Z");
export const NONCE = Uint8Array.from({ length: 32 }, (_, index) => index);

const MINUTE = 60_000;

// DER ---------------------------------------------------------------------------------------------------------------

export function tlv(tag: number, ...contents: Uint8Array[]): Bytes {
  const content = concat(...contents);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.of(tag, ...head), content);
}

/** Big-endian, as a positive INTEGER in its shortest form. */
export function integer(value: Uint8Array): Bytes {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const digits = value.subarray(start);
  return tlv(0x02, at(digits, 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(), digits);
}

const ECDSA_SHA384 = tlv(0x30, tlv(0x06, unhex("2a8648ce3d040303")));
const ECDSA_SHA256 = tlv(0x30, tlv(0x06, unhex("2a8648ce3d040302")));

function name(commonName: string): Bytes {
  if (!commonName) return tlv(0x30);
  return tlv(0x30, tlv(0x31, tlv(0x30, tlv(0x06, unhex("550403")), tlv(0x0c, utf8(commonName)))));
}

function utcTime(moment: Date): Bytes {
  const digits = moment.toISOString().replace(/[-:T]|\.\d+/g, "");
  // RFC 5280, 4.1.2.5: from 2050 on with four digits of the year.
  return moment.getUTCFullYear() < 2050 ? tlv(0x17, utf8(digits.slice(2))) : tlv(0x18, utf8(digits));
}

export function extension(oid: string, critical: boolean, value: Uint8Array): Bytes {
  const flag = critical ? tlv(0x01, Uint8Array.of(0xff)) : new Uint8Array();
  return tlv(0x30, tlv(0x06, unhex(oid)), flag, tlv(0x04, value));
}

export interface Party {
  readonly name: string;
  readonly der: Bytes;
  readonly pair: CryptoKeyPair;
  readonly curve: "P-384" | "P-256";
}

export interface PartyOptions {
  ca?: boolean;
  pathLength?: number;
  /** Bits of KeyUsage; false leaves the extension out. */
  usage?: number | false;
  usageCritical?: boolean;
  constraintsCritical?: boolean;
  start?: Date;
  end?: Date;
  encodedEnd?: Bytes;
  curve?: "P-384" | "P-256";
  hash?: "SHA-384" | "SHA-256";
  issuerName?: string;
  extras?: Bytes[];
  version?: Bytes;
  serial?: Bytes;
  pair?: CryptoKeyPair;
  innerAlgorithm?: Bytes;
}

const CERT_SIGN = 0x04;
const DIGITAL_SIGNATURE = 0x80;

export async function party(issuer: Party | null, commonName: string, options: PartyOptions = {}): Promise<Party> {
  const { ca = true, curve = "P-384", hash = "SHA-384", start, end } = options;
  const algorithm = { name: "ECDSA", namedCurve: curve };
  const pair = options.pair ?? (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]));
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const usage = options.usage ?? (ca ? CERT_SIGN : DIGITAL_SIGNATURE);
  const constraints = tlv(
    0x30,
    ca ? tlv(0x01, Uint8Array.of(0xff)) : new Uint8Array(),
    options.pathLength === undefined ? new Uint8Array() : integer(Uint8Array.of(options.pathLength)),
  );
  const unused = usage ? Math.log2(usage & -usage) : 0;
  const extensions = [
    extension("551d13", options.constraintsCritical ?? true, constraints),
    ...(usage === false
      ? []
      : [extension("551d0f", options.usageCritical ?? ca, tlv(0x03, Uint8Array.of(unused, usage)))]),
    ...(options.extras ?? []),
  ];
  const signatureAlgorithm = hash === "SHA-384" ? ECDSA_SHA384 : ECDSA_SHA256;
  const signed = tlv(
    0x30,
    options.version ?? tlv(0xa0, integer(Uint8Array.of(2))),
    options.serial ?? integer(crypto.getRandomValues(new Uint8Array(16))),
    options.innerAlgorithm ?? signatureAlgorithm,
    name(options.issuerName ?? issuer?.name ?? commonName),
    tlv(
      0x30,
      utcTime(start ?? new Date(NOW.getTime() - 10 * MINUTE)),
      options.encodedEnd ?? utcTime(end ?? new Date(NOW.getTime() + 180 * MINUTE)),
    ),
    name(commonName),
    tlv(
      0x30,
      tlv(
        0x30,
        tlv(0x06, unhex("2a8648ce3d0201")),
        tlv(0x06, unhex(curve === "P-384" ? "2b81040022" : "2a8648ce3d030107")),
      ),
      tlv(0x03, Uint8Array.of(0), point),
    ),
    ...(extensions.length ? [tlv(0xa3, tlv(0x30, ...extensions))] : []),
  );
  const signer = issuer ?? { pair };
  const raw = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash }, signer.pair.privateKey, signed));
  const half = raw.length / 2;
  const signature = tlv(0x30, integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  const der = tlv(0x30, signed, signatureAlgorithm, tlv(0x03, Uint8Array.of(0), signature));
  return { name: commonName, der, pair, curve };
}

// CBOR --------------------------------------------------------------------------------------------------------------

export type Encodable =
  | number
  | bigint
  | string
  | Uint8Array
  | boolean
  | null
  | Encodable[]
  | Map<Encodable, Encodable>;

/** Already encoded CBOR. */
export class Raw {
  constructor(readonly bytes: Bytes) {}
}

function head(major: number, argument: number | bigint): Bytes {
  const value = BigInt(argument);
  const [info, size] =
    value < 24n
      ? [Number(value), 0]
      : value < 0x100n
        ? [24, 1]
        : value < 0x10000n
          ? [25, 2]
          : value < 2n ** 32n
            ? [26, 4]
            : [27, 8];
  const bytes = new Uint8Array(size);
  for (let index = size - 1, rest = value; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  return concat(Uint8Array.of((major << 5) | info), bytes);
}

export function cbor(value: Encodable | Raw): Bytes {
  if (value instanceof Raw) return value.bytes;
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (typeof value === "number" || typeof value === "bigint") {
    return value >= 0 ? head(0, value) : head(1, -1n - BigInt(value));
  }
  if (typeof value === "string") return concat(head(3, utf8(value).length), utf8(value));
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (Array.isArray(value)) return concat(head(4, value.length), ...value.map(cbor));
  return concat(head(5, value.size), ...[...value].flatMap(([key, item]) => [cbor(key), cbor(item)]));
}

// Documents ---------------------------------------------------------------------------------------------------------

export const PROTECTED = unhex("a1013822");

/** {1: -1}, the protected header of QEMU's documents. */
export const UNSIGNED = unhex("a10120");

export interface Attesting {
  readonly root: Party;
  readonly intermediates: readonly Party[];
  readonly leaf: Party;
}

export async function chainOf(
  root: Party,
  leafOptions: PartyOptions = {},
  intermediateOptions: (PartyOptions | undefined)[] = [],
): Promise<Attesting> {
  const intermediates: Party[] = [];
  let issuer = root;
  for (const [index, commonName] of ["regional", "zonal", "instance"].entries()) {
    issuer = await party(issuer, commonName, { pathLength: 2 - index, ...intermediateOptions[index] });
    intermediates.push(issuer);
  }
  return { root, intermediates, leaf: await party(issuer, "leaf", { ca: false, ...leafOptions }) };
}

export async function newRoot(commonName = "test.root", options: PartyOptions = {}): Promise<Party> {
  return await party(null, commonName, { end: new Date("2053-01-01T00:00:00Z"), ...options });
}

export const CLAIMS: Claims = {
  funcChecksum: await sha256(utf8("bundle")),
  keyConfigsSha256: await sha256(utf8("keys")),
  modelSha256: await sha256(utf8("{}")),
  receiptKeySha256: await sha256(utf8("receipt key")),
};

export function userData(claims: Claims): Bytes {
  return utf8(
    JSON.stringify({
      func_checksum: base64(claims.funcChecksum),
      key_configs_sha256: base64(claims.keyConfigsSha256),
      model_sha256: base64(claims.modelSha256),
      receipt_key_sha256: base64(claims.receiptKeySha256),
    }),
  );
}

export async function pcrsFor(claims: Claims): Promise<Map<number, Bytes>> {
  const pcrs = new Map(
    Array.from({ length: 16 }, (_, index) => [index, new Uint8Array(48).fill(index < 3 ? index + 1 : 0)]),
  );
  return pcrs.set(16, await expectedPcr16(claims));
}

export type Fields = Record<string, Encodable | Raw | undefined>;

/** Encoded keys and values, in turn, as a map of the form that the NSM has written since July 2025. */
export function indefinite(...entries: Uint8Array[]): Bytes {
  return concat(Uint8Array.of(0xbf), ...entries, Uint8Array.of(0xff));
}

/** Encoded keys and values, in turn, as a map of the form that the NSM wrote before. */
export function definite(...entries: Uint8Array[]): Bytes {
  return concat(head(5, entries.length / 2), ...entries);
}

/** The payload's encoded keys and values in the order of genuine documents; a change to undefined leaves one out. */
export async function entriesOf(attesting: Attesting, changes: Fields = {}): Promise<Bytes[]> {
  const fields: Fields = {
    module_id: "i-0123456789abcdef0-enc0123456789abcdef",
    digest: "SHA384",
    timestamp: NOW.getTime(),
    pcrs: await pcrsFor(CLAIMS),
    certificate: attesting.leaf.der,
    cabundle: [attesting.root.der, ...attesting.intermediates.map(({ der }) => der)],
    public_key: NONCE,
    user_data: userData(CLAIMS),
    nonce: NONCE,
    ...changes,
  };
  const present = Object.entries(fields).filter((field): field is [string, Encodable | Raw] => field[1] !== undefined);
  return present.flatMap(([key, value]) => [cbor(key), cbor(value)]);
}

export async function fieldsOf(attesting: Attesting, changes: Fields = {}): Promise<Bytes> {
  return indefinite(...(await entriesOf(attesting, changes)));
}

export async function envelope(attesting: Attesting, payload: Bytes, header = PROTECTED): Promise<Bytes> {
  const structure = cbor(["Signature1", header, new Uint8Array(), payload]);
  const { pair, curve } = attesting.leaf;
  const hash = curve === "P-384" ? "SHA-384" : "SHA-256";
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash }, pair.privateKey, structure);
  return cbor([header, new Map(), payload, new Uint8Array(signature)]);
}

export async function documentOf(attesting: Attesting, changes: Fields = {}): Promise<Bytes> {
  return await envelope(attesting, await fieldsOf(attesting, changes));
}

/** What QEMU's `nitro-enclave` machine answers: nothing signs it, and zeros stand for what would. */
export async function emulated(attesting: Attesting, changes: Fields = {}, signature = new Uint8Array(64)): Promise<Bytes> {
  const placeholders = { certificate: new Uint8Array(64), cabundle: [new Uint8Array(64)] };
  const payload = definite(...(await entriesOf(attesting, { ...placeholders, ...changes })));
  return cbor([UNSIGNED, new Map(), payload, signature]);
}

export type Members = Record<string, unknown>;

/** SHA-256 of a root's certificate, as policies list it. */
export async function fingerprint(root: Party): Promise<string> {
  return hex(await sha256(root.der));
}

/** A policy of one release, with changes to that and to what is beside it; one to undefined leaves a member out. */
export async function policyText(root: Party, release: Members = {}, policy: Members = {}): Promise<string> {
  const pcrs = [...(await pcrsFor(CLAIMS))].slice(0, 3).map(([index, value]) => [String(index), [hex(value)]]);
  const stated = {
    kind: "simulated",
    name: "forged",
    roots: [await fingerprint(root)],
    pcrs: Object.fromEntries(pcrs) as unknown,
    function_checksums: [hex(CLAIMS.funcChecksum)],
    model_digests: [hex(CLAIMS.modelSha256)],
    ...release,
  };
  return JSON.stringify({ schema: "blindsight-policy/2", releases: [stated], ...policy });
}

export async function policyFor(root: Party, release: Members = {}, policy: Members = {}): Promise<Policy> {
  return Policy.fromJson(await policyText(root, release, policy));
}
