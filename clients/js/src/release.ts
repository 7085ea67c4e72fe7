/**
 * One release of an enclave, as a policy lists it: roots, measurements, function, model, version, end.
 *
 * What would accept more than it seems to is refused when a release is made: code or function that nothing pins and
 * that is not left open by name, an empty list, a measurement of zeros. A port of blindsight/attestation/release.py.
 */

import { CLAIMS_PCR } from "./claims.ts";
import { MAX_PCRS, PCR_BYTES } from "./document.ts";
import { refusal } from "./errors.ts";
import type { Json } from "./json.ts";
import { hash, hashes, invalid } from "./policyjson.ts";
import { AWS_NITRO_ROOT_G1, EMULATED, isEvidenceKind, NOT_FINGERPRINTS, type EvidenceKind } from "./roots.ts";

export const DIGEST_BYTES = 32;

/** What a release pins, or leaves open by name. */
export type Part = "code" | "function";

const NAME = /^[ -~]{1,64}$/;
const VERSION = /^(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,3}$/;
const VERSION_PARTS = 4;

/** What a policy file says of a release. Null: left out. */
export interface Stated {
  readonly kind: Json | undefined;
  readonly name: string | null;
  readonly version: string | null;
  readonly roots: readonly Json[] | null;
  readonly pcrs: ReadonlyMap<number, readonly Json[]>;
  readonly functionChecksums: readonly Json[] | null;
  readonly modelDigests: readonly Json[] | null;
  readonly functionInImage: boolean;
  readonly anyCode: boolean;
  readonly anyFunction: boolean;
  readonly expires: Date | null;
}

/** What one release of an enclave shows. All hashes are lower-case hexadecimal; null accepts any, or has no end. */
export interface Release {
  readonly kind: EvidenceKind;
  readonly name: string | null;
  readonly version: string | null;
  /** SHA-256 of root certificates (DER); none for QEMU's evidence, which is unsigned. */
  readonly roots: ReadonlySet<string>;
  /** By index; every one that is listed must be in a document. */
  readonly pcrs: ReadonlyMap<number, ReadonlySet<string>>;
  readonly functionChecksums: ReadonlySet<string> | null;
  readonly modelDigests: ReadonlySet<string> | null;
  /** What this release accepts any of, in this order. */
  readonly leftOpen: readonly Part[];
  readonly expires: Date | null;
}

/** Throws `PolicyError`. */
export function releaseOf(stated: Stated): Release {
  const { kind, name, version, expires } = stated;
  if (!isEvidenceKind(kind)) throw invalid("No kind of evidence is called so.");
  if (kind === EMULATED && stated.roots) throw invalid("roots: evidence of this kind is unsigned and has none.");
  const listed = stated.roots ?? (kind === "nitro" ? [AWS_NITRO_ROOT_G1] : []);
  if (!listed.length && kind !== EMULATED) throw refusal("no_roots", "The release lists no root of trust.");
  const roots = new Set(listed.map((root) => checkedRoot(hash(root, DIGEST_BYTES, "a root"), kind)));
  if (roots.size < listed.length) throw invalid("roots: one is listed twice.");
  const pcrs = new Map(Array.from(stated.pcrs, ([index, values]) => [index, measurements(index, values)]));
  const functionChecksums = digests(stated.functionChecksums, "function_checksums");
  const modelDigests = digests(stated.modelDigests, "model_digests");
  if (name !== null && !NAME.test(name)) throw invalid("name: not 1 to 64 printable ASCII characters.");
  if (version !== null) versionKey(version, "version");
  const leftOpen = checkedOpenness(stated);
  return { kind, name, version, roots, pcrs, functionChecksums, modelDigests, leftOpen, expires };
}

/** What versions are compared by: four numbers, missing ones zero. Throws `PolicyError`. */
export function versionKey(version: string, where: string): readonly number[] {
  if (!VERSION.test(version)) throw invalid(`${where}: not one to four numbers with dots between them.`);
  const numbers = version.split(".").map(Number);
  return [...numbers, ...new Array<number>(VERSION_PARTS - numbers.length).fill(0)];
}

function checkedOpenness({ pcrs, functionChecksums, functionInImage, anyCode, anyFunction }: Stated): readonly Part[] {
  const pinsCode = pcrs.has(0) || (pcrs.has(1) && pcrs.has(2));
  const pinsFunction = pcrs.has(CLAIMS_PCR) || functionChecksums !== null || functionInImage;
  if (!pcrs.size && !(anyCode && anyFunction)) {
    throw refusal("no_measurements", "The release lists no PCR, so it would accept any code.");
  }
  if (pinsCode && anyCode) throw invalid("any_code: the code is pinned, so it is not left open.");
  if (!pinsCode && !anyCode) {
    throw refusal("code_not_pinned", "Neither PCR 0 nor PCR 1 and 2 pin the code: any would be accepted.");
  }
  if (functionInImage && !pcrs.has(0)) {
    throw invalid("function_in_image: PCR 0 is not listed, which would cover the image.");
  }
  if (pinsFunction && anyFunction) throw invalid("any_function: the function is pinned, so it is not left open.");
  if (!pinsFunction && !anyFunction) {
    throw refusal("function_not_pinned", "Nothing pins the function: any bundle would be accepted.");
  }
  return [...(anyCode ? (["code"] as const) : []), ...(anyFunction ? (["function"] as const) : [])];
}

function checkedRoot(root: string, kind: EvidenceKind): string {
  const mistake = NOT_FINGERPRINTS.get(root);
  if (mistake !== undefined) {
    throw refusal("not_a_certificate_fingerprint", `The root ${root.slice(0, 16)}... is the hash of ${mistake}.`);
  }
  if (root === AWS_NITRO_ROOT_G1 && kind !== "nitro") {
    throw invalid(`The root ${root.slice(0, 16)}... is AWS's and cannot be of this kind.`);
  }
  return root;
}

function measurements(index: number, values: readonly Json[]): ReadonlySet<string> {
  if (index >= MAX_PCRS) throw invalid(`A PCR index is not an integer from 0 to ${MAX_PCRS - 1}.`);
  return hashes(values, PCR_BYTES, `PCR ${index}`);
}

function digests(values: readonly Json[] | null, where: string): ReadonlySet<string> | null {
  return values && hashes(values, DIGEST_BYTES, where);
}
