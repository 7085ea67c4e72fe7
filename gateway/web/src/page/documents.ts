/** A kept attestation document, checked on the page by the policy in use: at its own time, and now. It goes nowhere. */

import { fromBase64, fromUtf8, hex, type Bytes } from "../protocol/bytes.ts";
import { ENVELOPE_FORMAT } from "../protocol/client.ts";
import { refusal } from "../protocol/errors.ts";
import { isObject, parseJson, type JsonObject } from "../protocol/json.ts";
import { parsePolicy } from "../protocol/policy.ts";
import { LEFT_OPEN, measurements, PROVES_NOTHING } from "../protocol/recipient.ts";
import { verify, verifyArchived, type Verified } from "../protocol/verify.ts";
import { byId, define } from "./dom.ts";
import type { Chosen } from "./policies.ts";
import * as view from "./view.ts";

/** A document in the JSON of `GET /attestation` has its model's manifest beside it. */
const MAX_FILE_BYTES = 1024 * 1024;

const JUDGED = ["then", "now"] as const;
type Judged = (typeof JUDGED)[number];

/** Show what `file` is found to be by the policy that `choose` gives. */
export async function check(file: Blob, choose: () => Promise<Chosen | undefined>): Promise<void> {
  clear();
  let policy: Chosen | undefined;
  let document: Bytes;
  try {
    policy = await choose();
    document = await documentIn(file);
  } catch (error) {
    view.refuse("document-refusal", error);
    return;
  }
  if (!policy) {
    view.refuse("document-refusal", refusal("unreadable_policy", "Load your own policy first, above."));
    return;
  }
  await judge("then", policy, () => verifyArchived(document, parsePolicy(policy.text)));
  await judge("now", policy, () =>
    verify(document, { policy: parsePolicy(policy.text), nonce: null, now: new Date() }),
  );
  byId("document").hidden = false;
}

async function judge(when: Judged, policy: Chosen, verifyIt: () => Promise<Verified>): Promise<void> {
  const verdict = byId(`document-${when}`);
  try {
    const verified = await verifyIt();
    verdict.dataset["state"] = verified.kind === "nitro" && !verified.leftOpen.length ? "verified" : "caution";
    verdict.textContent = found(verified, when, policy);
    show(verified);
  } catch (error) {
    verdict.dataset["state"] = "refused";
    verdict.textContent = when === "then" ? "Refused, even at its own time." : "Refused now.";
    view.refuse(`document-${when}-refusal`, error);
  }
}

function found({ kind, release, leftOpen }: Verified, when: Judged, { source }: Chosen): string {
  const whose = source === "own" ? "your policy" : "the gateway’s stated policy";
  const of = release === null ? whose : `release “${release}” of ${whose}`;
  const limits =
    when === "then"
      ? "That says what was so when it was made, and nothing of now."
      : "Without a nonce of yours, it may be the answer to anyone’s question.";
  const open = leftOpen.map((part) => LEFT_OPEN[part]);
  return [PROVES_NOTHING[kind] ?? "Genuine Nitro evidence.", `Accepted by ${of}.`, ...open, limits].join(" ");
}

/** The steps of the later judgement that passed. */
function show(verified: Verified): void {
  byId("document-steps").replaceChildren(...view.stepItems(verified.steps));
  const { document, rootSha256 } = verified;
  define(byId("document-facts"), [
    ["Kind of enclave", verified.kind],
    ["Module", JSON.stringify(document.moduleId)],
    ["Made", document.timestamp.toISOString()],
    ["Judged at", verified.at.toISOString()],
    ["Root", rootSha256 ?? "none: nothing signs it"],
    ["Claims", verified.claims ? "function, model and keys" : "none"],
    ...Object.entries(measurements(verified)).map(([index, value]) => [`PCR ${index}`, value] as const),
    ["user_data", document.userData ? hex(document.userData) : "none"],
  ]);
  byId("document-report").hidden = false;
}

function clear(): void {
  byId("document").hidden = true;
  byId("document-report").hidden = true;
  byId("document-steps").replaceChildren();
  view.clearRefusal("document-refusal");
  for (const when of JUDGED) view.clearRefusal(`document-${when}-refusal`);
}

/** As bytes, or as the member `document` of a JSON object. */
async function documentIn(file: Blob): Promise<Bytes> {
  if (file.size > MAX_FILE_BYTES) throw refusal("document_too_large", `More than ${MAX_FILE_BYTES} bytes.`, 1);
  const content = new Uint8Array(await file.arrayBuffer());
  const text = fromUtf8(content)?.trimStart();
  if (!text?.startsWith("{")) return content;
  const members = objectIn(text);
  if ((members["format"] ?? ENVELOPE_FORMAT) !== ENVELOPE_FORMAT) {
    throw refusal("unsupported_envelope", "The evidence came in an envelope of another version.", 1);
  }
  const encoded = members["document"];
  const document = typeof encoded === "string" ? fromBase64(encoded) : undefined;
  if (!document) throw refusal("not_cose_sign1", "The JSON has no attestation document in it.", 1);
  return document;
}

/** Empty for what is no object. */
function objectIn(text: string): JsonObject {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
