/** What the page shows of the enclave, and every refusal. All that came from elsewhere goes in as text. */

import { BlindsightError, EvidenceError, GatewayProblem, Problem, TransportError } from "blindsight-client";
import type { Recipient, Step } from "blindsight-client";

import * as checks from "./checks.ts";
import { byId, define, make } from "./dom.ts";
import type { Chosen } from "./policies.ts";

const OWN_POLICY = "The list of accepted measurements is the policy that you loaded, which this browser keeps.";
const GATEWAYS_POLICY =
  "The list of accepted measurements came from the gateway that is being checked, and is the one that this browser " +
  "saw there first. To verify against a list that you trust, load your own policy.";

const OFFLINE = "This device is offline.";
const ONLINE_AGAIN = "Nothing to do: the page tries again by itself once there is a connection.";

type Verdict = "waiting" | "verified" | "caution" | "refused";

const MARKS: Readonly<Record<checks.State, string>> = {
  passed: "passed",
  caution: "careful",
  failed: "failed",
  open: "not asked",
  pending: "not checked",
};

/** Nothing of what was said of an enclave stays. */
export function clearEnclave(): void {
  byId("evidence").hidden = true;
  byId("notice").hidden = true;
  byId("policy-accept").hidden = true;
  listChecks([]);
  clearRefusal("refusal");
}

/** Where refusals are shown: of the enclave, of a photo, of a kept document. */
type Place = "refusal" | "problem" | "document-refusal" | "document-then-refusal" | "document-now-refusal";

export function clearRefusal(place: Place): void {
  const element = byId(place);
  element.hidden = true;
  element.replaceChildren();
  delete element.dataset["refusalCode"];
}

/** Show why nothing was sent, or believed: about the enclave in `refusal`, about a photo in `problem`. */
export function refuse(place: Place, error: unknown): void {
  const known = error instanceof BlindsightError;
  const code = known ? error.code : "internal";
  const says = error instanceof GatewayProblem ? "The gateway says: " : error instanceof Problem ? "The enclave says: " : "";
  const step = error instanceof EvidenceError ? `, step ${error.step}` : "";
  const offline = isOffline(error);
  const message = offline ? OFFLINE : known ? error.message : "This page failed.";
  const next = offline ? ONLINE_AGAIN : known ? error.nextStep : "Reload it; if it happens again, tell the operator.";
  const lost = error instanceof TransportError;
  const failed = error instanceof EvidenceError ? checks.refusedAt(error.step).find(({ state }) => state === "failed") : undefined;
  const element = byId(place);
  element.replaceChildren(
    make("p", make("strong", says ? "Not answered. " : lost ? "No connection. " : "Refused. "), failed ? `${failed.name}.` : says + message),
    make("p", make("strong", "What to do: "), next),
    make("p", ...(failed ? [message, " "] : []), "Code: ", make("code", code), step, "."),
  );
  element.dataset["refusalCode"] = code;
  element.dataset["kind"] = lost ? "lost" : "refused";
  element.hidden = false;
}

/** Whether it was the connection that failed, of a device that has none. A gateway on the same machine needs none. */
export function isOffline(error: unknown): boolean {
  return error instanceof TransportError && !navigator.onLine;
}

const BADGES: Readonly<Record<Verdict, string>> = {
  waiting: "checking",
  verified: "verified",
  caution: "simulated",
  refused: "refused",
};

/** The verdict on the enclave, in a word and in a sentence: verified, refused, or being looked at. */
export function verdict(state: Verdict, text: string, badge = BADGES[state]): void {
  byId("finding").dataset["state"] = state;
  byId("badge").textContent = badge;
  const element = byId("verdict");
  element.dataset["state"] = state;
  element.textContent = text;
}

/** Whose list of accepted measurements it is; undefined if there is none yet. */
export function policySource(policy?: Chosen): void {
  const text = { own: OWN_POLICY, gateway: GATEWAYS_POLICY };
  byId("policy-source").textContent = policy ? text[policy.source] : "";
}

