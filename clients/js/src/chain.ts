/**
 * From the certificate that signed a document to a pinned root.
 *
 * Every certificate is on P-384 and signed with SHA-384, valid at the given time, and version 3; issuers are CAs that
 * may sign certificates, within their path length; the signer is none and may sign data. The bundle's order is the
 * chain's. As AWS prescribes, revocation is not checked. Nothing is cached.
 */

import { equal, type Bytes } from "./bytes.ts";
import * as certificates from "./certificate.ts";
import { EXTENSION, type Certificate } from "./certificate.ts";
import * as der from "./der.ts";
import { refusal } from "./errors.ts";
import { SIMULATED_ROOT_NAME } from "./roots.ts";
import { ecdsaKey, ecdsaVerify, P384 } from "./webcrypto.ts";

/** Regional, zonal and instance CA: the depth of every genuine chain. */
export const MAX_INTERMEDIATES = 3;

/** A chain takes four; a bundle made to be tried in every order could ask for thousands. */
const MAX_SIGNATURE_CHECKS = 32;

/** Octets of a serial number (RFC 5280, 4.1.2.2), with the zero that a positive number may begin with. */
const MAX_SERIAL_BYTES = 21;

/** Bits of KeyUsage (RFC 5280, 4.2.1.3). */
const DIGITAL_SIGNATURE = 0;
const KEY_CERT_SIGN = 5;

/** Extensions that may be critical: looked at here, or without a rule for these chains. */
const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** An encoded Name without attributes. */
const EMPTY_NAME = Uint8Array.of(0x30, 0x00);

/** The certificates of a document, parsed: root first, signer last. Not verified by itself. */
export interface Chain {
  readonly certificates: readonly [Certificate, ...Certificate[]];
  readonly callsItselfSimulated: boolean;
}

/** Parse the DER `bundle` (root first) and `leaf`. Throws `EvidenceError` (`malformed_certificate`). */
export function parse(bundle: readonly [Bytes, ...Bytes[]], leaf: Bytes, step: number): Chain {
  try {
    const root = certificates.parse(bundle[0]);
    const others = [...bundle.slice(1), leaf].map((encoded) => certificates.parse(encoded));
    return { certificates: [root, ...others], callsItselfSimulated: root.commonNames.includes(SIMULATED_ROOT_NAME) };
  } catch (error) {
    if (!(error instanceof der.DerError)) throw error;
    throw refusal("malformed_certificate", "A certificate cannot be parsed.", step);
  }
}

/**
 * Verify `chain` at the time `at` and return the signer's P-384 key.
 *
 * The caller has compared the root's fingerprint with its pins. Throws `EvidenceError`, marked with `step`.
 */
export async function verify(chain: Chain, at: Date, step: number): Promise<CryptoKey> {
  const keys = new Map<Certificate, CryptoKey>();
  for (const [position, certificate] of chain.certificates.entries()) {
    checkTime(certificate, `Certificate ${position + 1} of ${chain.certificates.length}, from the root,`, at, step);
    keys.set(certificate, await checkedKey(certificate, step));
  }
  const path = await new PathBuilder(chain, keys).build();
  if (path === undefined) {
    throw refusal("invalid_chain", "The certificates do not form a valid chain from the signer to the root.", step);
  }
  const ordered = path.length === chain.certificates.length;
  if (!ordered || !path.every((certificate, position) => certificate === chain.certificates.at(-1 - position))) {
    throw refusal("chain_order", "The bundle is not the chain from the root to the signer, in that order.", step);
  }
  return keyOf(keys, path[0]);
}

function checkTime(certificate: Certificate, who: string, at: Date, step: number): void {
  if (at > certificate.notAfter) {
    throw refusal("certificate_expired", `${who} expired at ${formatted(certificate.notAfter)}.`, step);
  }
  if (at < certificate.notBefore) {
    const from = formatted(certificate.notBefore);
    throw refusal("certificate_not_yet_valid", `${who} is valid only from ${from}.`, step);
  }
}

