/**
 * What a verifier accepts: releases of enclaves, except recalled ones, and evidence of which age.
 *
 * A policy is a file: `blindsight-policy/2`, or `blindsight-policy/1` where that still says enough (docs/policy.md; a
 * port of blindsight/attestation/policy.py and policy_file.py). Nothing is guessed: an unknown key, a key given twice,
 * a null or a number with a fraction refuses the file. Nothing accepts any enclave unless it says so by name.
 */
import { type Release } from "./release.js";
export declare const SCHEMA = "blindsight-policy/2";
export declare const FIRST_SCHEMA = "blindsight-policy/1";
/**
 * Which releases are accepted. Ages are whole seconds.
 *
 * `refuse` lists recalled releases, whatever accepts them: PCR values, function checksums and model digests in
 * lower-case hexadecimal. Releases below `minimumVersion`, or without a version, are not accepted. From `expires` on,
 * the policy refuses everything.
 */
export declare class Policy {
    readonly releases: readonly Release[];
    readonly refuse: ReadonlySet<string>;
    readonly minimumVersion: string | null;
    readonly expires: Date | null;
    readonly maxAge: number;
    readonly maxFutureSkew: number;
    private constructor();
    /** Parse a policy file's text. Throws `PolicyError`. */
    static fromJson(text: string): Policy;
}
