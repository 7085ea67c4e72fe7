/** The envelope: what is taken only on request. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../src/cose.ts";
import { cbor, UNSIGNED } from "./forge.ts";
import { refused } from "./support.ts";

test("an unsigned message is taken on request only", async () => {
  const message = cbor([UNSIGNED, new Map(), Uint8Array.of(1), new Uint8Array(64)]);
  assert.ok(parse(message, 1, { unsigned: true }).unsigned);
  await refused(() => parse(message, 1, { unsigned: false }), "wrong_algorithm", 1);
  await refused(() => parse(message, 1), "wrong_algorithm", 1);
});
