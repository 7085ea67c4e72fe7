/** The page: verify the enclave, seal a photo to it, show what came back and what was refused. */

import { Client, Refusal, type Enclave } from "../protocol/client.ts";
import { subtle } from "../protocol/webcrypto.ts";
import { byId } from "./dom.ts";
import * as policies from "./policies.ts";
import { PolicyChanged, type Chosen } from "./policies.ts";
import * as view from "./view.ts";

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;
const REFUSED = "Not verified: no photo is sent to this enclave.";

/** The downloaded single file: no gateway sent it, so it must be told of one, and takes no gateway's word for a policy. */
const single = document.documentElement.dataset["mode"] === "file";

let client: Client | undefined;
let changed: PolicyChanged | undefined;
let archive: string | undefined;
/** Counts photos: an answer to one that was replaced meanwhile is nobody's. */
let turn = 0;
/** Counts verifications: one that was begun before the latest, and ends after it, has no say. */
let verification = 0;

/** Make a client for the chosen policy and verify the enclave. Undefined if it was refused, which is then shown. */
async function verify(): Promise<Client | undefined> {
  const mine = ++verification;
  client = changed = undefined;
  view.clearRefusal("refusal");
  view.noEvidence();
  byId("policy-accept").hidden = true;
  view.verdict("Verifying the enclave…", false);
  try {
    subtle();
    const chosen = await policy();
    if (!chosen) return undefined;
    const gateway = single ? byId<HTMLInputElement>("gateway").value.trim() : "";
    const made = new Client({ gateway, policy: chosen.text, token: byId<HTMLInputElement>("token").value.trim() });
    const enclave = await made.verify();
    if (mine !== verification) return undefined;
    show(enclave, chosen);
    client = made;
  } catch (error) {
    if (mine !== verification) return undefined;
    // What an enclave answered that is now refused does not stay, either.
    turn++;
    view.clearAnswer();
    view.verdict(REFUSED, false);
    view.refuse("refusal", error);
    if (error instanceof PolicyChanged) {
      changed = error;
      byId("policy-accept").hidden = false;
    }
  }
  return client;
}

/** The policy to verify by; undefined if the single file still waits for one, or for a gateway. */
async function policy(): Promise<Chosen | undefined> {
  byId("policy-forget").hidden = policies.own() === null;
  if (!single) return await policies.choose();
  const text = policies.own();
  if (text === null || !byId<HTMLInputElement>("gateway").value) {
    view.verdict("Name the gateway and load your policy to begin.", false);
    return undefined;
  }
  return { text, source: "own" };
}

function show(enclave: Enclave, { source }: Chosen): void {
  const whose = source === "own" ? "your policy" : "the gateway’s stated policy";
  view.verdict(
    enclave.kind === "nitro"
      ? `Verified: a genuine Nitro enclave that runs exactly the code and model of ${whose}.`
      : `Verified, but SIMULATED: the code and model of ${whose}, with no hardware behind them.`,
    enclave.kind === "nitro",
  );
  byId("policy-source").textContent =
    source === "own"
      ? "Checked against the policy that you loaded, which this browser keeps."
      : "The list of accepted measurements came from the very gateway that is being checked, and is the one that this browser " +
        "saw there first. To check against what you trust, load your own policy.";
  view.evidence(enclave);
}

/** Seal one photo, show its classes. */
async function classify(photo: Blob): Promise<void> {
  const mine = ++turn;
  archive = undefined;
  view.clearAnswer();
  preview(photo);
  try {
    if (photo.size > MAX_IMAGE_BYTES) {
      view.status("That file is larger than 20 MiB; choose a smaller one.");
      return;
    }
    view.status("Sealing the photo and waiting for the enclave…");
    const ready = client ?? (await verify());
    if (!ready) {
      view.status("Not sent: the enclave is not verified.");
      return;
    }
    const image = new Uint8Array(await photo.arrayBuffer());
    const classified = await ready.classify(image);
    if (mine !== turn) return;
    archive = classified.archive;
    view.answer(classified);
    view.evidence(classified.enclave);
    view.status(`Answered by ${String(classified.model["name"])}, sealed both ways.`);
  } catch (error) {
    if (mine !== turn) return;
    view.status("No answer.");
    if (error instanceof Refusal && error.step !== undefined) {
      // The enclave was verified anew, and is not what it was.
      client = undefined;
      view.noEvidence();
      view.verdict(REFUSED, false);
      view.refuse("refusal", error);
    } else {
      view.refuse("problem", error);
    }
  }
}

function preview(photo: Blob): void {
  const image = byId<HTMLImageElement>("preview");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(photo);
  image.hidden = false;
  image.onerror = () => (image.hidden = true);
}

function save(): void {
  if (archive === undefined) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([archive], { type: "application/json" }));
  link.download = "blindsight-receipt.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function loadPolicy(input: HTMLInputElement): Promise<void> {
  const file = input.files?.[0];
  input.value = "";
  if (!file) return;
  try {
    policies.keepOwn(await file.text());
  } catch (error) {
    view.refuse("refusal", error);
    return;
  }
  await restart();
}

/** Another policy or gateway: nothing that was shown before still holds. */
async function restart(): Promise<void> {
  turn++;
  view.clearAnswer();
  view.status("No photo yet.");
  await verify();
}

function listen(): void {
  for (const id of ["file", "camera"]) {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener("change", () => {
      const photo = input.files?.[0];
      // The same file may be chosen again.
      input.value = "";
      if (photo) void classify(photo);
    });
  }
  document.addEventListener("paste", (event) => {
    const photo = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (photo) void classify(photo);
  });
  const drop = byId("drop");
  // A photo dropped beside the field must not replace the page.
  for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    const photo = event.dataTransfer?.files[0];
    if (photo) void classify(photo);
  });
  byId("save").addEventListener("click", save);
  byId("again").addEventListener("click", () => void verify());
  byId("token").addEventListener("change", () => void verify());
  byId("policy-file").addEventListener("change", (event) => void loadPolicy(event.target as HTMLInputElement));
  byId("policy-forget").addEventListener("click", () => {
    policies.forgetOwn();
    void restart();
  });
  byId("policy-accept").addEventListener("click", () => {
    if (changed) policies.accept(changed);
    void restart();
  });
  byId("gateway-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void restart();
  });
}

function arrange(): void {
  byId("gateway-form").hidden = !single;
  byId("trust-file").hidden = !single;
  byId("trust-served").hidden = single;
  byId("links").hidden = single;
  byId("curl").textContent = `curl -F file=@photo.jpg ${location.origin}/classify`;
}

arrange();
listen();
void verify();