/** An enclave that the policy accepts. */
export function enclave(shown: Recipient, policy: Chosen): void {
  const { report, manifest, verified, config } = shown;
  const whole = report.kind === "nitro" && !report.leftOpen.length;
  verdict(whole ? "verified" : "caution", found(report, policy), badgeOf(report));
  listChecks(checks.found(shown), report.notice === null ? "" : checks.UNPROVEN);
  byId("steps").replaceChildren(...stepItems(report.steps));
  define(byId("facts"), [
    ["Kind of enclave", report.kind],
    ["Evidence checked", report.at.toLocaleString()],
    ["Release", report.release ?? "without a name in the policy"],
    ...(verified.until ? [["Accepted until", verified.until.toLocaleString()] as const] : []),
    ["Key exchange", config.kem.name === "X25519" ? "X25519" : `${config.kem.name} (post-quantum hybrid)`],
    ["Model", `${String(manifest["name"])} ${String(manifest["version"])}`],
    ["Model digest", shown.modelDigest],
    ["Function", shown.functionChecksum],
    ["Policy’s SHA-256", policy.digest],
    ...Object.entries(shown.measurements).map(([index, value]) => [`PCR ${index}`, value] as const),
  ]);
  byId("evidence").hidden = false;
  const notice = byId("notice");
  notice.textContent = shown.notices.join(" ");
  notice.hidden = shown.notices.length === 0;
}

/** The enclave is refused: at which of the checks, if it was one of them. */
export function refusedEnclave(error: unknown): void {
  const lost = error instanceof TransportError;
  verdict("refused", "Not verified: no photo is sent to this enclave.", lost ? "not reached" : "refused");
  refuse("refusal", error);
  if (error instanceof EvidenceError && error.step > 0) listChecks(checks.refusedAt(error.step));
}

function listChecks(found: readonly checks.Check[], note = ""): void {
  const list = byId("checks");
  list.replaceChildren(
    ...found.map(({ state, name, says }) => {
      const mark = make("span", MARKS[state]);
      mark.className = "mark";
      const item = make("li", mark, make("strong", name), make("span", says));
      item.dataset["state"] = state;
      return item;
    }),
  );
  const part = byId<HTMLDetailsElement>("checked");
  part.hidden = found.length === 0;
  // Which of them failed is what a refusal is about.
  if (found.some(({ state }) => state === "failed")) part.open = true;
  const below = byId("checks-note");
  below.textContent = note;
  below.hidden = note === "";
}

/** The items of a list of steps. */
export function stepItems(steps: readonly Step[]): HTMLLIElement[] {
  return steps.map(({ number, name, checked, against, result }) => {
    const item = make("li", make("strong", `${number}. ${name}`), make("span", result), make("span", checked));
    if (result === "passed") item.append(make("span", `against: ${against}`));
    return item;
  });
}

function badgeOf({ kind, leftOpen }: Recipient["report"]): string {
  if (kind === "nitro") return leftOpen.length ? "in part" : "verified";
  return kind === "simulated" ? "simulated" : "emulated";
}

/** What was verified, and what was not. */
function found({ kind, release, leftOpen }: Recipient["report"], { source }: Chosen): string {
  const whose = source === "own" ? "your policy" : "the gateway’s stated policy";
  const of = release === null ? whose : `release “${release}” of ${whose}`;
  const open = `which leaves open the ${leftOpen.join(" and the ")}`;
  if (kind !== "nitro") {
    const what = leftOpen.length ? `only what ${of} asks for, ${open},` : `the code and model of ${of},`;
    return kind === "simulated"
      ? `Verified, but SIMULATED: ${what} with no hardware behind it.`
      : `Not proven: EMULATED ENCLAVE (QEMU): the evidence is unsigned. It states ${what} without any proof.`;
  }
  if (leftOpen.length) return `Verified only in part: a genuine Nitro enclave, by ${of}, ${open}.`;
  return `Verified: a genuine Nitro enclave that runs exactly the code and model of ${of}.`;
}
