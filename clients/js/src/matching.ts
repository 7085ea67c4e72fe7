/**
 * Which release of a policy a document is, in the verifier's steps 3, 7 and 9.
 *
 * Each step keeps the releases that it has nothing against. If it keeps none, the refusal is that of the first release
 * that had come so far; so a document is refused for what parts it from the release that it resembles most. A port of
 * blindsight/attestation/matching.py. Everything throws `EvidenceError`.
 */

import { hex, type Bytes } from "./bytes.ts";
import { formatted } from "./chain.ts";
import type { Claims } from "./claims.ts";
import { refusal, type BlindsightError } from "./errors.ts";
import type { Policy } from "./policy.ts";
import { versionKey, type Release } from "./release.ts";

/** At least one. */
export type Releases = readonly [Release, ...Release[]];

/** Refuse a policy that was not in force any more `at` that time. */
export function checkPolicy({ expires }: Policy, at: Date): void {
  if (expires && at >= expires) throw refusal("policy_expired", `The policy expired at ${formatted(expires)}.`);
}

/** The releases whose evidence descends from the root with this SHA-256, all of one kind. */
export function byRoot(policy: Policy, rootSha256: string, step: number): Releases {
  const pinned = (release: Release): BlindsightError | undefined =>
    release.roots.has(rootSha256)
      ? undefined
      : refusal("root_not_pinned", `The root ${rootSha256} is not in the policy.`, step);
  return kept(policy.releases, pinned);
}

/** The releases that are accepted `at` that time and list these `pcrs`. */
export function byMeasurements(
  releases: Releases,
  pcrs: ReadonlyMap<number, Bytes>,
  { policy, at, step }: { policy: Policy; at: Date; step: number },
): Releases {
  for (const [index, value] of sorted(pcrs)) {
    if (policy.refuse.has(hex(value))) {
      throw refusal("release_recalled", `PCR ${index} is ${hex(value)}, which the policy refuses.`, step);
    }
  }
  const ofAge = kept(releases, (release) => ageRefusal(release, policy, at, step));
  return kept(ofAge, (release) => measurementRefusal(release, pcrs, step));
}

/** The first of the releases that accepts function and model. */
export function byIdentity(
  releases: Releases,
  claims: Claims | null,
  { policy, step }: { policy: Policy; step: number },
): Release {
  const checksum = claims && hex(claims.funcChecksum);
  const digest = claims && hex(claims.modelSha256);
  for (const [name, value] of [["function", checksum], ["model", digest]] as const) {
    if (value !== null && policy.refuse.has(value)) {
      throw refusal("release_recalled", `The ${name} is ${value}, which the policy refuses.`, step);
    }
  }
  const ofFunction = kept(releases, ({ functionChecksums, modelDigests }) => {
    if (!claims && (functionChecksums ?? modelDigests)) {
      return refusal("claims_missing", "The document names no function and no model.", step);
    }
    return accepts(functionChecksums, checksum)
      ? undefined
      : refusal("function_not_accepted", `The function is ${checksum}.`, step);
  });
  const ofModel = kept(ofFunction, ({ modelDigests }) =>
    accepts(modelDigests, digest) ? undefined : refusal("model_not_accepted", `The model is ${digest}.`, step),
  );
  return ofModel[0];
}

function ageRefusal({ version, expires }: Release, policy: Policy, at: Date, step: number): BlindsightError | undefined {
  const least = policy.minimumVersion;
  if (least !== null && (version === null || isBelow(version, least))) {
    const text = `The release is version ${version ?? "unknown"}; ${least} is the lowest that the policy accepts.`;
    return refusal("release_too_old", text, step);
  }
  if (expires && at >= expires) {
    return refusal("release_expired", `The release was accepted until ${formatted(expires)}.`, step);
  }
  return undefined;
}

function measurementRefusal(release: Release, pcrs: ReadonlyMap<number, Bytes>, step: number): BlindsightError | undefined {
  for (const [index, accepted] of sorted(release.pcrs)) {
    const value = pcrs.get(index);
    if (!value) return refusal("pcr_missing", `The document has no PCR ${index}.`, step);
    if (!accepted.has(hex(value))) {
      return refusal("pcr_mismatch", `PCR ${index} is ${hex(value)}, which the policy does not accept.`, step);
    }
  }
  return undefined;
}

/** Null accepts any, and a document that makes no claims is judged before. */
function accepts(accepted: ReadonlySet<string> | null, value: string | null): boolean {
  return accepted === null || value === null || accepted.has(value);
}

/** Those of `releases` without a refusal; the first refusal is thrown if none is left. */
function kept(releases: readonly Release[], refusalOf: (release: Release) => BlindsightError | undefined): Releases {
  const refusals = releases.map(refusalOf);
  const [release, ...others] = releases.filter((_, index) => refusals[index] === undefined);
  if (!release) throw refusals[0] ?? new RangeError("a policy has at least one release");
  return [release, ...others];
}

function isBelow(version: string, least: string): boolean {
  const wanted = versionKey(least, "minimum_version");
  const found = versionKey(version, "version");
  const differing = found.findIndex((number, index) => number !== wanted[index]);
  return differing >= 0 && (found[differing] ?? 0) < (wanted[differing] ?? 0);
}

function sorted<Value>(registers: ReadonlyMap<number, Value>): [number, Value][] {
  return [...registers].sort(([one], [other]) => one - other);
}
