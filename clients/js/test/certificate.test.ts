/** How certificates are taken apart: names, keys and algorithms that no chain of the conformance suite has. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { concat, utf8, type Bytes } from "../src/bytes.ts";
import { algorithmOf, parse, type Certificate } from "../src/certificate.ts";
import { DerError } from "../src/der.ts";
import { integer, tlv } from "./forge.ts";
import { unhex } from "./support.ts";

const COMMON_NAME = "550403";
const ORGANISATION = "55040a";
const UNIQUE_IDENTIFIER = "55042d";
const EC_PUBLIC_KEY = "2a8648ce3d0201";
const P384 = "2b81040022";
const P256 = "2a8648ce3d030107";
const ED25519 = "2b6570";

const UTF8_STRING = 0x0c;
const BMP_STRING = 0x1e;
const UNIVERSAL_STRING = 0x1c;
const BIT_STRING = 0x03;

const oid = (text: string): Bytes => tlv(0x06, unhex(text));
const ECDSA_SHA384 = tlv(0x30, oid("2a8648ce3d040303"));
const POINT = Uint8Array.of(4, 5, 6);

/** One attribute: its type, the tag of its value, and that. */
const attribute = (type: string, tag: number, value: Bytes): Bytes => tlv(0x30, oid(type), tlv(tag, value));
const called = (text: string): Bytes => attribute(COMMON_NAME, UTF8_STRING, utf8(text));
/** A Name of one set of attributes. */
const name = (...attributes: Bytes[]): Bytes => tlv(0x30, tlv(0x31, ...attributes));

/** A key: its algorithm's identifier, the bits that its last byte does not use, and its bytes. */
function key(algorithm: readonly Bytes[], unused = 0): Bytes {
  return tlv(0x30, tlv(0x30, ...algorithm), tlv(BIT_STRING, Uint8Array.of(unused), POINT));
}

function parsed(changes: { subject?: Bytes; key?: Bytes; rest?: Bytes[] } = {}): Certificate {
  const signed = tlv(
    0x30,
    tlv(0xa0, integer(Uint8Array.of(2))),
    integer(Uint8Array.of(1)),
    ECDSA_SHA384,
    name(called("issuer")),
    tlv(0x30, tlv(0x17, utf8("261101000000Z")), tlv(0x17, utf8("261201000000Z"))),
    changes.subject ?? name(called("subject")),
    changes.key ?? key([oid(EC_PUBLIC_KEY), oid(P384)]),
    ...(changes.rest ?? []),
  );
  return parse(tlv(0x30, signed, ECDSA_SHA384, tlv(BIT_STRING, Uint8Array.of(0, 1))));
}

const fails = (changes: Parameters<typeof parsed>[0]): void => assert.throws(() => parsed(changes), DerError);

test("common names are the texts of that attribute, and of no other", () => {
  const names = (...attributes: Bytes[]): readonly string[] => parsed({ subject: name(...attributes) }).commonNames;
  assert.deepEqual(names(called("subject")), ["subject"]);
  assert.deepEqual(names(attribute(ORGANISATION, UTF8_STRING, utf8("subject"))), []);
  const both = [attribute(ORGANISATION, UTF8_STRING, utf8("other")), called("one"), called("two")];
  assert.deepEqual(names(...both), ["one", "two"]);
  assert.deepEqual(parsed({ subject: tlv(0x30, tlv(0x31, called("one")), tlv(0x31, called("two"))) }).commonNames, [
    "one",
    "two",
  ]);
});

test("every attribute of a set is read for its form", () => {
  fails({ subject: name(called("subject"), attribute(COMMON_NAME, UTF8_STRING, Uint8Array.of(0xff))) });
});

test("texts of two and of four bytes a character are in whole characters, and are no common name", () => {
  for (const [tag, size] of [[BMP_STRING, 2], [UNIVERSAL_STRING, 4]] as const) {
    for (const length of [0, size, 3 * size]) {
      const subject = name(attribute(COMMON_NAME, tag, new Uint8Array(length).fill(0x61)));
      assert.deepEqual(parsed({ subject }).commonNames, [], `${length} bytes`);
    }
    for (const length of [1, size - 1, size + 1]) {
      if (length % size) fails({ subject: name(attribute(COMMON_NAME, tag, new Uint8Array(length).fill(0x61))) });
    }
  }
  fails({ subject: name(attribute(COMMON_NAME, UNIVERSAL_STRING, utf8("ab"))) });
});

test("a unique identifier is a bit string or a text, and no other attribute is a bit string", () => {
  const bits = Uint8Array.of(0, 1);
  assert.deepEqual(parsed({ subject: name(attribute(UNIQUE_IDENTIFIER, BIT_STRING, bits)) }).commonNames, []);
  fails({ subject: name(attribute(COMMON_NAME, BIT_STRING, bits)) });
  fails({ subject: name(attribute(UNIQUE_IDENTIFIER, 0x02, bits)) });
});

test("only an uncompressed key that names P-384 and nothing else is one", () => {
  assert.deepEqual(parsed().p384Point, POINT);
  const others: [string, Bytes][] = [
    ["another curve", key([oid(EC_PUBLIC_KEY), oid(P256)])],
    ["something after the curve", key([oid(EC_PUBLIC_KEY), oid(P384), tlv(0x05)])],
    ["a curve that is described", key([oid(EC_PUBLIC_KEY), tlv(0x30)])],
    ["bits that are not used", key([oid(EC_PUBLIC_KEY), oid(P384)], 1)],
    ["another algorithm", key([oid(ED25519)])],
    ["another algorithm with that curve", key([oid(ED25519), oid(P384)])],
  ];
  for (const [what, each] of others) assert.equal(parsed({ key: each }).p384Point, undefined, what);
  fails({ key: key([oid(EC_PUBLIC_KEY)]) });
});

test("extensions may be left out, and unique identifiers may come before them", () => {
  assert.deepEqual([...parsed().extensions], []);
  const identifiers = [tlv(0x81, Uint8Array.of(0, 1)), tlv(0x82, Uint8Array.of(0, 2))];
  assert.deepEqual([...parsed({ rest: identifiers }).extensions], []);
  const extensions = tlv(0xa3, tlv(0x30, tlv(0x30, oid("551d13"), tlv(0x04, tlv(0x30)))));
  assert.deepEqual([...parsed({ rest: [...identifiers, extensions] }).extensions.keys()], ["551d13"]);
  fails({ rest: [...identifiers].reverse() });
});

test("ECDSA with SHA-2 has no parameters; of algorithms whose identifiers are longer nothing is known", () => {
  const identifier = (text: string, ...rest: Bytes[]): Bytes => tlv(0x30, oid(text), ...rest);
  for (const last of [1, 2, 3, 4]) {
    const ecdsa = `2a8648ce3d04030${last}`;
    assert.equal(algorithmOf(identifier(ecdsa)), ecdsa);
    assert.throws(() => algorithmOf(identifier(ecdsa, tlv(0x05))), DerError);
    for (const other of [`55${ecdsa}`, `${ecdsa}01`]) {
      assert.equal(algorithmOf(identifier(other)), other);
      assert.equal(algorithmOf(identifier(other, tlv(0x05))), undefined);
    }
  }
  assert.throws(() => algorithmOf(concat(identifier("2a"), Uint8Array.of(0))), DerError);
});
