/** An X.509 certificate (RFC 5280), taken apart. Nothing is verified here. */

import { fromUtf8, type Bytes } from "./bytes.ts";
import * as der from "./der.ts";
import { DerReader, TAG } from "./der.ts";

/** OIDs as their DER content, in hexadecimal. */
const COMMON_NAME = "550403";
const UNIQUE_IDENTIFIER = "55042d";

/** Types of text in UTF-8 or less (X.680, 8.6), and what else the readers of other languages take for it. */
const TEXTS = new Set([0x04, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a]);

/** BMPString and UniversalString: bytes of each character. */
const WIDE_TEXTS = new Map([
  [0x1e, 2],
  [0x1c, 4],
]);
const EC_PUBLIC_KEY = "2a8648ce3d0201";
const SECP384R1 = "2b81040022";
export const ECDSA_WITH_SHA384 = "2a8648ce3d040303";

/** With SHA-224, 256, 384 and 512. */
const ECDSA_WITH_SHA2 = /^2a8648ce3d04030[1-4]$/;

export const EXTENSION = {
  SUBJECT_KEY_IDENTIFIER: "551d0e",
  KEY_USAGE: "551d0f",
  SUBJECT_ALTERNATIVE_NAME: "551d11",
  BASIC_CONSTRAINTS: "551d13",
  AUTHORITY_KEY_IDENTIFIER: "551d23",
  EXTENDED_KEY_USAGE: "551d25",
  AUTHORITY_INFORMATION_ACCESS: "2b06010505070101",
} as const;

export interface Extension {
  readonly critical: boolean;
  readonly value: Bytes;
}

export interface Certificate {
  /** The bytes that are signed. */
  readonly signed: Bytes;
  readonly version: 1 | 3;
  readonly serial: Bytes;
  readonly issuer: Bytes;
  readonly subject: Bytes;
  readonly commonNames: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Whether both times have the type that RFC 5280 prescribes for their year. */
  readonly timesWellTyped: boolean;
  /** The uncompressed point if the key is on P-384. */
  readonly p384Point: Bytes | undefined;
  /** Algorithm identifiers, encoded: what the signed part says, and what stands beside the signature. */
  readonly innerAlgorithm: Bytes;
  readonly outerAlgorithm: Bytes;
  readonly signature: Bytes;
  /** By OID; a second one of the same is in `duplicates`. */
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly duplicates: boolean;
}

/** Throws `DerError`. */
export function parse(encoded: Bytes): Certificate {
  const certificate = der.only(encoded, TAG.SEQUENCE);
  const signed = certificate.expect(TAG.SEQUENCE);
  const outerAlgorithm = certificate.expect(TAG.SEQUENCE).whole;
  const signature = der.octets(certificate.read(TAG.BIT_STRING));
  certificate.end();

  const fields = new DerReader(signed.content);
  const version = versionOf(fields);
  const serial = der.integer(fields.read(TAG.INTEGER));
  const innerAlgorithm = fields.expect(TAG.SEQUENCE).whole;
  const issuer = fields.expect(TAG.SEQUENCE);
  const validity = fields.enter(TAG.SEQUENCE);
  const times = [validity.element(), validity.element()] as const;
  validity.end();
  const subject = fields.expect(TAG.SEQUENCE);
  const p384Point = p384PointOf(fields.enter(TAG.SEQUENCE));
  fields.optional(der.implicit(1));
  fields.optional(der.implicit(2));
  const wrapped = fields.optional(der.explicit(3));
  fields.end();

  // For their form only.
  commonNamesOf(issuer.content);
  algorithmOf(innerAlgorithm);
  algorithmOf(outerAlgorithm);
  return {
    signed: signed.whole,
    version,
    serial,
    issuer: issuer.whole,
    subject: subject.whole,
    commonNames: commonNamesOf(subject.content),
    notBefore: der.time(times[0]),
    notAfter: der.time(times[1]),
    timesWellTyped: times.every(isWellTyped),
    p384Point,
    innerAlgorithm,
    outerAlgorithm,
    signature,
    ...extensionsOf(wrapped),
  };
}

