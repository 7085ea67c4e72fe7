/** What a verification checked, against what, and what it found: for people, logs and archives. */
import type { Part } from "./release.js";
import type { EvidenceKind } from "./roots.js";
/** One step: what was `checked`, `against` what, and whether it passed or the policy did not ask for it. */
export interface Step {
    readonly number: number;
    readonly name: string;
    readonly checked: string;
    readonly against: string;
    readonly result: "passed" | "not asked";
}
/** What a caller must know of an enclave of which the policy did not ask everything. */
export declare const LEFT_OPEN: Readonly<Record<Part, string>>;
/** What a caller must know of evidence that no hardware stands behind. */
export declare const PROVES_NOTHING: Readonly<Record<EvidenceKind, string | null>>;
type Found = Pick<VerificationReport, "kind" | "at" | "archived" | "steps" | "release" | "leftOpen">;
/** The steps of one verification that passed. */
export declare class VerificationReport {
    readonly kind: EvidenceKind;
    /** The time judged by. */
    readonly at: Date;
    /** Whether that was the document's own time. */
    readonly archived: boolean;
    readonly steps: readonly Step[];
    /** The name in the policy of the release that was found, if it has one. */
    readonly release: string | null;
    /** What that release accepts any of. */
    readonly leftOpen: readonly Part[];
    constructor({ kind, at, archived, steps, release, leftOpen }: Found);
    /** What the policy left open, a sentence for each part. */
    get warnings(): readonly string[];
    /** What must be said of evidence that proves nothing; null for genuine evidence. */
    get notice(): string | null;
    /** With the members that `blindsight attest --json` prints. */
    toJSON(): Record<string, unknown>;
    /** Plain text ending in a line feed: a heading, the release if it has a name, what is left open, the steps. */
    render(): string;
}
export {};
