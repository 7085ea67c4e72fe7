/** An app as its author writes it: compiled by test_package.py, against the installed package. */

import { attestation, Client, EvidenceError, GatewayProblem, Policy, receipts, TransportError } from "blindsight-client";
import type { Classification, ClientOptions, Prediction, Recipient, Step } from "blindsight-client";

export async function best(url: string, text: string, image: Uint8Array): Promise<string> {
  const options: ClientOptions = { policy: Policy.fromJson(text), apiToken: undefined, timeout: 5_000 };
  const client = new Client(url, options);
  const { steps, kind } = await client.verify({ signal: AbortSignal.timeout(1_000) });
  const first: Step | undefined = steps[0];
  const recipient: Recipient | undefined = client.recipient;
  const answer: Classification = await client.classify(image, { topK: 1, withReceipt: true });
  const found: Prediction | undefined = answer.predictions[0];
  const kept: string | null = answer.archive;
  if (kept !== null) {
    const { receipt } = await receipts.verify(kept, { policy: Policy.fromJson(text) });
    const same: receipts.Receipt = receipt;
    console.log(same.iat + 1, recipient?.measurements["0"], first?.name);
  }
  // The three kinds of evidence, and no other.
  const kinds: "nitro" | "simulated" | "qemu-nitro-enclave" = kind;
  return `${kinds} ${found?.label ?? ""} ${answer.image?.width ?? 0}`;
}

export function advice(error: unknown): string {
  if (error instanceof EvidenceError) return `step ${error.step.toFixed()}: ${error.nextStep}`;
  if (error instanceof GatewayProblem || error instanceof TransportError) return error.retryable ? "later" : error.code;
  return "";
}

export const archived = (document: Uint8Array<ArrayBuffer>, policy: Policy): Promise<attestation.Verified> =>
  attestation.verifyArchived(document, policy);

// @ts-expect-error -- there is no client without a policy
new Client("https://photos.example", {});
// @ts-expect-error -- and no policy but one that was read
new Client("https://photos.example", { policy: { releases: [] } });
// @ts-expect-error -- a photo is bytes
void new Client("https://photos.example", { policy: "{}" }).classify("dog.jpeg");
