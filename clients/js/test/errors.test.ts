/** Classes, codes, texts and problems are those of the Python side, read from its source. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as exported from "blindsight-client";

import { FAMILIES, nextSteps, refusal, type Code } from "../src/errors.ts";
import { GATEWAYS_OWN, titles } from "../src/problems.ts";
import { at } from "./support.ts";

const python = join(process.cwd(), "..", "..", "blindsight");
const source = (name: string): string => readFileSync(join(python, name), "utf8");
const errors = readdirSync(join(python, "errors"))
  .filter((name) => name.endsWith(".py"))
  .map((name) => source(join("errors", name)))
  .join("\n");

/** Of Python's, what has no counterpart: the host's, the commands', the enclave's own. */
const NOT_HERE = [
  "AddressError", "CapeError", "ConversionError", "EifError", "KmsError", "LocalTrustError", "OwnerError", "ProducerError", "ProxyError", "ReleaseError",
];

/** Codes of Python's TransportError for the wire inside the host, and for TLS, of which browsers tell pages nothing. */
const PYTHONS_OWN = ["bad_frame", "access_refused", "unsupported_protocol", "certificate_refused", "no_tls"];

/** The classes of blindsight/errors, each with its base. */
const classes = new Map(Array.from(errors.matchAll(/^class (\w+)\((\w+)\):/gm), ([, name = "", base = ""]) => [name, base]));

/** The codes of one of Python's classes, with their next steps. */
function pythons(name: string): Record<string, string> {
  const text = at(at(errors.split(`class ${name}(`), 1).split("\nclass "), 0);
  const constants = new Map([...errors.matchAll(/^(_\w+) = "(.*)"$/gm)].map(([, constant, value]) => [constant, value]));
  const found: Record<string, string> = {};
  for (const [, code = ""] of text.matchAll(/^ +"(\w+)",$/gm)) found[code] = constants.get("_NOT_A_DOCUMENT") ?? "";
  for (const [, code = "", value, constant] of text.matchAll(/"(\w+)": (?:"(.*)"|(_\w+))/g)) {
    found[code] = value ?? constants.get(constant) ?? "";
  }
  for (const code of PYTHONS_OWN) delete found[code];
  return found;
}

test("the classes are those of blindsight/errors, with their bases, and all are exported", () => {
  const here = [...classes].filter(([name]) => !NOT_HERE.includes(name));
  assert.ok(here.length > 12);
  const ours = exported as unknown as Record<string, { prototype: Error } | undefined>;
  for (const [name, base] of here) {
    const prototype = Object.getPrototypeOf(ours[name]?.prototype) as Error;
    assert.equal(prototype.constructor.name, base === "Exception" ? "Error" : base, name);
  }
});

test("each class has the codes and next steps of Python's", () => {
  let count = 0;
  for (const family of FAMILIES.filter((each) => each !== "PlatformError")) {
    assert.deepEqual({ ...nextSteps(family) }, pythons(family), family);
    count += Object.keys(nextSteps(family)).length;
  }
  assert.ok(count > 60);
});

test("an error is of the class that has its code, and says so", () => {
  for (const family of FAMILIES) {
    for (const code of Object.keys(nextSteps(family)) as Code[]) {
      const step = family === "EvidenceClaimsError" ? 9 : 7;
      const error = refusal(code, "", step);
      assert.deepEqual([error.name, error.code], [family, code]);
      assert.equal(error.nextStep, nextSteps(family)[code]);
      assert.equal("step" in error ? error.step : undefined, family.startsWith("Evidence") ? step : undefined);
    }
  }
});

test("only failures of transport are worth the same call again", () => {
  const codes = FAMILIES.flatMap((family) => Object.keys(nextSteps(family)) as Code[]);
  const retryable = codes.filter((code) => refusal(code, "").retryable);
  assert.deepEqual(retryable.sort(), [
    "connection_lost",
    "timed_out",
    "unavailable",
    "unexpected_answer",
    "unreachable",
  ]);
});

test("the problems are those of blindsight/problems.py", () => {
  const kinds = [...source("problems.py").matchAll(/ProblemKind\(\s*"(\w+)",\s*\d+,\s*"([^"]*)"(?:,\s*(retry=True))?/g)];
  const expected = kinds.map(([, code, title, retry]) => [code, { title, retryable: retry !== undefined }]);
  assert.deepEqual(titles(), Object.fromEntries(expected) as unknown);
});

test("what a gateway may refuse is what blindsight/client/answers.py says", () => {
  const text = at(source("client/answers.py").split("GATEWAYS_OWN = frozenset("), 1);
  const codes = [...at(text.split("}"), 0).matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.deepEqual([...GATEWAYS_OWN].sort(), codes.sort());
});
