/** Verification of a stored attestation document on the page, under the current policy: at its own time, and now. */

import { attestation, BlindsightError, EvidenceFormatError, Policy } from "blindsight-client";

import { hex } from "./bytes.ts";
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
  let document: attestation.Bytes;
  try {
    policy = await choose();
    document = await documentIn(file);
  } catch (error) {
    view.refuse("document-refusal", error);
    return;
  }
  if (!policy) {
    view.refuse("document-refusal", new BlindsightError("unreadable_policy", "Load your own policy first, above.", "Choose its file."));
    return;
  }
  await judge("then", policy, () => attestation.verifyArchived(document, Policy.fromJson(policy.text)));
  await judge("now", policy, () =>
    attestation.verify(document, { policy: Policy.fromJson(policy.text), nonce: null, now: new Date() }),
  );
  byId("document").hidden = false;
}

async function judge(when: Judged, policy: Chosen, verifyIt: () => Promise<attestation.Verified>): Promise<void> {
  const verdict = byId(`document-${when}`);
  try {
    const verified = await verifyIt();
    verdict.dataset["state"] = verified.kind === "nitro" && !verified.report.leftOpen.length ? "verified" : "caution";
    verdict.textContent = found(verified, when, policy);
    show(verified);
  } catch (error) {
    verdict.dataset["state"] = "refused";
    verdict.textContent = when === "then" ? "Refused, even at its own time." : "Refused now.";
    view.refuse(`document-${when}-refusal`, error);
  }
}

function found({ report }: attestation.Verified, when: Judged, { source }: Chosen): string {
  const { release, warnings, notice } = report;
  const whose = source === "own" ? "your policy" : "the gateway’s stated policy";
  const of = release === null ? whose : `release “${release}” of ${whose}`;
  const limits =
    when === "then"
      ? "This describes the enclave when the document was made, not now."
      : "Without a nonce of yours, the document may be the answer to another caller’s request.";
  return [notice ?? "Genuine Nitro evidence.", `Accepted by ${of}.`, ...warnings, limits].join(" ");
}

/** The steps of the later judgement that passed. */
function show(verified: attestation.Verified): void {
  byId("document-steps").replaceChildren(...view.stepItems(verified.report.steps));
  const { document, rootSha256 } = verified;
  define(byId("document-facts"), [
    ["Kind of enclave", verified.kind],
    ["Module", JSON.stringify(document.moduleId)],
    ["Made", document.timestamp.toISOString()],
    ["Judged at", verified.report.at.toISOString()],
    ["Root", rootSha256 ?? "none: nothing signs it"],
    ["Claims", verified.claims ? "function, model and keys" : "none"],
    ...Object.entries(attestation.measurements(verified)).map(([index, value]) => [`PCR ${index}`, value] as const),
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
async function documentIn(file: Blob): Promise<attestation.Bytes> {
  if (file.size > MAX_FILE_BYTES) {
    const message = `More than ${MAX_FILE_BYTES} bytes.`;
    throw new EvidenceFormatError("document_too_large", message, "Choose the file of one attestation document.", 1);
  }
  return attestation.documentIn(new Uint8Array(await file.arrayBuffer()));
}
