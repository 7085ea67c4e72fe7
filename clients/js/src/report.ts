/** The report of a verification: each check, the values it compared with, and its result. */

import type { Part } from "./release.ts";
import type { EvidenceKind } from "./roots.ts";

/** The result of one step: what was `checked`, `against` what, and whether it passed or the policy did not require it. */
export interface Step {
  readonly number: number;
  readonly name: string;
  readonly checked: string;
  readonly against: string;
  readonly result: "passed" | "not asked";
}

/** Warnings for parts that the policy left open. */
export const LEFT_OPEN: Readonly<Record<Part, string>> = {
  code: "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
  function: "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted.",
};

/** Notices for evidence that no hardware signed. */
export const PROVES_NOTHING: Readonly<Record<EvidenceKind, string | null>> = {
  nitro: null,
  simulated: "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it.",
  "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing.",
};

const HEADINGS: Readonly<Record<EvidenceKind, string>> = {
  nitro: "Genuine Nitro evidence",
  simulated: "SIMULATED evidence: it proves nothing about hardware",
  "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing",
};

type Found = Pick<VerificationReport, "kind" | "at" | "archived" | "steps" | "release" | "leftOpen">;

/** The passed steps of one verification. */
export class VerificationReport {
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

  constructor({ kind, at, archived, steps, release, leftOpen }: Found) {
    this.kind = kind;
    this.at = at;
    this.archived = archived;
    this.steps = steps;
    this.release = release;
    this.leftOpen = leftOpen;
  }

  /** One sentence for each part that the policy left open. */
  get warnings(): readonly string[] {
    return this.leftOpen.map((part) => LEFT_OPEN[part]);
  }

  /** The notice for evidence that proves nothing; null for genuine evidence. */
  get notice(): string | null {
    return PROVES_NOTHING[this.kind];
  }

  /** With the members that `blindsight attest --json` prints. */
  toJSON(): Record<string, unknown> {
    const { kind, notice, archived, release, leftOpen, steps } = this;
    return { kind, notice, at: this.at.toISOString(), archived, release, left_open: [...leftOpen], steps: [...steps] };
  }

  /** Plain text ending in a line feed: a heading, the release's name, open parts, the steps. */
  render(): string {
    const judged = this.archived ? "at the document's own time" : "now";
    const at = this.at.toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
    const width = Math.max(...this.steps.map(({ name }) => name.length));
    const lines = [
      `${HEADINGS[this.kind]}, verified ${judged}, ${at}`,
      ...(this.release === null ? [] : [`Release ${this.release}`]),
      ...this.warnings,
      ...this.steps.map(
        ({ number, name, result, checked, against }) =>
          `${String(number).padStart(3)}. ${name.padEnd(width)}  ${result.padEnd(9)}  ${checked} / ${against}`,
      ),
    ];
    return `${lines.join("\n")}\n`;
  }
}
