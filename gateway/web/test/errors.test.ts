/** Codes, texts and problems are those of the Python side, read from its source. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { nextSteps, refusal } from "../src/protocol/errors.ts";
import { GATEWAYS_OWN, titles } from "../src/protocol/problems.ts";
import { at } from "./support.ts";

const python = join(process.cwd(), "..", "..", "blindsight");
const source = (name: string): string => readFileSync(join(python, name), "utf8");

/** The source of these classes: from `class Name` to the next class. */
function classes(text: string, names: readonly string[]): string[] {
  return names.map((name) => at(at(text.split(`class ${name}(`), 1).split("\nclass "), 0));
}

const FORMAT = "EvidenceFormatError";
const WITH_TEXTS = [
  "EvidenceChainError",
  "EvidenceSignatureError",
  "EvidenceDebugError",
  "EvidenceMeasurementError",
  "EvidenceClaimsError",
  "EvidenceFreshnessError",
  "PolicyError",
  "SealingError",
  "ReceiptError",
  "TransportError",
];

/** Codes of Python's TransportError for the wire inside the host. */
const PYTHONS_OWN = ["bad_frame", "access_refused", "unsupported_protocol"];
const OURS = ["no_webcrypto", "unsupported_platform"];

test("the codes and their next steps are those of blindsight/errors", () => {
  const text = readdirSync(join(python, "errors"))
    .filter((name) => name.endsWith(".py"))
    .map((name) => source(join("errors", name)))
    .join("\n");
  const constants = new Map([...text.matchAll(/^(_\w+) = "(.*)"$/gm)].map(([, name, value]) => [name, value]));
  const expected: Record<string, string | undefined> = {};
  for (const [, code] of at(classes(text, [FORMAT]), 0).matchAll(/^ +"(\w+)",$/gm)) {
    expected[code ?? ""] = constants.get("_NOT_A_DOCUMENT");
  }
  for (const each of classes(text, [FORMAT, ...WITH_TEXTS])) {
    for (const [, code, value, constant] of each.matchAll(/"(\w+)": (?:"(.*)"|(_\w+))/g)) {
      expected[code ?? ""] = value ?? constants.get(constant ?? "");
    }
  }
  for (const code of PYTHONS_OWN) delete expected[code];
  const { ...found } = nextSteps() as Record<string, string>;
  for (const code of OURS) delete found[code];
  assert.deepEqual(found, expected);
  assert.ok(Object.keys(found).length > 60);
});

test("only failures of transport are worth the same call again", () => {
  const codes = Object.keys(nextSteps()) as Parameters<typeof refusal>[0][];
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
  const kinds = [...source("problems.py").matchAll(/ProblemKind\(\s*"(\w+)",\s*\d+,\s*"([^"]*)"/g)].map(([, code, title]) => [
    code,
    title,
  ]);
  assert.deepEqual(titles(), Object.fromEntries(kinds) as unknown);
});

test("what a gateway may refuse is what blindsight/client/answers.py says", () => {
  const text = at(source("client/answers.py").split("GATEWAYS_OWN = frozenset("), 1);
  const codes = [...at(text.split("}"), 0).matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.deepEqual([...GATEWAYS_OWN].sort(), codes.sort());
});
