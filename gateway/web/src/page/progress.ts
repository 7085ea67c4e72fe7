/** How far a photo is on its way, and that it takes long. */

import { byId } from "./dom.ts";

/** The stages, in their order. */
const STAGES = ["check", "seal", "classify", "receipt"] as const;
export type Stage = (typeof STAGES)[number];

/** Milliseconds after which it is said that it takes long. */
const LONG = 4000;

let ticking: ReturnType<typeof setInterval> | undefined;
let underWay = false;

/** Say in a sentence what is being done, or was. */
export function status(text: string): void {
  byId("status").textContent = text;
}

/** A photo is on its way. */
export function begin(): void {
  end();
  underWay = true;
  const since = Date.now();
  at("check");
  byId("cancel").hidden = false;
  byId("choices").hidden = false;
  ticking = setInterval(() => {
    const passed = Date.now() - since;
    if (passed >= LONG) sayLong(Math.round(passed / 1000));
  }, 1000);
}

/** It has come to this stage. Not shown without a photo that is on its way. */
export function at(stage: Stage): void {
  if (!underWay) return;
  const now = STAGES.indexOf(stage);
  STAGES.forEach((each, index) => mark(each, index < now ? "done" : index === now ? "active" : "pending"));
}

/** All stages are done. */
export function finish(): void {
  end();
  for (const stage of STAGES) mark(stage, "done");
  byId("stages").hidden = true;
}

/** It went no further. `again` says whether to offer another try. */
export function fail(again: boolean): void {
  const active = STAGES.find((stage) => byId(`stage-${stage}`).dataset["state"] === "active");
  end();
  if (active) mark(active, "failed");
  byId("retry").hidden = !again;
  byId("choices").hidden = !again;
}

/** No photo. */
export function clear(): void {
  end();
  for (const stage of STAGES) mark(stage, "pending");
}

function end(): void {
  byId("stages").hidden = false;
  clearInterval(ticking);
  underWay = false;
  byId("slow").hidden = true;
  byId("slow").textContent = "";
  byId("cancel").hidden = true;
  byId("retry").hidden = true;
  byId("choices").hidden = true;
}

function mark(stage: Stage, state: "pending" | "active" | "done" | "failed"): void {
  const item = byId(`stage-${stage}`);
  item.dataset["state"] = state;
  if (state === "active") item.setAttribute("aria-current", "step");
  else item.removeAttribute("aria-current");
}

function sayLong(seconds: number): void {
  const slow = byId("slow");
  slow.hidden = false;
  // Once: a live region that counts would be read out each second.
  if (!slow.textContent) {
    slow.textContent = `This takes long: the service is busy, or the connection is slow. You can wait, or cancel.`;
  }
  slow.dataset["seconds"] = String(seconds);
}
