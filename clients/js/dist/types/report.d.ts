/** The report of a verification: each check, the values it compared with, and its result. */
import type { Part } from "./release.js";
import type { EvidenceKind } from "./roots.js";
/** The result of one step: what was `checked`, `against` what, and whether it passed or the policy did not require it. */
export interface Step {
    readonly number: number;
    readonly name: string;
    readonly checked: string;
    readonly against: string;
    readonly result: "passed" | "not asked";
}
/** Warnings for parts that the policy left open. */
export declare const LEFT_OPEN: Readonly<Record<Part, string>>;
/** Notices for evidence that no hardware signed. */
export declare const PROVES_NOTHING: Readonly<Record<EvidenceKind, string | null>>;
type Found = Pick<VerificationReport, "kind" | "at" | "archived" | "steps" | "release" | "leftOpen">;
/** The passed steps of one verification. */
export declare class VerificationReport {
    readonly kind: EvidenceKind;
    /** The time of judgement. */
    readonly at: Date;
    /** Whether that is the document's own time. */
    readonly archived: boolean;
    readonly steps: readonly Step[];
    /** The name of the matching release, if it has one. */
    readonly release: string | null;
    /** The parts that this release leaves open. */
    readonly leftOpen: readonly Part[];
    constructor({ kind, at, archived, steps, release, leftOpen }: Found);
    /** One sentence for each part that the policy left open. */
    get warnings(): readonly string[];
    /** The notice for evidence that proves nothing; null for genuine evidence. */
    get notice(): string | null;
    /** With the members that `blindsight attest --json` prints. */
    toJSON(): Record<string, unknown>;
    /** Plain text ending in a line feed: a heading, the release's name, open parts, the steps. */
    render(): string;
}
export {};
