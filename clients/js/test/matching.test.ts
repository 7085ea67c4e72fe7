/** Which refusal it is where there are several. */

import { test } from "node:test";

import { hex, type Bytes } from "../src/bytes.ts";
import * as matching from "../src/matching.ts";
import { newRoot, NOW, policyFor } from "./forge.ts";
import { at, refused } from "./support.ts";

const STEP = 7;
const policy = await policyFor(await newRoot());
const release = at(policy.releases, 0);
const judging = { policy, at: NOW, step: STEP };
const measurement = (byte: number): Bytes => new Uint8Array(48).fill(byte);

/** Maps with these keys, in every order of them. */
function orders(keys: readonly number[]): number[][] {
  if (!keys.length) return [[]];
  return keys.flatMap((key) => orders(keys.filter((other) => other !== key)).map((rest) => [key, ...rest]));
}

test("PCRs are compared in ascending order, whatever the release's order", async () => {
  // PCR 1 and 2 are missing and PCR 0 differs; then the other way round.
  for (const order of orders([0, 1, 2])) {
    const pcrs = new Map(order.map((index) => [index, new Set([hex(measurement(9))])]));
    const listed = { ...release, pcrs };
    const one = new Map([[0, measurement(1)]]);
    await refused(() => matching.byMeasurements([listed], one, judging), "pcr_mismatch", STEP);
    const others = new Map([1, 2].map((index) => [index, measurement(1)]));
    await refused(() => matching.byMeasurements([listed], others, judging), "pcr_missing", STEP);
  }
});
