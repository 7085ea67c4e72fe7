/** What the page shows of an answer. Labels go in as text. */

import type { Classification } from "blindsight-client";

import { hex } from "./bytes.ts";
import { byId, define, make } from "./dom.ts";
import { clearRefusal } from "./view.ts";

const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const bytes = new Intl.NumberFormat();

/** Nothing of an earlier photo's answer stays. */
export function clear(): void {
  byId("answer").hidden = true;
  byId("seen").hidden = true;
  byId("bars").replaceChildren();
  byId("traffic").replaceChildren();
  byId("receipt").textContent = "";
  clearRefusal("problem");
}

/** `converted` says what was sent in the photo's place, if it was not the photo itself. */
export function show(classified: Classification, converted?: string): void {
  const { kind } = classified.report;
  const untrained = !classified.recipient.manifest["trained"];
  const tags = [
    ...(kind === "nitro" ? [] : [kind === "simulated" ? "simulated enclave" : "emulated enclave"]),
    ...(untrained ? ["untrained model: noise"] : []),
    ...(classified.multiLabel ? ["multi-label"] : []),
    ...(classified.precision === "float32" ? [] : [classified.precision]),
  ];
  byId("tags").replaceChildren(...tags.map((tag) => make("span", tag)));
  byId("tags").hidden = tags.length === 0;
  byId("answer").dataset["trained"] = String(!untrained);
  byId("noise").hidden = !untrained;
  byId("several").hidden = !classified.multiLabel;
  byId("bars").setAttribute("aria-label", classified.multiLabel ? "Classes, highest score first" : "Classes, most likely first");
  byId("conversion").textContent = converted ?? "";
  byId("converted").hidden = converted === undefined;
  byId("bars").replaceChildren(...classified.predictions.map(({ label, score }) => bar(label, score)));
  showTraffic(classified.traffic);
  const when = classified.receipt && new Date(classified.receipt.iat * 1000).toLocaleString();
  byId("receipt").textContent = when ? `Receipt: verified. Signed by this enclave ${when}, for this photo and answer.` : "";
  byId("answer").hidden = false;
  byId("seen").hidden = false;
}

/** A class with a bar that grows to its score. */
function bar(label: string, score: number): HTMLLIElement {
  const names = make("span", make("span", label), make("span", percent.format(score)));
  names.className = "names";
  const fill = make("span");
  const track = make("span", fill);
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  // The width that it grows from must have been drawn.
  requestAnimationFrame(() => requestAnimationFrame(() => fill.style.setProperty("width", `${score * 100}%`)));
  return make("li", names, track);
}

function showTraffic({ sentBytes, sentStart, receivedBytes, receivedStart, url }: Classification["traffic"]): void {
  define(byId("traffic"), [
    ["Where to", new URL(url, location.href).href],
    ["Sealed request", `${bytes.format(sentBytes)} bytes: ${spaced(hex(sentStart))} …`],
    ["Sealed answer", `${bytes.format(receivedBytes)} bytes: ${spaced(hex(receivedStart))} …`],
  ]);
}

function spaced(digits: string): string {
  return digits.replace(/(.{8})(?=.)/g, "$1 ");
}
