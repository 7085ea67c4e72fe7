/** What the page shows. Everything that came from elsewhere goes in as text. */

import { BlindsightError, EvidenceError, GatewayProblem, Problem } from "blindsight-client";
import type { Classification, Recipient, Step } from "blindsight-client";

import { hex } from "./bytes.ts";
import { byId, define, make } from "./dom.ts";
import type { Chosen } from "./policies.ts";

const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const bytes = new Intl.NumberFormat();

const OWN_POLICY = "The list of accepted measurements is the policy that you loaded, which this browser keeps.";
const GATEWAYS_POLICY =
  "The list of accepted measurements came from the very gateway that is being checked, and is the one that this browser " +
  "saw there first. To check against what you trust, load your own policy.";

type Verdict = "waiting" | "verified" | "caution" | "refused";

/** Say that something is being done, or done. */
export function status(text: string): void {
  byId("status").textContent = text;
}

/** Nothing of an earlier photo's answer stays. */
export function clearAnswer(): void {
  byId("answer").hidden = true;
  byId("bars").replaceChildren();
  byId("traffic").replaceChildren();
  clearRefusal("problem");
}

/** Nothing of what was said of an enclave stays. */
export function clearEnclave(): void {
  byId("evidence").hidden = true;
  byId("notice").hidden = true;
  byId("policy-accept").hidden = true;
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
  const message = known ? error.message : "This page failed.";
  const next = known ? error.nextStep : "Reload it; if it happens again, tell the operator.";
  const element = byId(place);
  element.replaceChildren(
    make("p", make("strong", says ? "Not answered. " : "Refused. "), says, message),
    make("p", make("strong", "What to do: "), next),
    make("p", "Code: ", make("code", code), step),
  );
  element.dataset["refusalCode"] = code;
  element.hidden = false;
}

/** The verdict on the enclave: verified, refused, or being looked at. */
export function verdict(state: Verdict, text: string): void {
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
  verdict(report.kind === "nitro" && !report.leftOpen.length ? "verified" : "caution", found(report, policy));
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

/** The items of a list of steps. */
export function stepItems(steps: readonly Step[]): HTMLLIElement[] {
  return steps.map(({ number, name, checked, against, result }) => {
    const item = make("li", make("strong", `${number}. ${name}`), make("span", result), make("span", checked));
    if (result === "passed") item.append(make("span", `against: ${against}`));
    return item;
  });
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
      : `Not proven: EMULATED ENCLAVE (QEMU): the evidence is unsigned. It states ${what} with nothing behind it.`;
  }
  if (leftOpen.length) return `Verified only in part: a genuine Nitro enclave, by ${of}, ${open}.`;
  return `Verified: a genuine Nitro enclave that runs exactly the code and model of ${of}.`;
}

export function preview(photo: Blob): void {
  clearPreview();
  const image = byId<HTMLImageElement>("preview");
  image.src = URL.createObjectURL(photo);
  image.hidden = false;
  // What this browser cannot show, the enclave may still know.
  image.onerror = () => (image.hidden = true);
}

export function clearPreview(): void {
  const image = byId<HTMLImageElement>("preview");
  image.hidden = true;
  if (image.src) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
}

export function answer(classified: Classification): void {
  const bars = classified.predictions.map(({ label, score }) => {
    const bar = make("meter");
    bar.value = score;
    bar.setAttribute("aria-hidden", "true");
    const names = make("span", make("span", label), make("span", percent.format(score)));
    names.className = "names";
    return make("li", names, bar);
  });
  byId("bars").replaceChildren(...bars);
  const { sentBytes, sentStart, receivedBytes, receivedStart, url } = classified.traffic;
  define(byId("traffic"), [
    ["Where to", new URL(url, location.href).href],
    ["Sealed request", `${bytes.format(sentBytes)} bytes: ${spaced(hex(sentStart))} …`],
    ["Sealed answer", `${bytes.format(receivedBytes)} bytes: ${spaced(hex(receivedStart))} …`],
  ]);
  const when = classified.receipt && new Date(classified.receipt.iat * 1000).toLocaleString();
  byId("receipt").textContent = when ? `Receipt: verified. Signed by this enclave ${when}, for this photo and answer.` : "";
  byId("answer").hidden = false;
}

function spaced(digits: string): string {
  return digits.replace(/(.{8})(?=.)/g, "$1 ");
}