/** The OID of an encoded AlgorithmIdentifier, hex; undefined if it has parameters. Throws `DerError`. */
export function algorithmOf(encoded: Bytes): string | undefined {
  const identifier = der.only(encoded, TAG.SEQUENCE);
  const oid = der.oid(identifier.read(TAG.OID));
  // RFC 5758, 3.2: these have none.
  if (ECDSA_WITH_SHA2.test(oid) && !identifier.done) throw new der.DerError("parameters of ECDSA");
  return identifier.done ? oid : undefined;
}

/** r and s, 48 bytes each, of a DER signature. Throws `DerError`. */
export function rawSignature(encoded: Bytes): Bytes {
  const pair = der.only(encoded, TAG.SEQUENCE);
  const raw = new Uint8Array(96);
  raw.set(der.unsigned(pair.read(TAG.INTEGER), 48), 0);
  raw.set(der.unsigned(pair.read(TAG.INTEGER), 48), 48);
  pair.end();
  return raw;
}

/** RFC 5280, section 4.1.2.5: two digits of the year until 2049, four from then on. */
function isWellTyped(time: der.Element): boolean {
  const wanted = der.time(time).getUTCFullYear() < 2050 ? TAG.UTC_TIME : TAG.GENERALIZED_TIME;
  return time.tag === wanted;
}

function versionOf(fields: DerReader): 1 | 3 {
  const wrapped = fields.optional(der.explicit(0));
  if (wrapped === undefined) return 1;
  const reader = new DerReader(wrapped);
  const version = der.small(reader.read(TAG.INTEGER));
  reader.end();
  if (version !== 2) throw new der.DerError("a version that no certificate has");
  return 3;
}

/** A Name's common names; its other attributes are read for their form. */
function commonNamesOf(content: Bytes): string[] {
  const found: string[] = [];
  for (const name = new DerReader(content); !name.done; ) {
    const relative = name.enter(TAG.SET);
    do {
      const attribute = relative.enter(TAG.SEQUENCE);
      const type = der.oid(attribute.read(TAG.OID));
      const text = nameText(type, attribute.element());
      attribute.end();
      if (type === COMMON_NAME && text !== undefined) found.push(text);
    } while (!relative.done);
  }
  return found;
}

/** A name's value as text, if it is UTF-8. Throws `DerError` for a type that no name's value has. */
function nameText(type: string, { tag, content }: der.Element): string | undefined {
  if (tag === TAG.BIT_STRING && type === UNIQUE_IDENTIFIER) return undefined;
  const bytesEach = WIDE_TEXTS.get(tag);
  if (bytesEach !== undefined && content.length % bytesEach === 0) return undefined;
  const text = TEXTS.has(tag) ? fromUtf8(content) : undefined;
  if (text === undefined) throw new der.DerError("a name's value is not text");
  return text;
}

function p384PointOf(key: DerReader): Bytes | undefined {
  const algorithm = key.enter(TAG.SEQUENCE);
  const type = der.oid(algorithm.read(TAG.OID));
  // Keys of elliptic curves name theirs, in one way or another.
  if (type === EC_PUBLIC_KEY && algorithm.done) throw new der.DerError("a key without a curve");
  const curve = type === EC_PUBLIC_KEY ? algorithm.optional(TAG.OID) : undefined;
  const point = key.read(TAG.BIT_STRING);
  key.end();
  const onP384 = curve !== undefined && der.oid(curve) === SECP384R1 && algorithm.done && point[0] === 0;
  return onP384 ? point.subarray(1) : undefined;
}

function extensionsOf(wrapped: Bytes | undefined): Pick<Certificate, "extensions" | "duplicates"> {
  const extensions = new Map<string, Extension>();
  let duplicates = false;
  if (wrapped !== undefined) {
    const list = der.only(wrapped, TAG.SEQUENCE);
    while (!list.done) {
      const extension = list.enter(TAG.SEQUENCE);
      const oid = der.oid(extension.read(TAG.OID));
      const critical = der.defaultFalse(extension.optional(TAG.BOOLEAN));
      const value = extension.read(TAG.OCTET_STRING);
      extension.end();
      duplicates ||= extensions.has(oid);
      extensions.set(oid, { critical, value });
    }
  }
  return { extensions, duplicates };
}
