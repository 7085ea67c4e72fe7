/** Which policy the page verifies by, and where it came from. */

import { BlindsightError, Policy, TransportError } from "blindsight-client";

import { sha256 } from "./bytes.ts";

/** The path that the gateway which served this page is shown under; empty, or without a slash at its end. */
export const BASE = location.pathname.replace(/\/[^/]*$/, "");

const OWN = "blindsight.policy";
const SEEN = "blindsight.seen-policy:";

/** Milliseconds for the gateway to state its policy. */
const TIMEOUT = 60_000;

/** A policy's text and its SHA-256, and whether it is the user's own or the word of the gateway that is being checked. */
export interface Chosen {
  readonly text: string;
  readonly digest: string;
  readonly source: "own" | "gateway";
}

/** The gateway's policy is not the one that it stated the first time. */
export class PolicyChanged extends BlindsightError {
  constructor(readonly digest: string) {
    super(
      "policy_changed",
      "The gateway’s policy is not the one that this browser first received from it.",
      "Ask the operator why; accept the new policy only if you know what changed.",
    );
  }
}

/** The user's own policy, if one was loaded. */
export async function own(): Promise<Chosen | undefined> {
  const text = kept(OWN);
  return text === null ? undefined : { text, digest: await sha256(text), source: "own" };
}

export function hasOwn(): boolean {
  return kept(OWN) !== null;
}

/** Keep a policy of the user's own. Throws `PolicyError` for one that must not be used. */
export function keepOwn(text: string): void {
  Policy.fromJson(text);
  keep(OWN, text);
}

export function forgetOwn(): void {
  localStorage.removeItem(OWN);
}

/** What the gateway that served this page states, if it always stated the same. Throws `BlindsightError`. */
export async function stated(): Promise<Chosen> {
  const text = await fetched();
  const digest = await sha256(text);
  const seen = kept(SEEN + location.origin + BASE);
  if (seen !== null && seen !== digest) throw new PolicyChanged(digest);
  keep(SEEN + location.origin + BASE, digest);
  return { text, digest, source: "gateway" };
}

async function fetched(): Promise<string> {
  try {
    const response = await fetch(`${BASE}/policy`, {
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (response.ok) return await response.text();
  } catch {
    // Not reached, or not whole: said below like any other answer that is not a policy.
  }
  const message = "The gateway did not send its policy: load your own, or try again.";
  throw new TransportError("unreachable", message, "Check the address and that the service runs, then try again.");
}

/** Take the gateway's changed policy for good from now on. */
export function accept({ digest }: PolicyChanged): void {
  keep(SEEN + location.origin + BASE, digest);
}

function kept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    throw noStorage();
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    throw noStorage();
  }
}

/** Without storage a policy that is another each time would go unnoticed. */
function noStorage(): BlindsightError {
  const message = "This browser stores no data for this page, so it could not detect a changed policy.";
  return new BlindsightError("no_storage", message, "Allow this page to store data, then load it again.");
}
