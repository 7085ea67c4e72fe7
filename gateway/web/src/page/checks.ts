/** What the steps of a verification mean, for people without the field's training. */

import type { Recipient, Step, VerificationReport } from "blindsight-client";

export type State = "passed" | "caution" | "failed" | "open" | "pending";

/** One thing that was checked. */
export interface Check {
  readonly state: State;
  readonly name: string;
  readonly says: string;
}

interface Group {
  /** The steps that it takes. */
  readonly steps: readonly number[];
  readonly name: string;
  readonly passed: string;
  /** Its name and words if it failed. */
  readonly failed: readonly [string, string];
  /** If the policy does not ask for it. */
  readonly open?: string;
}

const SIGNATURE: Group = {
  steps: [1, 2, 3, 4, 5],
  name: "Its evidence is signed",
  passed: "An authority that the policy accepts has signed it.",
  failed: ["Its evidence is not signed correctly", "It has no valid signature by an authority that the policy accepts."],
};

const GROUPS: readonly Group[] = [
  SIGNATURE,
  {
    steps: [6],
    name: "It is not in debug mode",
    passed: "In debug mode, its operator could look inside.",
    failed: ["It is in debug mode", "Its operator can look inside."],
  },
  {
    steps: [7],
    name: "It runs the expected program",
    passed: "The measurements of its code are those that the policy accepts.",
    failed: ["It runs another program", "The measurements of its code are not those that the policy accepts."],
    open: "Not checked: the policy accepts any program.",
  },
  {
    steps: [8, 9],
    name: "It runs the expected model",
    passed: "Model and function were measured, too, and the policy accepts them.",
    failed: ["It runs another model or function", "The policy does not accept them, or they differ from those that were measured."],
    open: "Checked only in part: the policy accepts any function.",
  },
  {
    steps: [10],
    name: "It answers you, now",
    passed: "Its evidence contains a random number that this browser has just made.",
    failed: ["It did not answer you, or not now", "The evidence was not made for this browser just now: it may be an old copy."],
  },
  {
    steps: [11],
    name: "Only its key opens your photo",
    passed: "Its evidence contains the key that photos are encrypted to.",
    failed: ["Another key would open your photo", "The key or the model that came with the evidence is not the one in it."],
  },
];

const SIGNED: Readonly<Record<VerificationReport["kind"], string>> = {
  nitro: "Amazon’s hardware has signed it: the chain of certificates ends at the root of AWS Nitro.",
  simulated: "A test authority on its own machine has signed it. No hardware vouches for it.",
  "qemu-nitro-enclave": "An emulator (QEMU) wrote it, and nothing has signed it.",
};

/** What must be said below the checks of evidence that no hardware stands behind. */
export const UNPROVEN =
  "All of this is only the machine’s own statement: its operator could see and change everything. Use it for tests and " +
  "development, not for confidential photos.";

/** What was found of an enclave that the policy accepts. */
export function found({ report }: Pick<Recipient, "report">): Check[] {
  return GROUPS.map((group) => {
    const { name, passed, open } = group;
    const left = report.steps.some((step) => group.steps.includes(step.number) && isOpen(step));
    if (group === SIGNATURE) {
      const state = report.kind === "nitro" ? "passed" : "caution";
      return { state, name: state === "passed" ? name : "Its evidence proves nothing", says: SIGNED[report.kind] };
    }
    return left && open ? { state: "open", name, says: open } : { state: "passed", name, says: passed };
  });
}

function isOpen({ result }: Step): boolean {
  return result === "not asked";
}

/** What was found of an enclave whose evidence was refused at this step: the steps are taken in their order. */
export function refusedAt(step: number): Check[] {
  return GROUPS.map(({ steps, name, passed, failed }) => {
    if (steps.includes(step)) return { state: "failed", name: failed[0], says: failed[1] };
    const before = steps.every((each) => each < step);
    return before ? { state: "passed", name, says: passed } : { state: "pending", name, says: "Not checked, because an earlier check failed." };
  });
}
