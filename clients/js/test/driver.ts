/** Answers the conformance suite's questions: one JSON object a line, until standard input ends. */

import { createInterface } from "node:readline";

import { judge, questionIn } from "./conformance.ts";

const ACCEPTED = 0;
const REFUSED = 10;

for await (const line of createInterface({ input: process.stdin })) {
  const asked = questionIn(line);
  const answer = { id: asked.id, ...(await judge(asked)) };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  if (process.argv.includes("--one")) {
    process.exitCode = "accepted" in answer && answer["accepted"] ? ACCEPTED : REFUSED;
    break;
  }
}
