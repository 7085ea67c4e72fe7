/**
 * What a verifier accepts: releases of enclaves, except recalled ones, and evidence of which age.
 *
 * A policy is a file: `blindsight-policy/2`, or `blindsight-policy/1` where that still says enough (docs/policy.md; a
 * port of blindsight/attestation/policy.py and policy_file.py). Nothing is guessed: an unknown key, a key given twice,
 * a null or a number with a fraction refuses the file. Nothing accepts any enclave unless it says so by name.
 */

import { PCR_BYTES } from "./document.ts";
import { PolicyError, refusal } from "./errors.ts";
import { DuplicateMemberError, isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import { hash, invalid, list, named, only, optionalText, optionalTime, registers } from "./policyjson.ts";
import { DIGEST_BYTES, releaseOf, versionKey, type Release } from "./release.ts";
import type { EvidenceKind } from "./roots.ts";

export const SCHEMA = "blindsight-policy/2";
export const FIRST_SCHEMA = "blindsight-policy/1";

/** Seconds. Evidence is made for a nonce within one round trip. */
const DEFAULT_MAX_AGE = 300;

/** Seconds by which the enclave's clock may be ahead of the verifier's. */
const DEFAULT_MAX_FUTURE_SKEW = 60;

/** Ceiling of both limits: the life of an instance's certificate, after which no document verifies live. */
const MAX_SECONDS = 24 * 3600;

const LIMITS = ["max_age_seconds", "max_future_skew_seconds"];
const MEMBERS: ReadonlySet<string> = new Set([
  "schema",
  "releases",
  "refuse",
  "minimum_version",
  "expires",
  ...LIMITS,
]);
const RELEASE_MEMBERS: ReadonlySet<string> = new Set([
  "kind",
  "name",
  "version",
  "roots",
  "pcrs",
  "function_checksums",
  "model_digests",
  "function_in_image",
  "any_code",
  "any_function",
  "expires",
]);
const FIRST_MEMBERS: ReadonlySet<string> = new Set([
  "schema",
  "roots",
  "pcrs",
  "function_checksums",
  "model_digests",
  ...LIMITS,
]);
const FIRST_ROOT_MEMBERS: ReadonlySet<string> = new Set(["kind", "sha256"]);

/**
 * Which releases are accepted. Ages are whole seconds.
 *
 * `refuse` lists recalled releases, whatever accepts them: PCR values, function checksums and model digests in
 * lower-case hexadecimal. Releases below `minimumVersion`, or without a version, are not accepted. From `expires` on,
 * the policy refuses everything.
 */
export class Policy {
  readonly releases: readonly Release[];
  readonly refuse: ReadonlySet<string>;
  readonly minimumVersion: string | null;
  readonly expires: Date | null;
  readonly maxAge: number;
  readonly maxFutureSkew: number;

  private constructor({ releases, refuse, minimumVersion, expires, maxAge, maxFutureSkew }: Policy) {
    this.releases = releases;
    this.refuse = refuse;
    this.minimumVersion = minimumVersion;
    this.expires = expires;
    this.maxAge = maxAge;
    this.maxFutureSkew = maxFutureSkew;
  }

  /** Parse a policy file's text. Throws `PolicyError`. */
  static fromJson(text: string): Policy {
    return new Policy(policyIn(parsed(text)));
  }
}

function policyIn(members: Json): Policy {
  if (isObject(members) && members["schema"] === SCHEMA) return second(members);
  if (isObject(members) && members["schema"] === FIRST_SCHEMA) return first(members);
  throw invalid(`The policy states neither the schema ${SCHEMA} nor ${FIRST_SCHEMA}.`);
}

function parsed(text: string): Json {
  try {
    return parseJson(text, { integersOnly: true });
  } catch (error) {
    if (error instanceof DuplicateMemberError) throw invalid("An object has the same key twice.");
    throw refusal("unreadable_policy", "The policy is not JSON with whole numbers.");
  }
}

function second(members: JsonObject): Policy {
  only(members, MEMBERS);
  const releases = list(members["releases"], "releases").map((value, index) => numbered(index + 1, value));
  const refuse = list("refuse" in members ? members["refuse"] : [], "refuse");
  const minimumVersion = optionalText(members, "minimum_version");
  const expires = optionalTime(members);
  if (!releases.length) throw invalid("releases: no release is accepted.");
  checkKinds(releases);
  if (minimumVersion !== null) versionKey(minimumVersion, "minimum_version");
  const limits = limitsOf(members);
  return { releases, refuse: new Set(refuse.map(recalled)), minimumVersion, expires, ...limits };
}

function numbered(number: number, value: Json): Release {
  try {
    return release(value);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(error.code, `Release ${number} of the policy: ${error.message}`, error.nextStep);
  }
}

function release(members: Json): Release {
  if (!isObject(members)) throw invalid("not an object.");
  only(members, RELEASE_MEMBERS);
  return releaseOf({
    kind: members["kind"],
    pcrs: registers("pcrs" in members ? members["pcrs"] : {}),
    functionChecksums: optionalList(members, "function_checksums"),
    modelDigests: optionalList(members, "model_digests"),
    roots: optionalList(members, "roots"),
    expires: optionalTime(members),
    functionInImage: named(members, "function_in_image"),
    anyCode: named(members, "any_code"),
    anyFunction: named(members, "any_function"),
    name: optionalText(members, "name"),
    version: optionalText(members, "version"),
  });
}

/** The older format had one list of PCRs for all its roots: one release for each kind of root. */
function first(members: JsonObject): Policy {
  only(members, FIRST_MEMBERS);
  const kinds = firstRoots(members["roots"]);
  if (!kinds.size) throw refusal("no_roots", "The policy lists no root of trust.");
  const rest = {
    pcrs: registers(members["pcrs"]),
    functionChecksums: nullableList(members, "function_checksums"),
    modelDigests: nullableList(members, "model_digests"),
    expires: null,
    functionInImage: false,
    anyCode: false,
    anyFunction: false,
    name: null,
    version: null,
  };
  const releases = Array.from(kinds, ([kind, roots]) => releaseOf({ ...rest, kind, roots }));
  return { releases, refuse: new Set(), minimumVersion: null, expires: null, ...limitsOf(members) };
}

/** By kind, in the order of the file. */
function firstRoots(value: Json | undefined): ReadonlyMap<string, readonly string[]> {
  const kinds = new Map<string, string[]>();
  for (const entry of list(value, "roots")) {
    if (!isObject(entry) || entry["kind"] === undefined || entry["sha256"] === undefined) {
      throw invalid("roots: an entry is not an object with kind and sha256.");
    }
    only(entry, FIRST_ROOT_MEMBERS);
    const root = hash(entry["sha256"], DIGEST_BYTES, "a root");
    if ([...kinds.values()].flat().includes(root)) throw invalid(`roots: ${root.slice(0, 16)}... is listed twice.`);
    const kind = optionalText(entry, "kind") ?? "";
    kinds.set(kind, [...(kinds.get(kind) ?? []), root]);
  }
  return kinds;
}

/** One root may stand in several releases, but not for two kinds. */
function checkKinds(releases: readonly Release[]): void {
  const kinds = new Map<string, EvidenceKind>();
  for (const { roots, kind } of releases) {
    for (const root of roots) {
      if ((kinds.get(root) ?? kind) !== kind) throw invalid(`The root ${root.slice(0, 16)}... stands for two kinds.`);
      kinds.set(root, kind);
    }
  }
}

/** Null if it is left out. */
function optionalList(members: JsonObject, name: string): readonly Json[] | null {
  return name in members ? list(members[name], name) : null;
}

/** In the first format, null was the same as left out. */
function nullableList(members: JsonObject, name: string): readonly Json[] | null {
  return (members[name] ?? null) === null ? null : list(members[name], name);
}

function recalled(value: Json): string {
  const isDigest = typeof value === "string" && value.length === 2 * DIGEST_BYTES;
  return hash(value, isDigest ? DIGEST_BYTES : PCR_BYTES, "refuse");
}

function limitsOf(members: JsonObject): Pick<Policy, "maxAge" | "maxFutureSkew"> {
  return {
    maxAge: seconds(members, "max_age_seconds", DEFAULT_MAX_AGE),
    maxFutureSkew: seconds(members, "max_future_skew_seconds", DEFAULT_MAX_FUTURE_SKEW),
  };
}

function seconds(members: JsonObject, where: string, missing: number): number {
  // Null is not left out: its author may mean "no limit".
  const { [where]: value = missing } = members;
  if (typeof value !== "number" || value < 0 || value > MAX_SECONDS) {
    throw invalid(`${where}: not a whole number of seconds from 0 to ${MAX_SECONDS}.`);
  }
  return value;
}
