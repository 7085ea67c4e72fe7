/** Binary HTTP against RFC 9292, its padding, and damage. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeResponse, encodeRequest, varint } from "../src/bhttp.ts";
import { concat, hex, utf8, type Bytes } from "../src/bytes.ts";
import { BlindsightError } from "../src/errors.ts";
import { padded, requestLength } from "../src/padding.ts";
import { decodeRequest, encodeResponse } from "./enclave.ts";
import { chance, flipped, outcome, refused, unhex } from "./support.ts";

// Figure 11, with two informational responses; figure 13, with a trailer.
const INDETERMINATE = unhex(
  "0340660772756e6e696e670a22736c65657020313522004067046c696e6b233c2f7374796c652e6373733e3b2072656c3d7072656c6f6164" +
    "3b2061733d7374796c65046c696e6b243c2f7363726970742e6a733e3b2072656c3d7072656c6f61643b2061733d7363726970740040c804" +
    "646174651d4d6f6e2c203237204a756c20323030392031323a32383a353320474d5406736572766572064170616368650d6c6173742d6d6f" +
    "6469666965641d5765642c203232204a756c20323030392031393a31353a353620474d5404657461671422333461613338372d642d313536" +
    "3865623030220d6163636570742d72616e6765730562797465730e636f6e74656e742d6c656e67746802353104766172790f416363657074" +
    "2d456e636f64696e670c636f6e74656e742d747970650a746578742f706c61696e003348656c6c6f20576f726c6421204d7920636f6e7465" +
    "6e7420696e636c75646573206120747261696c696e672043524c462e0d0a0000",
);
const KNOWN = unhex("0140c8001d5468697320636f6e74656e7420636f6e7461696e732043524c462e0d0a0d07747261696c65720474657874");

const counted = (content: Uint8Array): Bytes => concat(varint(content.length), content);

test("figure 11 of RFC 9292", () => {
  const { status, fields, content } = decodeResponse(INDETERMINATE);
  assert.equal(status, 200);
  assert.deepEqual(
    fields.map(([name]) => name),
    ["date", "server", "last-modified", "etag", "accept-ranges", "content-length", "vary", "content-type"],
  );
  assert.equal(new TextDecoder().decode(content), "Hello World! My content includes a trailing CRLF.\r\n");
});

test("figure 13 of RFC 9292", () => {
  assert.deepEqual(decodeResponse(KNOWN), {
    status: 200,
    fields: [],
    content: utf8("This content contains CRLF.\r\n"),
  });
});

test("truncated forms: what is empty at the end may be left out", async () => {
  assert.equal(decodeResponse(unhex("0140c8")).status, 200);
  assert.deepEqual(decodeResponse(unhex("0140c800026f6b")).content, utf8("ok"));
  assert.equal(decodeResponse(INDETERMINATE.subarray(0, -1)).status, 200);
  await refused(() => decodeResponse(INDETERMINATE.subarray(0, -2)), "malformed_message");
});

test("padding is zeros", async () => {
  const message = encodeResponse(200, "application/json", utf8("{}"));
  const { content } = decodeResponse(concat(message, new Uint8Array(1000)));
  assert.deepEqual(content, utf8("{}"));
  await refused(() => decodeResponse(concat(message, Uint8Array.of(0, 0, 1))), "malformed_message");
  await refused(() => decodeResponse(concat(message, Uint8Array.of(1, 0, 0))), "malformed_message");
});

const OK = unhex("0140c8");
const REFUSED: [string, Bytes][] = [
  ["nothing", new Uint8Array()],
  ["a request", encodeRequest({ method: "GET", path: "/", fields: [], content: new Uint8Array() })],
  ["an unknown framing", Uint8Array.of(4, 0)],
  ["status 99", concat(Uint8Array.of(1), varint(99))],
  ["status 600", concat(Uint8Array.of(1), varint(600))],
  ["a status beyond any", unhex("01ffffffffffffffff")],
  ["an informational response only", unhex("01406400")],
  ["a length beyond any", concat(OK, unhex("ffffffffffffffff"))],
  ["a name in capitals", concat(OK, counted(concat(counted(utf8("A")), counted(utf8("b")))))],
  ["a pseudo-field", concat(OK, counted(concat(counted(utf8(":a")), counted(utf8("b")))))],
  ["an empty name", concat(OK, counted(concat(counted(utf8("")), counted(utf8("b")))))],
  ["a value with a line feed", concat(OK, counted(concat(counted(utf8("a")), counted(utf8("b\nc")))))],
  ["a value that is not ASCII", concat(OK, counted(concat(counted(utf8("a")), counted(utf8("ü")))))],
  ["a name without a value", concat(OK, counted(counted(utf8("a"))))],
  ["too many fields", concat(OK, counted(concat(...Array.from({ length: 65 }, () => unhex("01610162")))))],
  ["too many chunks", concat(unhex("0340c800"), ...Array.from({ length: 8193 }, () => unhex("0178")), unhex("0000"))],
  ["a long name", concat(OK, counted(concat(counted(utf8("a".repeat(1025))), counted(utf8("b")))))],
  ["a long value", concat(OK, counted(concat(counted(utf8("a")), counted(utf8("b".repeat(1025))))))],
  ["a long name, indeterminate", concat(unhex("0340c8"), counted(utf8("a".repeat(1025))), unhex("0162000000"))],
  ["too many informational responses", concat(unhex("01"), ...Array.from({ length: 9 }, () => unhex("406600")), unhex("40c80000"))],
];

for (const [what, message] of REFUSED) {
  test(`refused: ${what}`, async () => {
    await refused(() => decodeResponse(message), "malformed_message");
  });
}

test("variable-length integers of RFC 9000, appendix A.1", async () => {
  for (const [value, encoded] of [
    [37, "25"],
    [15_293, "7bbd"],
    [494_878_333, "9d7f3e7d"],
    [2 ** 53 - 1, "c01fffffffffffff"],
  ] as const) {
    assert.equal(hex(varint(value)), encoded);
  }
  for (const [value, size] of [
    [63, 1],
    [64, 2],
    [16_383, 2],
    [16_384, 4],
    [2 ** 30 - 1, 4],
    [2 ** 30, 8],
  ] as const) {
    assert.equal(varint(value).length, size);
  }
  await refused(() => varint(2 ** 62), "malformed_message");
});

test("a request is what the enclave reads, and nothing that is not ASCII gets into it", () => {
  const content = utf8("content");
  const question = decodeRequest(
    padded(encodeRequest({ method: "POST", path: "/classify?top_k=5", fields: [["date", "today"]], content })),
  );
  assert.deepEqual(question, {
    method: "POST",
    scheme: "https",
    authority: "",
    path: "/classify?top_k=5",
    fields: { date: "today" },
    content,
  });
  assert.throws(() => encodeRequest({ method: "POST", path: "/ü", fields: [], content }), RangeError);
});

test("damaged responses are read or refused, and nothing else", async () => {
  const next = chance(4);
  for (let round = 0; round < 2000; round++) {
    const message = flipped(round % 2 ? KNOWN : INDETERMINATE, Math.floor(next() * 8 * KNOWN.length));
    const error = await outcome(() => decodeResponse(message.subarray(0, Math.ceil(next() * message.length))));
    assert.ok(error === undefined || error instanceof BlindsightError, String(error));
  }
});

test("size classes of requests", () => {
  const [kib, mib] = [1024, 1024 * 1024];
  for (const [length, size] of [
    [0, 32 * kib],
    [32 * kib, 32 * kib],
    [32 * kib + 1, 64 * kib],
    [100 * kib, 128 * kib],
    [512 * kib + 1, mib],
    [mib, mib],
    [mib + 1, 2 * mib],
    [2 * mib, 2 * mib],
    [5 * mib + 7, 6 * mib],
  ] as const) {
    assert.equal(requestLength(length), size);
    const whole = padded(new Uint8Array(length).fill(7));
    assert.equal(whole.length, size);
    assert.ok(
      whole.subarray(0, length).every((byte) => byte === 7) && whole.subarray(length).every((byte) => byte === 0),
    );
  }
});
