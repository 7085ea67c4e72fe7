/** The page: verify the enclave, seal a photo to it, show what came back and what was refused. */

import { checkPlatform, Client, EvidenceError, PolicyError } from "blindsight-client";

import { byId } from "./dom.ts";
import * as documents from "./documents.ts";
import * as policies from "./policies.ts";
import { PolicyChanged, type Chosen } from "./policies.ts";
import * as view from "./view.ts";

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

/** The downloaded single file: no gateway sent it, so it must be told of one, and takes no gateway's word for a policy. */
const single = document.documentElement.dataset["mode"] === "file";

/** A client whose enclave was verified, and the policy that it was verified by. */
interface Ready {
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
let archive: string | undefined;
/** Counts photos: an answer to one that was replaced meanwhile is not shown. */
let turn = 0;

/** The verified enclave, after whatever verification is going on. Undefined if it was refused, which is then shown. */
async function verified(): Promise<Ready | undefined> {
  if (!ready && !verifying) void verify();
  // Another may begin while one is awaited.
  while (verifying) await verifying;
  return ready;
}

async function verify(): Promise<void> {
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
      view.verdict("waiting", "Name the gateway and load your policy to begin.");
      return;
    }
    view.policySource(policy);
    const client = new Client(single ? gateway.value.trim() : location.origin + policies.BASE, {
      policy: policy.text,
      apiToken: byId<HTMLInputElement>("token").value.trim(),
      // However long a gateway holds evidence back: what is verified by a policy that was replaced gets no photo.
      fetch: async (...request) => {
        if (replaced()) throw new Error("replaced");
        return await fetch(...request);
      },
    });
    await client.verify();
    const { recipient } = client;
    if (replaced()) return;
    if (!recipient) throw new Error("policy or release ended just now");
    view.enclave(recipient, policy);
    ready = { client, policy };
  } catch (error) {
    if (!replaced()) refused(error);
  }
}

/** The user's own policy, or what the gateway states; the single file takes no gateway's word. */
async function chosen(): Promise<Chosen | undefined> {
  if (unusable !== undefined) throw unusable;
  return single ? await policies.own() : ((await policies.own()) ?? (await policies.stated()));
}

/** The enclave, or the policy, is refused. No answer stays on the page. */
function refused(error: unknown): void {
  ready = undefined;
  view.clearEnclave();
  view.clearAnswer();
  view.verdict("refused", "Not verified: no photo is sent to this enclave.");
  view.refuse("refusal", error);
  if (error instanceof PolicyChanged) {
    changed = error;
    byId("policy-accept").hidden = false;
  }
}

/** Seal one photo, show its classes. */
async function classify(photo: Blob): Promise<void> {
  const mine = ++turn;
  archive = undefined;
  view.clearAnswer();
  view.preview(photo);
  if (photo.size > MAX_IMAGE_BYTES) {
    view.status("That file is larger than 20 MiB; choose a smaller one.");
    return;
  }
  view.status("Sealing the photo and waiting for the enclave…");
  try {
    const image = new Uint8Array(await photo.arrayBuffer());
    const enclave = await verified();
    if (mine !== turn) return;
    if (!enclave) {
      view.status("Not sent: the enclave is not verified.");
      return;
    }
    const classified = await enclave.client.classify(image, { withReceipt: true });
    if (mine !== turn) return;
    archive = classified.archive ?? undefined;
    // It may have been verified anew meanwhile.
    view.enclave(classified.recipient, enclave.policy);
    view.answer(classified);
    view.status(`Answered by ${String(classified.model["name"])}, sealed both ways.`);
  } catch (error) {
    if (mine !== turn) return;
    view.status("No answer.");
    if (refusesEnclave(error)) refused(error);
    else view.refuse("problem", error);
  }
}

/** Whether it is the enclave that was refused when it was verified anew, or the policy that it is verified by. */
function refusesEnclave(error: unknown): boolean {
  return error instanceof EvidenceError || (error instanceof PolicyError && error.code === "policy_expired");
}

function save(): void {
  if (archive === undefined) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([archive], { type: "application/json" }));
  link.download = "blindsight-receipt.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function loadPolicy(file: Blob): Promise<void> {
  try {
    policies.keepOwn(await file.text());
    unusable = undefined;
  } catch (error) {
    unusable = error;
  }
  restart();
}

function forgetPolicy(): void {
  // A file that could not be used was not kept, and what was kept before it counts again.
  if (unusable === undefined) policies.forgetOwn();
  unusable = undefined;
  restart();
}

/** Verify from the beginning: nothing that was shown before still holds, and no photo that waits is sent. */
function restart(): void {
  turn++;
  archive = undefined;
  view.clearAnswer();
  view.clearPreview();
  view.status("No photo yet.");
  void verify();
}

/** Call `use` for what is chosen in a file field. */
function onFile(id: string, use: (file: File) => Promise<void>): void {
  const input = byId<HTMLInputElement>(id);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    // The same file may be chosen again.
    input.value = "";
    if (file) void use(file);
  });
}

function listen(): void {
  onFile("file", classify);
  onFile("camera", classify);
  onFile("policy-file", loadPolicy);
  onFile("document-file", (file) => documents.check(file, chosen));
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
  byId("again").addEventListener("click", restart);
  byId("token").addEventListener("change", restart);
  byId("policy-forget").addEventListener("click", forgetPolicy);
  byId("policy-accept").addEventListener("click", () => {
    if (changed) policies.accept(changed);
    restart();
  });
  byId("gateway-form").addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
}

function arrange(): void {
  byId("gateway-form").hidden = !single;
  // The form has a button of its own for that.
  byId("again").hidden = single;
  byId("trust-file").hidden = !single;
  byId("trust-served").hidden = single;
  byId("links").hidden = single;
  byId("curl").textContent = `curl -F file=@photo.jpg ${location.origin}${policies.BASE}/classify`;
}

arrange();
listen();
void verify();