/** As in "2026-11-01 12:00:00Z". */
export function formatted(moment: Date): string {
  return `${moment.toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** The key of a certificate that is signed with SHA-384 and has a key on P-384. */
async function checkedKey(certificate: Certificate, step: number): Promise<CryptoKey> {
  const key = certificate.p384Point && (await ecdsaKey(certificate.p384Point, P384));
  if (!key) throw refusal("certificate_algorithm", "A certificate's key is not on P-384.", step);
  if (certificates.algorithmOf(certificate.outerAlgorithm) !== certificates.ECDSA_WITH_SHA384) {
    throw refusal("certificate_algorithm", "A certificate is not signed with SHA-384.", step);
  }
  return key;
}

/** Looks for a path from the signer to the root among the bundle's certificates, in any order (RFC 5280, section 6). */
class PathBuilder {
  readonly #root: Certificate;
  readonly #intermediates: readonly Certificate[];
  readonly #leaf: Certificate;
  readonly #keys: ReadonlyMap<Certificate, CryptoKey>;
  #checksLeft = MAX_SIGNATURE_CHECKS;

  constructor({ certificates: [root, ...others] }: Chain, keys: ReadonlyMap<Certificate, CryptoKey>) {
    this.#root = root;
    this.#intermediates = others.slice(0, -1);
    this.#leaf = others.at(-1) ?? root;
    this.#keys = keys;
  }

  /** The path, signer first; undefined if there is none. */
  async build(): Promise<[Certificate, ...Certificate[]] | undefined> {
    if (!isSound(this.#leaf) || !maySignData(this.#leaf)) return undefined;
    const rest = await this.#above(this.#leaf, 0);
    return rest && [this.#leaf, ...rest];
  }

  /** The issuers of `working`, which has `depth` certificates below it, up to the root. */
  async #above(working: Certificate, depth: number): Promise<Certificate[] | undefined> {
    if (working === this.#root) return [];
    if (depth > MAX_INTERMEDIATES) return undefined;
    for (const issuer of [this.#root, ...this.#intermediates]) {
      if (!equal(issuer.subject, working.issuer) || !isSound(issuer) || !mayIssue(issuer, depth)) continue;
      if (!(await this.#signed(issuer, working))) continue;
      const rest = await this.#above(issuer, depth + 1);
      if (rest) return [issuer, ...rest];
    }
    return undefined;
  }

  async #signed(issuer: Certificate, certificate: Certificate): Promise<boolean> {
    if (this.#checksLeft-- <= 0) return false;
    let signature: Bytes;
    try {
      signature = certificates.rawSignature(certificate.signature);
    } catch (error) {
      if (!(error instanceof der.DerError)) throw error;
      return false;
    }
    return await ecdsaVerify(keyOf(this.#keys, issuer), P384, signature, certificate.signed);
  }
}

function keyOf(keys: ReadonlyMap<Certificate, CryptoKey>, certificate: Certificate): CryptoKey {
  const key = keys.get(certificate);
  if (!key) throw new RangeError("a certificate of another chain");
  return key;
}

/** What RFC 5280 demands of every certificate, whatever its role. */
function isSound(certificate: Certificate): boolean {
  const { version, serial, innerAlgorithm, outerAlgorithm, issuer, extensions } = certificate;
  return (
    version === 3 &&
    serial.length <= MAX_SERIAL_BYTES &&
    (serial[0] ?? 0) < 0x80 &&
    equal(innerAlgorithm, outerAlgorithm) &&
    !equal(issuer, EMPTY_NAME) &&
    certificate.timesWellTyped &&
    !certificate.duplicates &&
    [...extensions].every(([oid, { critical }]) => !critical || KNOWN_EXTENSIONS.has(oid))
  );
}

function mayIssue({ extensions }: Certificate, depth: number): boolean {
  const constraints = extensions.get(EXTENSION.BASIC_CONSTRAINTS);
  const usage = extensions.get(EXTENSION.KEY_USAGE);
  return holds(() => {
    if (!constraints?.critical || !usage?.critical) return false;
    const { ca, pathLength } = basicConstraints(constraints.value);
    return ca && depth <= (pathLength ?? Infinity) && keyUsage(usage.value).has(KEY_CERT_SIGN);
  });
}

function maySignData({ extensions }: Certificate): boolean {
  const constraints = extensions.get(EXTENSION.BASIC_CONSTRAINTS);
  // Genuine signers mark key usage non-critical.
  const usage = extensions.get(EXTENSION.KEY_USAGE);
  return holds(
    () =>
      constraints !== undefined &&
      constraints.critical &&
      !basicConstraints(constraints.value).ca &&
      usage !== undefined &&
      keyUsage(usage.value).has(DIGITAL_SIGNATURE) &&
      !extensions.has(EXTENSION.SUBJECT_ALTERNATIVE_NAME),
  );
}

function basicConstraints(value: Bytes): { ca: boolean; pathLength: number | undefined } {
  const fields = der.only(value, der.TAG.SEQUENCE);
  const flag = fields.optional(der.TAG.BOOLEAN);
  const pathLength = fields.optional(der.TAG.INTEGER);
  fields.end();
  return {
    ca: der.defaultFalse(flag),
    pathLength: pathLength === undefined ? undefined : der.small(pathLength),
  };
}

function keyUsage(value: Bytes): ReadonlySet<number> {
  const reader = new der.DerReader(value);
  const bits = der.namedBits(reader.read(der.TAG.BIT_STRING));
  reader.end();
  return bits;
}

/** Whether `check` is true; false if what it reads is not DER. */
function holds(check: () => boolean): boolean {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof der.DerError)) throw error;
    return false;
  }
}
