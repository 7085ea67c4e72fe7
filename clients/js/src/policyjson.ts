/** Members of a policy file, read strictly: nothing is guessed, and nothing may be null. All throw `PolicyError`. */

import { refusal, type BlindsightError } from "./errors.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";

/** RFC 3339 in UTC and whole seconds: one spelling for each second. */
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/;

export function invalid(message: string): BlindsightError {
  return refusal("invalid_policy", message);
}

/** Refuse an unknown key: a misspelt rule would not be enforced. */
export function only(members: JsonObject, known: ReadonlySet<string>): void {
  if (Object.keys(members).some((name) => !known.has(name))) {
    throw refusal("unknown_policy_key", "Unknown key.");
  }
}

export function list(value: Json | undefined, where: string): readonly Json[] {
  if (!Array.isArray(value)) throw invalid(`${where}: not a list.`);
  return value;
}

/** Null if it is left out. */
export function optionalText(members: JsonObject, name: string): string | null {
  const { [name]: value } = members;
  if (value === undefined) return null;
  if (typeof value !== "string") throw invalid(`${name}: not a text.`);
  return value;
}

/** Null if it is left out. */
export function optionalTime(members: JsonObject): Date | null {
  const text = optionalText(members, "expires");
  if (text === null) return null;
  if (!TIME.test(text)) throw invalid("expires: not a time such as 2027-01-31T00:00:00Z.");
  const time = new Date(text);
  // Some dates that do not exist are taken for the days after; a year 0 there is not.
  const exists = !Number.isNaN(time.getTime()) && time.toISOString() === text.replace("Z", ".000Z");
  if (!exists || text.startsWith("0000")) throw invalid("expires: no such time.");
  return time;
}

/** A member that is `true` or left out: `false` would say what its absence says. */
export function named(members: JsonObject, name: string): boolean {
  const { [name]: value } = members;
  if (value !== undefined && value !== true) throw invalid(`${name}: may be true or left out.`);
  return value === true;
}

/** Lower-case hexadecimal digits of `size` bytes that are not all zero. */
export function hash(value: Json | undefined, size: number, where: string): string {
  const text = typeof value === "string" ? value.toLowerCase() : "";
  if (text.length !== 2 * size || !/^[0-9a-f]*$/.test(text)) {
    throw invalid(`${where}: not ${2 * size} hexadecimal digits.`);
  }
  if (/^0*$/.test(text)) throw refusal("zero_measurement", `${where}: all zeros.`);
  return text;
}

/** Accepted values, at least one. */
export function hashes(values: readonly Json[], size: number, where: string): ReadonlySet<string> {
  const found = new Set(values.map((value) => hash(value, size, where)));
  if (!found.size) throw refusal("empty_allow_list", `${where}: no accepted value.`);
  return found;
}

/** PCR indexes, in their one spelling, and what is listed for each. */
export function registers(value: Json | undefined): ReadonlyMap<number, readonly Json[]> {
  if (!isObject(value)) throw invalid("pcrs: not an object.");
  const found = new Map<number, readonly Json[]>();
  for (const [index, values] of Object.entries(value)) {
    // "01" and "1" would be two spellings of one register, the second quietly replacing the first.
    if (!/^(?:0|[1-9][0-9]?)$/.test(index)) throw invalid("pcrs: a key is not a PCR index.");
    found.set(Number(index), list(values, `PCR ${index}`));
  }
  return found;
}
