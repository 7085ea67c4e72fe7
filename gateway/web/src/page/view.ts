/** What the page shows. Everything that came from elsewhere goes in as text. */

import { hex } from "../protocol/bytes.ts";
import type { Classified, Enclave } from "../protocol/client.ts";
import { Refusal } from "../protocol/errors.ts";
import { byId, define, make } from "./dom.ts";

const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const bytes = new Intl.NumberFormat();

/** Say that something is being done, or done. */
export function status(text: string): void {
  byId("status").textContent = text;
}

/** Nothing of an earlier photo stays. */
export function clearAnswer(): void {
  byId("answer").hidden = true;
  byId("bars").replaceChildren();
  byId("traffic").replaceChildren();
  clearRefusal("problem");
}

export function clearRefusal(place: "refusal" | "problem"): void {
  const element = byId(place);
  element.hidden = true;
  element.replaceChildren();
  delete element.dataset["refusalCode"];
}

/** Show why nothing was sent, or believed: about the enclave in `refusal`, about a photo in `problem`. */
export function refuse(place: "refusal" | "problem", error: unknown): void {
  const known = error instanceof Refusal;
  const code = known ? error.code : "internal";
  const says = !known ? "" : error.fromGateway ? "The gateway says: " : error.fromEnclave ? "The enclave says: " : "";
  const step = known && error.step !== undefined ? `, step ${error.step}` : "";
  const element = byId(place);
  element.replaceChildren(
    make("p", make("strong", says ? "Not answered. " : "Refused. "), says, known ? error.message : "This page failed."),
    make("p", known ? error.nextStep : "Reload it; if it happens again, tell the operator.", ` (${code}${step})`),
  );
  element.dataset["refusalCode"] = code;
  element.hidden = false;
}

/** The verdict on the enclave: verified, refused, or being looked at. */
export function verdict(text: string, good: boolean): void {
  const element = byId("verdict");
  element.textContent = text;
  element.classList.toggle("good", good);
}

export function noEvidence(): void {
  byId("evidence").hidden = true;
  byId("notice").hidden = true;
}

export function evidence(enclave: Enclave): void {
  const rows = enclave.steps.map(({ number, name, checked, against, result }) => {
    const heading = make("th", `${number}. ${name}`);
    heading.scope = "row";
    return make("tr", heading, make("td", checked), make("td", against), make("td", result));
  });
  byId("steps").replaceChildren(...rows);
  define(byId("facts"), [
    ["Kind of enclave", enclave.kind],
    ["Model", `${String(enclave.model["name"])} ${String(enclave.model["version"])}, digest ${enclave.modelDigest}`],
    ["Function", enclave.functionChecksum],
    ["Key exchange", enclave.kem === "X25519" ? "X25519" : `${enclave.kem} (post-quantum hybrid)`],
    ...Object.entries(enclave.pcrs).map(([index, value]) => [`PCR ${index}`, value] as const),
  ]);
  byId("evidence").hidden = false;
  const notice = byId("notice");
  notice.textContent = enclave.notices.join(" ");
  notice.hidden = enclave.notices.length === 0;
}

export function answer(classified: Classified): void {
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
  const when = new Date(classified.receipt.iat * 1000);
  byId("receipt").textContent = `Receipt verified: signed by this enclave ${when.toLocaleString()}, for this photo and answer.`;
  byId("answer").hidden = false;
}

function spaced(digits: string): string {
  return digits.replace(/(.{8})(?=.)/g, "$1 ");
}
