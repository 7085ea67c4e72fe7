/**
 * The documents of QEMU's `nitro-enclave` machine, which are Nitro's in everything but that nothing signs them.
 *
 * The protected header is {1: -1}, which names no algorithm of COSE; signature, certificate and the bundle's one entry
 * are 64 zero bytes each. Any program can write such a document, so it proves nothing. It is looked at only for a
 * policy that names this machine as the kind of evidence that it accepts. A port of
 * blindsight/attestation/emulated.py.
 */

import { allZero, type Bytes } from "./bytes.ts";
import type { Sign1 } from "./cose.ts";
import type { AttestationDocument } from "./document.ts";
import { refusal } from "./errors.ts";
import type { Policy } from "./policy.ts";
import { EMULATED } from "./roots.ts";
import type { Releases } from "./matching.ts";

/** Stands for signature and certificates. */
const PLACEHOLDER_BYTES = 64;

/** The releases of `policy` that accept such a document; undefined if there are none. */
export function releasesOf({ releases }: Policy): Releases | undefined {
  const [release, ...others] = releases.filter(({ kind }) => kind === EMULATED);
  return release && [release, ...others];
}

/** Step 3. A document with certificates in it is not of that machine. Throws `EvidenceError`. */
export function checkBundle({ cabundle: [root, ...others] }: AttestationDocument, step: number): void {
  if (others.length || !isPlaceholder(root)) {
    throw refusal("malformed_certificate", "The bundle of an unsigned document is not QEMU's.", step);
  }
}

/** Step 4. Throws `EvidenceError`. */
export function checkCertificate({ certificate }: AttestationDocument, step: number): void {
  if (!isPlaceholder(certificate)) {
    throw refusal("malformed_certificate", "The certificate of an unsigned document is not QEMU's.", step);
  }
}

/** Step 5. Throws `EvidenceError`. */
export function checkSignature({ signature }: Sign1, step: number): void {
  if (!isPlaceholder(signature)) {
    throw refusal("invalid_signature", "The signature of an unsigned document is not QEMU's.", step);
  }
}

function isPlaceholder(bytes: Bytes): boolean {
  return bytes.length === PLACEHOLDER_BYTES && allZero(bytes);
}
