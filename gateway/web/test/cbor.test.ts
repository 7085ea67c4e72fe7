import assert from "node:assert/strict";
import { test } from "node:test";

import { byteStringHead, decode, type CborValue } from "../src/protocol/cbor.ts";
import { Refusal } from "../src/protocol/errors.ts";
import { cbor, type Encodable } from "./forge.ts";
import { chance, outcome, refused, unhex } from "./support.ts";

const read = (text: string): CborValue => decode(unhex(text), 1);

test("values of RFC 8949, appendix A", () => {
  const cases: [string, CborValue][] = [
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["1903e8", 1000],
    ["1a000f4240", 1_000_000],
    ["1b000000e8d4a51000", 1_000_000_000_000],
    ["1bffffffffffffffff", 18_446_744_073_709_551_615n],
    ["20", -1],
    ["3903e7", -1000],
    ["3bffffffffffffffff", -18_446_744_073_709_551_616n],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["40", new Uint8Array()],
    ["4401020304", Uint8Array.of(1, 2, 3, 4)],
    ["62c3bc", "ü"],
    ["63efbbbf", "\ufeff"],
    ["64f0908591", "\ud800\udd51"],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
    [
      "a201020304",
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    [
      "a26161016162820203",
      new Map<string, CborValue>([
        ["a", 1],
        ["b", [2, 3]],
      ]),
    ],
  ];
  for (const [encoded, value] of cases) assert.deepEqual(read(encoded), value, encoded);
});

const REFUSED: [string, string][] = [
  ["", "malformed_cbor"],
  ["0000", "trailing_bytes"],
  ["1817", "malformed_cbor"], // Not the shortest form, in each size.
  ["1900ff", "malformed_cbor"],
  ["1a0000ffff", "malformed_cbor"],
  ["1b00000000ffffffff", "malformed_cbor"],
  ["1c", "malformed_cbor"],
  ["44010203", "malformed_cbor"],
  ["5bffffffffffffffff", "malformed_cbor"],
  ["9bffffffffffffffff00", "malformed_cbor"],
  ["bbffffffffffffffff0000", "malformed_cbor"],
  ["62c328", "malformed_cbor"],
  ["63eda080", "malformed_cbor"], // Half a surrogate pair.
  ["5f4100ff", "indefinite_length"],
  ["9fff", "indefinite_length"],
  ["ff", "indefinite_length"],
  ["c000", "unexpected_tag"],
  ["d817", "malformed_cbor"],
  ["d81800", "unexpected_tag"],
  ["f7", "malformed_cbor"],
  ["f820", "malformed_cbor"],
  ["f93c00", "malformed_cbor"],
  ["fb3ff199999999999a", "malformed_cbor"],
  ["a201010102", "duplicate_key"],
  ["a2616101616102", "duplicate_key"],
  ["a14000", "malformed_cbor"],
  ["a1f500", "malformed_cbor"],
  ["a1f600", "malformed_cbor"],
  ["a1", "malformed_cbor"],
  ["818181818100", "nesting_too_deep"],
  ["a100a100a100a100a10000", "nesting_too_deep"],
];

for (const [encoded, code] of REFUSED) {
  test(`refused: ${encoded || "nothing"}`, async () => {
    await refused(() => read(encoded), code, 1);
  });
}

test("four levels are allowed", () => {
  assert.deepEqual(read("8181818100"), [[[[0]]]]);
});

test("what is encoded is decoded", () => {
  const values: Encodable[] = [
    0,
    255,
    65_535,
    65_536,
    2 ** 40,
    -(2 ** 40),
    "x".repeat(300),
    new Uint8Array(300),
    [new Map([["a", [null, true]]])],
  ];
  for (const value of values) assert.deepEqual(decode(cbor(value), 1), value);
  for (const length of [0, 23, 24, 255, 256, 65_535]) {
    assert.deepEqual(byteStringHead(length), cbor(new Uint8Array(length)).subarray(0, byteStringHead(length).length));
  }
  assert.throws(() => byteStringHead(65_536), RangeError);
});

test("random bytes give a value or a refusal, and the value encodes to the same bytes", async () => {
  const next = chance(3);
  let values = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from({ length: 1 + Math.floor(next() * 12) }, () => Math.floor(next() * 256));
    const error = await outcome(() => {
      assert.deepEqual(cbor(decode(bytes, 1) as Encodable), bytes);
      values++;
    });
    assert.ok(error === undefined || error instanceof Refusal, String(error));
  }
  assert.ok(values > 100);
});
