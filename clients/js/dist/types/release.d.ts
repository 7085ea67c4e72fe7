/**
 * One release of an enclave, as a policy lists it: roots, measurements, function, model, version, end.
 *
 * What would accept more than it seems to is refused when a release is made: code or function that nothing pins and
 * that is not left open by name, an empty list, a measurement of zeros. A port of blindsight/attestation/release.py.
 */
import type { Json } from "./json.js";
import { type EvidenceKind } from "./roots.js";
export declare const DIGEST_BYTES = 32;
/** What a release pins, or leaves open by name. */
export type Part = "code" | "function";
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
export declare function releaseOf(stated: Stated): Release;
/** What versions are compared by: four numbers, missing ones zero. Throws `PolicyError`. */
export declare function versionKey(version: string, where: string): readonly number[];
