import assert from "node:assert/strict";
import { test } from "node:test";

import { concat } from "../src/bytes.ts";
import { byteStringHead, CborError, decode, type CborValue } from "../src/cbor.ts";
import { cbor, type Encodable } from "./forge.ts";
import { chance, outcome, unhex } from "./support.ts";

const read = (text: string): CborValue => decode(unhex(text));
const readAsPayload = (text: string): CborValue => decode(unhex(text), { indefiniteMap: true });

/** Check that both readers, or these, refuse `encoded` with this code. */
async function refused(encoded: string, code: string, readers = [read, readAsPayload]): Promise<void> {
  for (const reader of readers) {
    const error = await outcome(() => reader(encoded));
    assert.ok(error instanceof CborError, `${code} was expected, and came: ${String(error)}`);
    assert.equal(error.code, code);
  }
}

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
  for (const [encoded, value] of cases) {
    assert.deepEqual(read(encoded), value, encoded);
    assert.deepEqual(readAsPayload(encoded), value, encoded);
  }
});

test("an indefinite map is taken where it is asked for", async () => {
  const cases: [string, CborValue][] = [
    ["bfff", new Map()],
    ["bf0102ff", new Map([[1, 2]])],
    [
      "bf61610020a10304ff",
      new Map<string | number, CborValue>([
        ["a", 0],
        [-1, new Map([[3, 4]])],
      ]),
    ],
    ["bf01818100ff", new Map([[1, [[0]]]])],
    ["bf0081818180ff", new Map([[0, [[[[]]]]]])],
  ];
  for (const [encoded, value] of cases) {
    assert.deepEqual(readAsPayload(encoded), value, encoded);
    await refused(encoded, "indefinite_length", [read]);
  }
});

const HOSTILE_MAPS: [string, string][] = [
  ["bf", "malformed_cbor"], // No break.
  ["bf0102", "malformed_cbor"],
  ["bf01", "malformed_cbor"],
  ["bf01ff", "indefinite_length"], // An odd number of items.
  ["bf010203ff", "indefinite_length"],
  ["bf01ffff", "indefinite_length"],
  ["bfffff", "trailing_bytes"],
  ["bf0102ff00", "trailing_bytes"],
  ["bf0102ff0304ff", "trailing_bytes"],
  ["bf01020103ff", "duplicate_key"],
  ["bf616101616101ff", "duplicate_key"],
  ["bf01bfffff", "indefinite_length"], // Everything within is definite.
  ["bf019fffff", "indefinite_length"],
  ["bf015fffff", "indefinite_length"],
  ["bf7fff01ff", "indefinite_length"],
  ["bf0182ff00ff", "indefinite_length"],
  ["bf01a101ffff", "indefinite_length"],
  ["81bfff", "indefinite_length"],
  ["a101bfff", "indefinite_length"],
  ["9fff", "indefinite_length"],
  ["5fff", "indefinite_length"],
  ["7fff", "indefinite_length"],
  ["dfff", "indefinite_length"],
  ["1fff", "indefinite_length"],
  ["bff500ff", "malformed_cbor"], // True as a key.
  ["bf008181818100ff", "nesting_too_deep"],
];

test("hostile forms of the indefinite map", async () => {
  for (const [encoded, code] of HOSTILE_MAPS) await refused(encoded, code, [readAsPayload]);
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
    await refused(encoded, code);
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
  for (const value of values) assert.deepEqual(decode(cbor(value)), value);
  for (const length of [0, 23, 24, 25, 255, 256, 65_535]) {
    const content = new Uint8Array(length);
    assert.deepEqual(concat(byteStringHead(length), content), cbor(content), `${length} bytes`);
  }
  assert.throws(() => byteStringHead(65_536), RangeError);
});

test("random bytes give a value or a refusal, and the value encodes to the same bytes", async () => {
  const next = chance(3);
  let values = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from({ length: 1 + Math.floor(next() * 12) }, () => Math.floor(next() * 256));
    const error = await outcome(() => {
      assert.deepEqual(cbor(decode(bytes) as Encodable), bytes);
      values++;
    });
    assert.ok(error === undefined || error instanceof CborError, String(error));
  }
  assert.ok(values > 100);
});
