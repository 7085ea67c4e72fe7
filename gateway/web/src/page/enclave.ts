/** The enclave that photos are sealed to: verified by the policy in use, again and again if that changes. */

import { checkPlatform, Client } from "blindsight-client";

import { byId } from "./dom.ts";
import * as policies from "./policies.ts";
import { PolicyChanged, type Chosen } from "./policies.ts";
import * as progress from "./progress.ts";
import * as view from "./view.ts";

/** The downloaded single file: no gateway sent it, so it must be told of one, and takes no gateway's word for a policy. */
export const single = document.documentElement.dataset["mode"] === "file";

/** A client whose enclave was verified, and the policy that it was verified by. */
export interface Ready {
  readonly client: Client;
  readonly policy: Chosen;
}

let ready: Ready | undefined;
/** The newest verification, while it runs. */
let verifying: Promise<void> | undefined;
/** Counts verifications: one that was replaced meanwhile decides nothing, and sends nothing more. */
let attempts = 0;
/** Why the policy that the user loaded last cannot be used: no other is used in its place. */
let unusable: unknown;
let changed: PolicyChanged | undefined;
let announce: (error: unknown) => void = refused;

/** Have `use` called with the reason when a verification refuses the enclave; it calls `refused`. */
export function onRefusal(use: (error: unknown) => void): void {
  announce = use;
}

/** The verified enclave, after whatever verification is going on. Undefined if it was refused, which is then shown. */
export async function verified(): Promise<Ready | undefined> {
  if (!ready && !verifying) void verify();
  // Another may begin while one is awaited.
  while (verifying) await verifying;
  return ready;
}

export async function verify(): Promise<void> {
  const running = attempt(++attempts).finally(() => {
    if (verifying === running) verifying = undefined;
  });
  verifying = running;
  await running;
}

async function attempt(mine: number): Promise<void> {
  const replaced = (): boolean => mine !== attempts;
  ready = changed = undefined;
  view.clearEnclave();
  view.policySource();
  view.verdict("waiting", "Verifying the enclave…");
  try {
    checkPlatform();
    byId("policy-forget").hidden = unusable === undefined && !policies.hasOwn();
    const policy = await chosen();
    if (replaced()) return;
    const gateway = byId<HTMLInputElement>("gateway");
    if (!policy || (single && !gateway.checkValidity())) {
      view.verdict("waiting", "Name the gateway and load your policy to begin.", "not checked");
      return;
    }
    view.policySource(policy);
    const client = clientFor(single ? gateway.value.trim() : location.origin + policies.BASE, policy, replaced);
    await client.verify();
    const { recipient } = client;
    if (replaced()) return;
    if (!recipient) throw new Error("policy or release ended just now");
    view.enclave(recipient, policy);
    ready = { client, policy };
  } catch (error) {
    if (!replaced()) announce(error);
  }
}

function clientFor(gateway: string, policy: Chosen, replaced: () => boolean): Client {
  return new Client(gateway, {
    policy: policy.text,
    apiToken: byId<HTMLInputElement>("token").value.trim(),
    fetch: async (...request) => {
      // However long a gateway holds evidence back: what is verified by a policy that was replaced gets no photo.
      if (replaced()) throw new Error("replaced");
      const [input] = request;
      const sealed = String(input).endsWith("/ohttp");
      progress.at(sealed ? "classify" : "check");
      const response = await fetch(...request);
      if (sealed && response.ok) progress.at("receipt");
      return response;
    },
  });
}

/** The user's own policy, or what the gateway states; the single file takes no gateway's word. */
export async function chosen(): Promise<Chosen | undefined> {
  if (unusable !== undefined) throw unusable;
  return single ? await policies.own() : ((await policies.own()) ?? (await policies.stated()));
}

/** The enclave, or the policy, is refused. */
export function refused(error: unknown): void {
  ready = undefined;
  view.clearEnclave();
  view.refusedEnclave(error);
  if (error instanceof PolicyChanged) {
    changed = error;
    byId("policy-accept").hidden = false;
  }
}

/** Keep the user's policy; `verify` uses it, or says why it cannot. */
export async function loadPolicy(file: Blob): Promise<void> {
  try {
    policies.keepOwn(await file.text());
    unusable = undefined;
  } catch (error) {
    unusable = error;
  }
}

export function forgetPolicy(): void {
  // A file that could not be used was not kept, and what was kept before it counts again.
  if (unusable === undefined) policies.forgetOwn();
  unusable = undefined;
}

/** Take the policy that the gateway changed to. */
export function acceptPolicy(): void {
  if (changed) policies.accept(changed);
}
