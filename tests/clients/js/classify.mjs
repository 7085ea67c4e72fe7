// An app on Node.js: `node classify.mjs URL POLICY PHOTO`, as JSON. Run by test_stack.py beside the installed package.

import { readFile } from "node:fs/promises";

import { BlindsightError, Client, Policy, receipts } from "blindsight-client";

const [, , url, policyFile, photo] = process.argv;

try {
  const policy = Policy.fromJson(await readFile(policyFile, "utf8"));
  const client = new Client(url, { policy, timeout: 20_000, apiToken: process.env.TOKEN });
  const report = await client.verify();
  const image = await readFile(photo);
  const answer = await client.classify(image, { topK: 3, withReceipt: true });
  const kept = await receipts.verify(answer.archive, { policy, image });
  console.log(
    JSON.stringify({
      report: report.render(),
      steps: report.steps.length,
      predictions: answer.predictions,
      archive: answer.archive,
      issued: kept.receipt.iat,
      sent: answer.traffic.sentBytes,
    }),
  );
} catch (error) {
  if (!(error instanceof BlindsightError)) throw error;
  const { name, code, nextStep, retryable, step } = error;
  console.log(JSON.stringify({ name, code, nextStep, retryable, step }));
}
