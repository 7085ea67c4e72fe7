/**
 * What a verifier accepts: roots of trust, measurements, functions, models, ages.
 *
 * A policy is data, in the file format of blindsight/attestation/policy.py. What would silently accept more than it
 * seems to (an empty list, zero measurements, a misspelt key) is refused when it is read. Nothing accepts any enclave.
 */

import { MAX_PCRS, PCR_BYTES } from "./document.ts";
import { refusal } from "./errors.ts";
import { DuplicateMemberError, isObject, parseJson, type Json, type JsonObject } from "./json.ts";

/** What a root vouches for: Nitro hardware, or only that some machine made the evidence itself. */
export type Kind = "nitro" | "simulated";

export const SCHEMA = "blindsight-policy/1";

/** SHA-256 of AWS's root certificate (DER): CN=aws.nitro-enclaves, P-384, 2019-10-28 to 2049-10-28. */
export const AWS_NITRO_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/** SHA-256 values that get pinned by mistake. The first is the one that AWS's documentation prints. */
const NOT_FINGERPRINTS: ReadonlyMap<string, string> = new Map([
  ["8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c", "the ZIP file that AWS publishes the root in"],
  ["6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0", "the root's PEM file"],
]);

const DEFAULT_MAX_AGE = 300;
const DEFAULT_MAX_FUTURE_SKEW = 60;

/** Ceiling of both limits: the life of an instance's certificate, after which no document verifies live. */
const MAX_SECONDS = 24 * 3600;

const DIGEST_BYTES = 32;

const MEMBERS: ReadonlySet<string> = new Set([
  "schema",
  "roots",
  "pcrs",
  "function_checksums",
  "model_digests",
  "max_age_seconds",
  "max_future_skew_seconds",
]);

/** What is accepted. All hashes are lower-case hexadecimal, ages whole seconds; null accepts any. */
export interface Policy {
  readonly roots: ReadonlyMap<string, Kind>;
  readonly pcrs: ReadonlyMap<number, ReadonlySet<string>>;
  readonly functionChecksums: ReadonlySet<string> | null;
  readonly modelDigests: ReadonlySet<string> | null;
  readonly maxAge: number;
  readonly maxFutureSkew: number;
}

/** Parse a policy file's text. Throws `Refusal`. */
export function parsePolicy(text: string): Policy {
  const members = parsed(text);
  if (!isObject(members) || members["schema"] !== SCHEMA) {
    throw refusal("invalid_policy", `The policy does not state the schema ${SCHEMA}.`);
  }
  only(members, MEMBERS);
  const roots = rootsOf(members["roots"]);
  const pcrs = pcrsOf(members["pcrs"]);
  const functionChecksums = optional(members["function_checksums"], "function_checksums");
  const modelDigests = optional(members["model_digests"], "model_digests");
  if (!roots.size) throw refusal("no_roots", "The policy lists no root of trust.");
  if (!pcrs.size) throw refusal("no_measurements", "The policy lists no PCR, so it would accept any code.");
  const checkedRoots = new Map(Array.from(roots, ([root, kind]) => [root, checkedKind(root, kind)]));
  if (Math.max(...pcrs.keys()) >= MAX_PCRS) {
    throw refusal("invalid_policy", `A PCR index is not an integer from 0 to ${MAX_PCRS - 1}.`);
  }
  return {
    roots: checkedRoots,
    pcrs,
    functionChecksums,
    modelDigests,
    maxAge: seconds(members, "max_age_seconds", DEFAULT_MAX_AGE),
    maxFutureSkew: seconds(members, "max_future_skew_seconds", DEFAULT_MAX_FUTURE_SKEW),
  };
}

function parsed(text: string): Json {
  try {
    return parseJson(text, { integersOnly: true });
  } catch (error) {
    if (error instanceof DuplicateMemberError) {
      throw refusal("invalid_policy", "An object has the same key twice.");
    }
    throw refusal("unreadable_policy", "The policy is not JSON.");
  }
}

function rootsOf(value: Json | undefined): Map<string, Json> {
  const roots = new Map<string, Json>();
  for (const entry of list(value, "roots")) {
    if (!isObject(entry) || entry["kind"] === undefined || entry["sha256"] === undefined) {
      throw refusal("invalid_policy", "roots: an entry is not an object with kind and sha256.");
    }
    only(entry, new Set(["kind", "sha256"]));
    const root = hash(entry["sha256"], DIGEST_BYTES, "a root");
    if (roots.has(root)) throw refusal("invalid_policy", `roots: ${root.slice(0, 16)}... is listed twice.`);
    roots.set(root, entry["kind"]);
  }
  return roots;
}

function checkedKind(root: string, kind: Json): Kind {
  const mistake = NOT_FINGERPRINTS.get(root);
  if (mistake !== undefined) {
    throw refusal("not_a_certificate_fingerprint", `The root ${root.slice(0, 16)}... is the hash of ${mistake}.`);
  }
  if ((kind !== "nitro" && kind !== "simulated") || (root === AWS_NITRO_ROOT_G1 && kind !== "nitro")) {
    throw refusal("invalid_policy", `The root ${root.slice(0, 16)}... cannot be of this kind.`);
  }
  return kind;
}

function pcrsOf(value: Json | undefined): Map<number, ReadonlySet<string>> {
  if (!isObject(value)) throw refusal("invalid_policy", "pcrs: not an object.");
  const pcrs = new Map<number, ReadonlySet<string>>();
  for (const [index, values] of Object.entries(value)) {
    // "01" and "1" would be two spellings of one register, the second quietly replacing the first.
    if (!/^(?:0|[1-9][0-9]?)$/.test(index)) throw refusal("invalid_policy", "pcrs: a key is not a PCR index.");
    pcrs.set(Number(index), hashes(list(values, `PCR ${index}`), PCR_BYTES, `PCR ${index}`));
  }
  return pcrs;
}

function optional(value: Json | undefined, where: string): ReadonlySet<string> | null {
  return value === undefined || value === null ? null : hashes(list(value, where), DIGEST_BYTES, where);
}

function hashes(values: readonly Json[], size: number, where: string): ReadonlySet<string> {
  if (!values.length) throw refusal("empty_allow_list", `${where}: no accepted value.`);
  return new Set(values.map((value) => hash(value, size, where)));
}

function hash(value: Json | undefined, size: number, where: string): string {
  const text = typeof value === "string" ? value.toLowerCase() : "";
  if (text.length !== 2 * size || !/^[0-9a-f]*$/.test(text)) {
    throw refusal("invalid_policy", `${where}: not ${2 * size} hexadecimal digits.`);
  }
  if (/^0*$/.test(text)) throw refusal("zero_measurement", `${where}: all zeros.`);
  return text;
}

function seconds(members: JsonObject, where: string, missing: number): number {
  // Null is not left out: whoever writes it may mean "no limit".
  const { [where]: value = missing } = members;
  if (typeof value !== "number" || value < 0 || value > MAX_SECONDS) {
    throw refusal("invalid_policy", `${where}: not a whole number of seconds from 0 to ${MAX_SECONDS}.`);
  }
  return value;
}

function list(value: Json | undefined, where: string): readonly Json[] {
  if (!Array.isArray(value)) throw refusal("invalid_policy", `${where}: not a list.`);
  return value;
}

function only(members: JsonObject, known: ReadonlySet<string>): void {
  if (Object.keys(members).some((name) => !known.has(name))) {
    throw refusal("unknown_policy_key", "The policy has an unknown key.");
  }
}
