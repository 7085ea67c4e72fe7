/** The page: verify the enclave, seal a photo to it, show what came back and what was refused. */

import { BlindsightError, EvidenceError, PolicyError, Problem, TransportError, type Client } from "blindsight-client";

import * as answer from "./answer.ts";
import { toJpeg } from "./convert.ts";
import * as documents from "./documents.ts";
import { byId } from "./dom.ts";
import * as enclave from "./enclave.ts";
import { formatOf, LOOKED_AT, takes } from "./formats.ts";
import * as preview from "./photo.ts";
import * as policies from "./policies.ts";
import * as progress from "./progress.ts";
import * as view from "./view.ts";

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

let archive: string | undefined;
/** The JPEG that was sent in the photo's place. */
let jpeg: File | undefined;
/** The newest photo: an answer to one that was replaced meanwhile is not shown. */
let photo: Blob | undefined;
/** Ends the call that is about it. */
let call = new AbortController();
/** Whether the enclave or the photo could not be sent for want of a connection. */
let lost = false;

/** Seal one photo, show its classes. */
async function classify(chosen: Blob): Promise<void> {
  const { signal } = renew(chosen);
  preview.show(chosen);
  if (chosen.size > MAX_IMAGE_BYTES) {
    progress.status("That file is larger than 20 MiB; choose a smaller one.");
    return;
  }
  progress.begin();
  progress.status("Encrypting the photo and waiting for the enclave…");
  try {
    const ready = await enclave.verified();
    if (signal.aborted) return;
    if (!ready) {
      progress.status("Not sent: the enclave is not verified.");
      progress.fail(false);
      return;
    }
    progress.at("seal");
    const sent = await readable(chosen, ready.client);
    const image = new Uint8Array(await sent.content.arrayBuffer());
    if (signal.aborted) return;
    const classified = await ready.client.classify(image, { withReceipt: true, signal });
    if (signal.aborted) return;
    archive = classified.archive ?? undefined;
    if (sent.converted !== undefined) jpeg = new File([image], `${nameOf(chosen)}.sent.jpg`, { type: "image/jpeg" });
    // It may have been verified anew meanwhile.
    view.enclave(classified.recipient, ready.policy);
    answer.show(classified, sent.converted);
    progress.finish();
    progress.status(`Answered by ${String(classified.model["name"])}, sealed both ways.`);
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
}

function failed(error: unknown): void {
  const again = error instanceof BlindsightError && error.retryable;
  // It came to its answer, which is that there is none.
  if (error instanceof Problem) progress.at("classify");
  progress.status("No answer.");
  progress.fail(again);
  if (refusesEnclave(error)) refused(error);
  else view.refuse("problem", error);
  lost = error instanceof TransportError;
}

/** What is sealed: the photo itself, or what this browser made of one that the enclave's model does not take. */
async function readable(chosen: Blob, { recipient }: Client): Promise<{ content: Blob; converted?: string }> {
  const format = formatOf(new Uint8Array(await chosen.slice(0, LOOKED_AT).arrayBuffer()));
  // What is of no known format is the enclave's to refuse.
  if (!format || !recipient || takes(recipient.manifest, format)) return { content: chosen };
  const decoded = await toJpeg(chosen);
  if (!decoded) {
    const message = `This is a file of format ${format.title}, which neither the enclave nor this browser can read.`;
    const next = "Save it as JPEG, PNG or WebP, or open this page in Safari, which reads HEIC.";
    throw new BlindsightError("unsupported_format", message, next);
  }
  const { content, width, height } = decoded;
  const size = `${width} × ${height}, ${preview.sizeOf(content)}`;
  const converted = `This ${format.title} photo was converted to JPEG here (${size}) before encryption. The receipt is for the JPEG.`;
  return { content, converted };
}

/** Whether it is the enclave that was refused when it was verified anew, or the policy that it is verified by. */
function refusesEnclave(error: unknown): boolean {
  return error instanceof EvidenceError || (error instanceof PolicyError && error.code === "policy_expired");
}

/** The enclave, or the policy, is refused. No answer stays on the page. */
function refused(error: unknown): void {
  lost = error instanceof TransportError;
  answer.clear();
  enclave.refused(error);
}

/** Nothing that is shown or under way for an earlier photo counts any more. */
function renew(chosen?: Blob): AbortController {
  call.abort();
  call = new AbortController();
  photo = chosen;
  archive = jpeg = undefined;
  lost = false;
  answer.clear();
  progress.clear();
  return call;
}

/** Verify from the beginning: nothing that was shown before still holds, and no photo that waits is sent. */
function restart(): void {
  renew();
  preview.clear();
  progress.status("No photo yet.");
  void enclave.verify();
}

function cancel(): void {
  call.abort();
  progress.clear();
  progress.status("Cancelled.");
}

/** Once more, with the same photo, under the policy that holds now. */
function retry(): void {
  if (photo) void classify(photo);
  else restart();
}

function save(file: File | undefined): void {
  if (!file) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function receipt(): File | undefined {
  return archive === undefined ? undefined : new File([archive], "blindsight-receipt.json", { type: "application/json" });
}

function nameOf(chosen: Blob): string {
  return chosen instanceof File ? chosen.name : "photo";
}

async function loadPolicy(file: Blob): Promise<void> {
  await enclave.loadPolicy(file);
  restart();
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
  onFile("document-file", (file) => documents.check(file, enclave.chosen));
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (pasted) void classify(pasted);
  });
  listenToDrops();
  byId("save").addEventListener("click", () => save(receipt()));
  byId("save-sent").addEventListener("click", () => save(jpeg));
  byId("cancel").addEventListener("click", cancel);
  byId("retry").addEventListener("click", retry);
  byId("again").addEventListener("click", restart);
  byId("token").addEventListener("change", restart);
  byId("policy-forget").addEventListener("click", () => {
    enclave.forgetPolicy();
    restart();
  });
  byId("policy-accept").addEventListener("click", () => {
    enclave.acceptPolicy();
    restart();
  });
  byId("gateway-form").addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
  window.addEventListener("online", () => {
    if (lost) retry();
  });
}

/** A photo dropped beside the field must not replace the page, and counts. */
function listenToDrops(): void {
  const drop = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    // Out of the window, and not into another element.
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const dropped = event.dataTransfer?.files[0];
    if (dropped) void classify(dropped);
  });
}

function arrange(): void {
  byId("gateway-form").hidden = !enclave.single;
  // The form has a button of its own for that.
  byId("again").hidden = enclave.single;
  byId("trust-file").hidden = !enclave.single;
  byId("trust-served").hidden = enclave.single;
  byId("links").hidden = enclave.single;
  byId("curl").textContent = `curl -F file=@photo.jpg ${location.origin}${policies.BASE}/classify`;
}

arrange();
listen();
enclave.onRefusal(refused);
void enclave.verify();
