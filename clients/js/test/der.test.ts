import assert from "node:assert/strict";
import { test } from "node:test";

import { concat, utf8, type Bytes } from "../src/bytes.ts";
import * as der from "../src/der.ts";
import { DerError, DerReader, TAG } from "../src/der.ts";
import { rawSignature } from "../src/certificate.ts";
import { integer, tlv } from "./forge.ts";
import { chance, unhex } from "./support.ts";

const fails = (action: () => unknown): void => assert.throws(action, DerError);
const read = (text: string): der.Element => new DerReader(unhex(text)).element();

test("lengths in their shortest form, and no others", () => {
  for (const length of [0, 0x7f, 0x80, 0xff, 0x100, 0xffff]) {
    const encoded = tlv(TAG.OCTET_STRING, new Uint8Array(length));
    const element = new DerReader(encoded).element();
    assert.equal(element.content.length, length);
    assert.equal(element.whole.length, encoded.length);
  }
  for (const text of ["", "04", "0401", "0480", "04810100", "04817f", "04820080", "0482", "048300000100", "1f0100"]) {
    fails(() => read(text));
  }
  // With all their content, so that nothing but the length's form is wrong.
  for (const [head, length] of [["04817f", 0x7f], ["0482007f", 0x7f], ["04820080", 0x80], ["048200ff", 0xff]] as const) {
    fails(() => new DerReader(concat(unhex(head), new Uint8Array(length))).element());
  }
  fails(() => new DerReader(concat(unhex("0483010000"), new Uint8Array(0x10000))).element());
  fails(() => new DerReader(unhex("04800000")).element());
});

test("tags of one context", () => {
  assert.deepEqual([der.implicit(1), der.implicit(2)], [0x81, 0x82]);
  assert.deepEqual([der.explicit(0), der.explicit(3)], [0xa0, 0xa3]);
});

test("integers", () => {
  assert.equal(der.small(unhex("00")), 0);
  assert.equal(der.small(unhex("00ff")), 255);
  assert.equal(der.small(unhex("7fffffff")), 2 ** 31 - 1);
  for (const text of ["", "0000", "007f", "ff80", "80", "ff", "0100000000"]) fails(() => der.small(unhex(text)));
  for (const text of ["ff7f", "0080", "80", "ff"]) assert.deepEqual(der.integer(unhex(text)), unhex(text));
  assert.deepEqual(der.unsigned(unhex("01"), 3), Uint8Array.of(0, 0, 1));
  assert.deepEqual(der.unsigned(unhex("00ff"), 1), Uint8Array.of(255));
});

test("object identifiers", () => {
  for (const text of ["550403", "2a8648ce3d040303", "2b81040022", "2a81808001"]) assert.equal(der.oid(unhex(text)), text);
  for (const text of ["", "5580", "558003", "2a86", "2a8180"]) fails(() => der.oid(unhex(text)));
});

test("booleans that default to false", () => {
  assert.equal(der.defaultFalse(undefined), false);
  assert.equal(der.defaultFalse(unhex("ff")), true);
  for (const text of ["00", "01", "", "ffff"]) fails(() => der.defaultFalse(unhex(text)));
});

test("bit strings", () => {
  assert.deepEqual([...der.namedBits(unhex("0780"))], [0]);
  assert.deepEqual([...der.namedBits(unhex("0204"))], [5]);
  assert.deepEqual([...der.namedBits(unhex("070080"))], [8]);
  assert.deepEqual([...der.namedBits(unhex("00"))], []);
  for (const text of ["", "01", "0880", "0800", "0801", "2000", "0781"]) fails(() => der.namedBits(unhex(text)));
  assert.deepEqual(der.octets(unhex("00ab")), Uint8Array.of(0xab));
  for (const text of ["", "01ab"]) fails(() => der.octets(unhex(text)));
});

test("times", () => {
  const time = (tag: number, text: string): string =>
    der.time(new DerReader(tlv(tag, utf8(text))).element()).toISOString();
  assert.equal(time(TAG.UTC_TIME, "191028132805Z"), "2019-10-28T13:28:05.000Z");
  assert.equal(time(TAG.UTC_TIME, "491028142805Z"), "2049-10-28T14:28:05.000Z");
  assert.equal(time(TAG.UTC_TIME, "500101000000Z"), "1950-01-01T00:00:00.000Z");
  assert.equal(time(TAG.GENERALIZED_TIME, "20530101000000Z"), "2053-01-01T00:00:00.000Z");
  for (const text of [
    "1910281328Z",
    "191028132805+0000",
    "190230000000Z",
    "190101240000Z",
    "190101000060Z",
    "x91028132805Z",
    "191028132805Z0",
    "0191028132805Z",
    "",
  ]) {
    fails(() => time(TAG.UTC_TIME, text));
  }
  for (const text of ["20530101000000", "20530101000000.5Z", "530101000000Z", "x20530101000000Z", "20530101000000Zx"])
    fails(() => time(TAG.GENERALIZED_TIME, text));
  fails(() => time(TAG.OCTET_STRING, "191028132805Z"));
  fails(() => time(TAG.OCTET_STRING, "20530101000000Z"));
});

test("signatures: coordinates with zeros before them, and none too long", () => {
  const signature = (r: Bytes, s: Bytes): Bytes => tlv(TAG.SEQUENCE, integer(r), integer(s));
  const short = rawSignature(signature(Uint8Array.of(1), new Uint8Array(48).fill(0xff)));
  assert.deepEqual(short.subarray(0, 48), new Uint8Array(48).fill(1, 47));
  assert.deepEqual(short.subarray(48), new Uint8Array(48).fill(0xff));
  fails(() => rawSignature(signature(new Uint8Array(49).fill(1), Uint8Array.of(1))));
  fails(() => rawSignature(tlv(TAG.SEQUENCE, integer(Uint8Array.of(1)))));
  fails(() => rawSignature(tlv(TAG.SEQUENCE, ...[1, 2, 3].map((value) => integer(Uint8Array.of(value))))));
});

test("random bytes give elements or a DerError", () => {
  const next = chance(5);
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from({ length: Math.floor(next() * 10) }, () => Math.floor(next() * 256));
    try {
      for (const reader = new DerReader(bytes); !reader.done; ) reader.element();
    } catch (error) {
      assert.ok(error instanceof DerError);
    }
  }
});
