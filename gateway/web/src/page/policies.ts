/** Which policy the page verifies by, and where it came from. */

import { hex, utf8 } from "../protocol/bytes.ts";
import { Refusal, refusal } from "../protocol/errors.ts";
import { parsePolicy } from "../protocol/policy.ts";
import { sha256 } from "../protocol/webcrypto.ts";

const OWN = "blindsight.policy";
const SEEN = "blindsight.seen-policy:";

/** A policy's text, and whether it is the user's own or the word of the gateway that is being checked. */
export interface Chosen {
  readonly text: string;
  readonly source: "own" | "gateway";
}

/** The gateway's policy is not the one that it stated the first time. */
export class PolicyChanged extends Refusal {
  constructor(readonly digest: string) {
    super(
      "policy_changed",
      "The gateway states another policy than when this browser first asked it.",
      "Ask the operator why; accept the new policy only if you know what changed.",
      false,
      "here",
    );
  }
}

/** The user's own policy, if one was loaded. */
export function own(): string | null {
  return localStorage.getItem(OWN);
}

/** Keep a policy of the user's own. Throws `Refusal` for one that must not be used. */
export function keepOwn(text: string): void {
  parsePolicy(text);
  localStorage.setItem(OWN, text);
}

export function forgetOwn(): void {
  localStorage.removeItem(OWN);
}

/** The user's own policy; without one, what the gateway that served this page states, if it always stated the same. */
export async function choose(): Promise<Chosen> {
  const mine = own();
  if (mine !== null) return { text: mine, source: "own" };
  const text = await stated();
  const digest = await digestOf(text);
  const seen = localStorage.getItem(SEEN + location.origin);
  if (seen !== null && seen !== digest) throw new PolicyChanged(digest);
  localStorage.setItem(SEEN + location.origin, digest);
  return { text, source: "gateway" };
}

/** Take the gateway's changed policy for good from now on. */
export function accept({ digest }: PolicyChanged): void {
  localStorage.setItem(SEEN + location.origin, digest);
}

async function stated(): Promise<string> {
  try {
    const response = await fetch("/policy", { cache: "no-store", credentials: "omit", redirect: "error" });
    if (response.ok) return await response.text();
  } catch {
    // Said below, as for any other answer.
  }
  throw refusal("unreachable", "The gateway does not state its policy: load your own, or try again.");
}

async function digestOf(text: string): Promise<string> {
  return hex(await sha256(utf8(text)));
}
