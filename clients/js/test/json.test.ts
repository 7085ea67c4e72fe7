/** JSON read strictly, and written canonically. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { hex } from "../src/bytes.ts";
import { canonical } from "../src/canonical.ts";
import { DuplicateMemberError, parseJson, type Json } from "../src/json.ts";

const written = (value: Json): string => new TextDecoder().decode(canonical(value));

test("it reads what JSON.parse reads, as JSON.parse reads it", () => {
  const texts = [
    ` {"a" : [1, -2.5e+3, 0, true, false, null] ,\t"b":{} ,"c":[]}\r\n`,
    `"\\u20ac\\n\\/\\"\\ud83d\\ude00 €"`,
    `"${"x".repeat(300_000)}"`,
    "-0",
    "1E300",
    "0.1",
    "[[[]]]",
  ];
  for (const text of texts) assert.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)));
});

test("it refuses what JSON.parse refuses", () => {
  const texts = [
    "",
    " ",
    "{",
    "[",
    "[1",
    "[1,]",
    "[,1]",
    "{,}",
    `{"a"}`,
    `{"a":}`,
    `{"a":1,}`,
    `{a:1}`,
    `{"a":1 "b":2}`,
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "--1",
    "0x1",
    "tru",
    "nul",
    "NaN",
    "Infinity",
    `"`,
    `"\n"`,
    `"\\x"`,
    `"\\u12"`,
    "'a'",
    "1 2",
    "[] x",
    "\ufeff1",
    "\u00a01",
    "//\n1",
  ];
  for (const text of texts) {
    assert.throws(() => parseJson(text), SyntaxError, text);
    assert.throws(() => JSON.parse(text) as unknown, SyntaxError, text);
  }
});

test("numbers that no double holds, or not every reader", () => {
  for (const text of ["1e999", "-1e999", "[1.0e+309]", `{"a": 123456789.5e400}`, `${"9".repeat(309)}.0`, "1".repeat(4301)])
    assert.throws(() => parseJson(text), SyntaxError, text);
  for (const text of ["1e308", "-1.7976931348623157e308", "1e-999", "1".repeat(4300), `-${"1".repeat(4300)}`]) parseJson(text);
});

test("what JSON.parse lets pass", () => {
  assert.throws(() => parseJson(`{"a":1,"\\u0061":2}`), DuplicateMemberError);
  assert.throws(() => parseJson(`[{"b":{"c":1,"c":1}}]`), DuplicateMemberError);
  assert.equal(parseJson("9007199254740993"), 9007199254740993n);
  assert.throws(() => parseJson("[".repeat(200) + "]".repeat(200)), SyntaxError);
  assert.throws(() => parseJson("300.0", { integersOnly: true }), SyntaxError);
  assert.throws(() => parseJson("[3e2]", { integersOnly: true }), SyntaxError);
  assert.equal(parseJson("300", { integersOnly: true }), 300);
});

test("members with names of JavaScript's own are members like others", () => {
  const value = parseJson(`{"__proto__":1,"constructor":2}`);
  assert.equal(written(value), `{"__proto__":1,"constructor":2}`);
  assert.equal("toString" in (parseJson("{}") as object), false);
});

// RFC 8785, appendix B: IEEE 754 bits and what is written.
const NUMBERS: [string, string][] = [
  ["0000000000000000", "0"],
  ["8000000000000000", "0"],
  ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"],
  ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"],
  ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"],
  ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"],
  ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"],
  ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"],
  ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
  ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"],
  ["41b3de4355555557", "333333333.33333343"],
  ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
];

test("numbers of RFC 8785, appendix B", () => {
  for (const [bits, text] of NUMBERS) {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(`0x${bits}`));
    assert.equal(written(view.getFloat64(0)), text, bits);
  }
  for (const value of [NaN, Infinity, -Infinity, 2n ** 60n]) assert.throws(() => canonical(value), RangeError);
});

test("the example of RFC 8785, sections 3.2.2 to 3.2.4", () => {
  const source = String.raw`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  }`;
  const expected =
    "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e3333333333" +
    "33332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c" +
    "5c5c222f227d";
  assert.equal(hex(canonical(parseJson(source))), expected);
});

test("members are sorted by UTF-16 code units, as in the example of section 3.2.3", () => {
  const source = String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
    "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`;
  const order = [
    "Carriage Return",
    "One",
    "Control",
    "Latin Small Letter O With Diaeresis",
    "Euro Sign",
    "Emoji: Grinning Face",
    "Hebrew Letter Dalet With Dagesh",
  ];
  const text = written(parseJson(source));
  const found = [...order].sort((one, other) => text.indexOf(`"${one}"`) - text.indexOf(`"${other}"`));
  assert.deepEqual(found, order);
});

test("half a surrogate pair has no canonical form", () => {
  assert.throws(() => canonical(parseJson(`"\\ud800"`)), RangeError);
  assert.throws(() => canonical(parseJson(`{"\\udc00":1}`)), RangeError);
  assert.equal(written("\u{1f600}"), `"\u{1f600}"`);
});
