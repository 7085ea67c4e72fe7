/** Canonical JSON (RFC 8785): one text for each value, so that its digest names the value. */

import { utf8, type Bytes } from "./bytes.ts";
import type { Json } from "./json.ts";

/** Throws `RangeError` for what has no canonical form: infinities, integers beyond 2^53, halves of surrogate pairs. */
export function canonical(value: Json): Bytes {
  return utf8(text(value));
}

function text(value: Json): string {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "number":
      if (!Number.isFinite(value)) throw new RangeError("a number that is not finite");
      // ECMAScript's own form is the one that RFC 8785 takes over (section 3.2.2.3).
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map(text).join(",")}]`;
      // The default order is that of UTF-16 code units, as section 3.2.3 wants it.
      return `{${Object.keys(value)
        .sort()
        .map((name) => `${quoted(name)}:${text(value[name] as Json)}`)
        .join(",")}}`;
    default:
      throw new RangeError("a value that JSON does not have, or an integer that is too large");
  }
}

function quoted(value: string): string {
  if (/\p{Surrogate}/u.test(value)) throw new RangeError("half a surrogate pair");
  return JSON.stringify(value);
}
