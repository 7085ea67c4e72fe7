var __defProp = Object.defineProperty;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __esm = (fn, res, err) => function __init() {
  if (err) throw err[0];
  try {
    return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
  } catch (e) {
    throw err = [e], e;
  }
};
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};

// src/nocrypto.ts
var nocrypto_exports = {};
__export(nocrypto_exports, {
  webcrypto: () => webcrypto
});
var webcrypto;
var init_nocrypto = __esm({
  "src/nocrypto.ts"() {
    "use strict";
    webcrypto = globalThis.crypto;
  }
});

// src/attestation.ts
var attestation_exports = {};
__export(attestation_exports, {
  AWS_NITRO_ROOT_G1: () => AWS_NITRO_ROOT_G1,
  FORMAT: () => FORMAT,
  Policy: () => Policy,
  VerificationReport: () => VerificationReport,
  checkKeyConfigs: () => checkKeyConfigs,
  checkModel: () => checkModel,
  documentIn: () => documentIn,
  measurements: () => measurements2,
  verify: () => verify3,
  verifyArchived: () => verifyArchived,
  verifyRecipient: () => verifyRecipient
});

// src/bytes.ts
var ENCODER = new TextEncoder();
function owned(data) {
  return data.buffer instanceof ArrayBuffer ? data : new Uint8Array(data);
}
function concat(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
function equal(one, other) {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let at = 0; at < one.length; at++) difference |= (one[at] ?? 0) ^ (other[at] ?? 0);
  return difference === 0;
}
function allZero(data) {
  return data.every((byte2) => byte2 === 0);
}
function uint(value, size) {
  const encoded = new Uint8Array(size);
  for (let at = size - 1, rest = value; at >= 0; at--, rest = Math.floor(rest / 256)) encoded[at] = rest % 256;
  return encoded;
}
function toUint(data) {
  return data.reduce((value, byte2) => value * 256 + byte2, 0);
}
function utf8(text3) {
  return ENCODER.encode(text3);
}
function fromUtf8(data) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return void 0;
  }
}
function hex(data) {
  return Array.from(data, (byte2) => byte2.toString(16).padStart(2, "0")).join("");
}
function base64(data) {
  let binary = "";
  for (const byte2 of data) binary += String.fromCharCode(byte2);
  return btoa(binary);
}
function fromBase64(text3) {
  if (text3.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text3)) return void 0;
  try {
    return Uint8Array.from(atob(text3), (character) => character.charCodeAt(0));
  } catch {
    return void 0;
  }
}
function base64url(data) {
  return base64(data).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
function fromBase64url(text3) {
  if (!/^[A-Za-z0-9_-]*$/.test(text3)) return void 0;
  const padding = "=".repeat((4 - text3.length % 4) % 4);
  const decoded2 = fromBase64(text3.replaceAll("-", "+").replaceAll("_", "/") + padding);
  return decoded2 && base64url(decoded2) === text3 ? decoded2 : void 0;
}

// src/codes.ts
var NOT_A_DOCUMENT = "Fetch the evidence again; if the error persists, the service is not an enclave of this kind.";
var NOT_GENUINE = "Do not use this service: the evidence was changed, or no such enclave made it.";
var RECALLED = "Do not use this enclave: its release was recalled. Ask the operator for a newer one.";
var NEXT_STEPS = {
  EvidenceFormatError: {
    unsupported_envelope: "Use the newest client or page: this service's evidence has a later format.",
    document_too_large: NOT_A_DOCUMENT,
    malformed_cbor: NOT_A_DOCUMENT,
    trailing_bytes: NOT_A_DOCUMENT,
    duplicate_key: NOT_A_DOCUMENT,
    indefinite_length: NOT_A_DOCUMENT,
    nesting_too_deep: NOT_A_DOCUMENT,
    unexpected_tag: NOT_A_DOCUMENT,
    not_cose_sign1: NOT_A_DOCUMENT,
    wrong_algorithm: NOT_A_DOCUMENT,
    unprotected_header: NOT_A_DOCUMENT,
    missing_field: NOT_A_DOCUMENT,
    invalid_field: NOT_A_DOCUMENT,
    unsupported_digest: NOT_A_DOCUMENT,
    invalid_pcr_index: NOT_A_DOCUMENT,
    invalid_pcr_length: NOT_A_DOCUMENT
  },
  EvidenceChainError: {
    root_not_pinned: "Check which roots the policy lists; a simulated one passes only when listed as such.",
    simulated_root: "List this root with kind 'simulated' for a test set-up; never use it in production.",
    malformed_certificate: NOT_GENUINE,
    certificate_algorithm: NOT_GENUINE,
    certificate_expired: "Fetch new evidence; if that is refused too, check this machine's clock.",
    certificate_not_yet_valid: "Check this machine's clock, then fetch new evidence.",
    invalid_chain: NOT_GENUINE,
    chain_order: NOT_GENUINE
  },
  EvidenceSignatureError: {
    invalid_signature: NOT_GENUINE
  },
  EvidenceDebugError: {
    debug_document: "Ask the operator to start the enclave without --debug-mode."
  },
  EvidenceMeasurementError: {
    pcr_missing: "Ask the operator which PCRs this release locks, and correct the policy.",
    pcr_mismatch: "Send nothing. Update the policy only from a release you trust, never from this enclave.",
    release_too_old: "Ask the operator for a newer release; lower minimum_version if you trust this one.",
    release_expired: "Ask the operator for a newer release, and for the policy that lists it.",
    release_recalled: RECALLED
  },
  EvidenceClaimsError: {
    malformed_claims: "The enclave attests no usable claims; ask the operator for a working release.",
    claims_missing: "This evidence names no function, model or keys; fetch the enclave's own evidence.",
    claims_pcr_missing: "The claims are not measured, so they prove nothing; do not use this service.",
    claims_pcr_mismatch: "The claims differ from what was measured; do not use this service.",
    function_not_accepted: "Send nothing. Accept it only if your own bundle has this checksum.",
    model_not_accepted: "Send nothing. Accept it only if your own model.json has this digest.",
    release_recalled: RECALLED,
    model_mismatch: "The manifest was changed on its way; do not use its statements about the model.",
    key_configs_mismatch: "Fetch evidence and key configurations again, once; if they differ still, stop."
  },
  EvidenceFreshnessError: {
    nonce_missing: "Ask for evidence with a nonce of your own; this document does not answer your request.",
    nonce_mismatch: "Ask again with a new nonce; if it happens again, the document is replayed.",
    evidence_too_old: "Fetch new evidence; if it is still too old, check both clocks.",
    evidence_from_future: "Check this machine's clock, then fetch new evidence."
  },
  PolicyError: {
    unreadable_policy: "Check the path and that the file is JSON in UTF-8.",
    invalid_policy: "Correct the named entry; docs/policy.md describes the format.",
    unknown_policy_key: "Remove or correct the named key: a misspelt rule would not be enforced.",
    no_roots: "List at least one root of trust.",
    no_measurements: "List at least one PCR with at least one accepted value.",
    code_not_pinned: "Add PCR 0, or PCR 1 with PCR 2; or say any_code in format /2 to accept any code.",
    function_not_pinned: "Add PCR 16, function_checksums, or in format /2 function_in_image or any_function.",
    policy_expired: "Get a newer policy from its author; this one has expired.",
    empty_allow_list: "List at least one accepted value, or leave the whole entry out.",
    zero_measurement: "Take the measurements from a release build: a debug enclave has zeros.",
    not_a_certificate_fingerprint: "Pin the SHA-256 of the root certificate's DER bytes."
  },
  SealingError: {
    cannot_open: "Fetch and verify the key configurations again and encrypt the message again.",
    unknown_key: "The keys have rotated: fetch and verify the key configurations again, and encrypt again.",
    unsupported_suite: "Use one of the key configurations and cipher suites that the enclave offers.",
    malformed_message: "Check that the whole message was sent, unchanged and in the stated format.",
    not_sealed: "Do not use the answer: only the enclave can know this. Ask the operator.",
    answer_not_genuine: "Do not use the answer: it was changed, or belongs to another request. Try again."
  },
  ReceiptError: {
    malformed_receipt: "Give the whole stored answer, with its receipt and evidence.",
    receipt_key_mismatch: "The receipt is not the attested enclave's; do not rely on it.",
    receipt_signature_invalid: "The receipt was changed after it was signed; do not rely on it.",
    receipt_evidence_mismatch: "Look for the attestation document that the receipt was made for.",
    receipt_function_mismatch: "The receipt names another function than was attested; do not rely on it.",
    receipt_model_mismatch: "The receipt names another model than was attested; do not rely on it.",
    receipt_output_mismatch: "The answer is not the one that was signed; do not rely on it.",
    receipt_input_mismatch: "The receipt is for another image; check which file was sent.",
    receipt_time_implausible: "The receipt's time does not fit its evidence; do not rely on it."
  },
  TransportError: {
    unreachable: "Check the address and that the service runs, then try again.",
    timed_out: "Try again; if it stays slow, ask the operator.",
    connection_lost: "Try again.",
    unavailable: "The service is starting or busy: try again in a few seconds.",
    unexpected_answer: "Check that the address is a Blindsight service, then try again."
  },
  // Only here: what this browser or runtime lacks. Nothing weaker is done instead.
  PlatformError: {
    no_webcrypto: "Open the page over HTTPS, or from localhost: browsers give cryptography to no other page.",
    unsupported_platform: "Update this browser, or use another: it lacks the X25519 key exchange."
  }
};

// src/errors.ts
var BlindsightError = class extends Error {
  constructor(code, message, nextStep) {
    super(message);
    this.code = code;
    this.nextStep = nextStep;
  }
  code;
  nextStep;
  name = "BlindsightError";
  /** Whether the same call can succeed later. */
  get retryable() {
    return false;
  }
};
var EvidenceError = class extends BlindsightError {
  constructor(code, message, nextStep, step) {
    super(code, message, nextStep);
    this.step = step;
  }
  step;
  name = "EvidenceError";
};
var EvidenceFormatError = class extends EvidenceError {
  name = "EvidenceFormatError";
};
var EvidenceChainError = class extends EvidenceError {
  name = "EvidenceChainError";
};
var EvidenceSignatureError = class extends EvidenceError {
  name = "EvidenceSignatureError";
};
var EvidenceDebugError = class extends EvidenceError {
  name = "EvidenceDebugError";
};
var EvidenceMeasurementError = class extends EvidenceError {
  name = "EvidenceMeasurementError";
};
var EvidenceClaimsError = class extends EvidenceError {
  name = "EvidenceClaimsError";
};
var EvidenceFreshnessError = class extends EvidenceError {
  name = "EvidenceFreshnessError";
};
var PolicyError = class extends BlindsightError {
  name = "PolicyError";
};
var SealingError = class extends BlindsightError {
  name = "SealingError";
};
var ReceiptError = class extends BlindsightError {
  name = "ReceiptError";
};
var TransportError = class extends BlindsightError {
  name = "TransportError";
  get retryable() {
    return true;
  }
};
var PlatformError = class extends BlindsightError {
  name = "PlatformError";
};
var EVIDENCE = {
  EvidenceFormatError,
  EvidenceChainError,
  EvidenceSignatureError,
  EvidenceDebugError,
  EvidenceMeasurementError,
  EvidenceClaimsError,
  EvidenceFreshnessError
};
var OTHERS = { PolicyError, SealingError, ReceiptError, TransportError, PlatformError };
var IDENTITY_STEP = 9;
function refusal(code, message, step) {
  const family = familyOf(code, step);
  const nextStep = nextSteps(family)[code] ?? "";
  if (family in OTHERS) return new OTHERS[family](code, message, nextStep);
  return new EVIDENCE[family](code, message, nextStep, step ?? 0);
}
function nextSteps(family) {
  return NEXT_STEPS[family];
}
var FAMILIES = Object.keys(NEXT_STEPS);
function familyOf(code, step) {
  if (code === "release_recalled" && step === IDENTITY_STEP) return "EvidenceClaimsError";
  const found = FAMILIES.find((family) => Object.hasOwn(NEXT_STEPS[family], code));
  if (!found) throw new RangeError(`no class has the code ${code}`);
  return found;
}

// src/json.ts
var MAX_DEPTH = 100;
var MAX_DIGITS = 4300;
var SPACE = /[ \t\n\r]*/y;
var NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
var STRING = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"/y;
var LITERAL = /true|false|null/y;
var DuplicateMemberError = class extends Error {
};
function parseJson(text3, { integersOnly = false } = {}) {
  const parser = new Parser(text3, integersOnly);
  const value = parser.value(0);
  parser.end();
  return value;
}
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
var Parser = class {
  #text;
  #integersOnly;
  #at = 0;
  constructor(text3, integersOnly) {
    this.#text = text3;
    this.#integersOnly = integersOnly;
  }
  value(depth) {
    if (depth > MAX_DEPTH) throw new SyntaxError("too deeply nested");
    this.#match(SPACE);
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
      case "f":
      case "n":
        return JSON.parse(this.#expect(LITERAL)[0]);
      default:
        return this.#number();
    }
  }
  end() {
    this.#match(SPACE);
    if (this.#at !== this.#text.length) throw new SyntaxError("something follows the value");
  }
  #object(depth) {
    const members = /* @__PURE__ */ Object.create(null);
    this.#items("}", () => {
      this.#match(SPACE);
      const name = this.#string();
      if (Object.hasOwn(members, name)) throw new DuplicateMemberError("the same member twice");
      if (!this.#skip(":")) throw new SyntaxError("no colon");
      members[name] = this.value(depth + 1);
    });
    return members;
  }
  #array(depth) {
    const items = [];
    this.#items("]", () => items.push(this.value(depth + 1)));
    return items;
  }
  /** An opening bracket, items with commas between them, and the closing one. */
  #items(close, item) {
    this.#at++;
    if (this.#skip(close)) return;
    do
      item();
    while (this.#skip(","));
    if (!this.#skip(close)) throw new SyntaxError("an array or object that does not end");
  }
  #string() {
    return JSON.parse(this.#expect(STRING)[0]);
  }
  #number() {
    const [digits, fraction, exponent] = this.#expect(NUMBER);
    const value = Number(digits);
    if (fraction === void 0 && exponent === void 0) {
      if (digits.replace("-", "").length > MAX_DIGITS) throw new SyntaxError("a number with too many digits");
      return Number.isSafeInteger(value) ? value : BigInt(digits);
    }
    if (this.#integersOnly) throw new SyntaxError("a number that is not an integer");
    if (!Number.isFinite(value)) throw new SyntaxError("a number that is too large");
    return value;
  }
  /** Whether `character` comes next, after spaces; it is passed over then. */
  #skip(character) {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }
  #expect(token) {
    const found = this.#match(token);
    if (!found) throw new SyntaxError("not JSON");
    return found;
  }
  #match(token) {
    token.lastIndex = this.#at;
    const found = token.exec(this.#text);
    if (found) this.#at = token.lastIndex;
    return found;
  }
};

// src/envelope.ts
var FORMAT = "blindsight-attestation/1";
function checkFormat({ format = FORMAT }) {
  if (format !== FORMAT) {
    throw refusal("unsupported_envelope", "The evidence came in an envelope of another version.", 1);
  }
}
function documentIn(kept2) {
  const text3 = fromUtf8(kept2)?.trimStart();
  if (!text3?.startsWith("{")) return owned(kept2);
  const members = objectIn(text3);
  checkFormat(members);
  const encoded = members["document"];
  const document = typeof encoded === "string" ? fromBase64(encoded) : void 0;
  if (!document) throw refusal("not_cose_sign1", "The JSON has no attestation document in it.", 1);
  return document;
}
function objectIn(text3) {
  try {
    const value = parseJson(text3);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

// src/cbor.ts
var MAX_DEPTH2 = 4;
var SIMPLE = /* @__PURE__ */ new Map([
  [20, false],
  [21, true],
  [22, null]
]);
var INDEFINITE_MAP = 191;
var BREAK = 255;
var CborError = class extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
  code;
};
function decode(data, { indefiniteMap = false } = {}) {
  const decoder = new Decoder(data);
  const value = decoder.outermost(indefiniteMap);
  if (!decoder.done) throw new CborError("trailing_bytes", "Bytes follow the end of the CBOR value.");
  return value;
}
function byteStringHead(length) {
  if (length < 24) return Uint8Array.of(64 | length);
  if (length < 256) return Uint8Array.of(88, length);
  if (length < 65536) return Uint8Array.of(89, length >> 8, length & 255);
  throw new RangeError("no document holds a byte string of this length");
}
var Decoder = class {
  #at = 0;
  #data;
  constructor(data) {
    this.#data = data;
  }
  get done() {
    return this.#at === this.#data.length;
  }
  outermost(indefiniteMap) {
    return indefiniteMap && this.#skip(INDEFINITE_MAP) ? this.#map(void 0, 0) : this.value(0);
  }
  value(depth) {
    if (depth > MAX_DEPTH2) throw new CborError("nesting_too_deep", `More than ${MAX_DEPTH2} nested arrays or maps.`);
    const [major, argument] = this.#head();
    switch (major) {
      case 0:
        return argument;
      case 1:
        return exact(-1n - BigInt(argument));
      case 2:
        return this.#take(argument);
      case 3:
        return this.#text(argument);
      case 4: {
        const items = [];
        for (let count = 0; count < argument; count++) items.push(this.value(depth + 1));
        return items;
      }
      case 5:
        return this.#map(argument, depth);
      case 6:
        throw new CborError("unexpected_tag", `CBOR tag ${argument} where none is allowed.`);
      default: {
        const simple = SIMPLE.get(argument);
        if (simple === void 0) {
          throw new CborError("malformed_cbor", "A floating-point number or an unassigned simple value.");
        }
        return simple;
      }
    }
  }
  /** The entries that follow: `count` of them, or if it is undefined those up to the break. */
  #map(count, depth) {
    const entries = /* @__PURE__ */ new Map();
    while (count === void 0 ? !this.#skip(BREAK) : entries.size < count) {
      const key = this.value(depth + 1);
      if (typeof key !== "number" && typeof key !== "bigint" && typeof key !== "string") {
        throw new CborError("malformed_cbor", "A map key is neither an integer nor text.");
      }
      if (entries.has(key)) throw new CborError("duplicate_key", "A map has the same key twice.");
      entries.set(key, this.value(depth + 1));
    }
    return entries;
  }
  #text(length) {
    const text3 = fromUtf8(this.#take(length));
    if (text3 === void 0) throw new CborError("malformed_cbor", "A text string is not UTF-8.");
    return text3;
  }
  /** Read a data item head: major type 0-7 and argument (RFC 8949, section 3). */
  #head() {
    const initial = this.#take(1)[0] ?? 0;
    const major = initial >> 5;
    const info = initial & 31;
    if (info < 24) return [major, info];
    if (info === 31) throw new CborError("indefinite_length", "An indefinite length or a break where none is allowed.");
    if (info > 27) throw new CborError("malformed_cbor", "A reserved length encoding.");
    const size = 1 << info - 24;
    let argument = 0n;
    for (const byte2 of this.#take(size)) argument = argument << 8n | BigInt(byte2);
    if (major === 7 || argument < (size === 1 ? 24n : 1n << BigInt(4 * size))) {
      throw new CborError("malformed_cbor", "A number not in its shortest form, or a floating-point number.");
    }
    return [major, exact(argument)];
  }
  #take(count) {
    if (count > this.#data.length - this.#at) {
      throw new CborError("malformed_cbor", "The document ends in the middle of a value.");
    }
    const start = this.#at;
    this.#at += Number(count);
    return this.#data.subarray(start, this.#at);
  }
  /** Whether `byte` comes next; it is passed over then. */
  #skip(byte2) {
    if (this.#data[this.#at] !== byte2) return false;
    this.#at++;
    return true;
  }
};
function exact(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

// src/webcrypto.ts
var P384 = { curve: "P-384", hash: "SHA-384", bytes: 48 };
var P256 = { curve: "P-256", hash: "SHA-256", bytes: 32 };
function subtle() {
  const found = globalThis.crypto?.subtle;
  if (!found) throw refusal("no_webcrypto", "This page has no access to cryptography (WebCrypto).");
  return found;
}
function checkPlatform() {
  subtle();
}
function randomBytes(count) {
  return crypto.getRandomValues(new Uint8Array(count));
}
async function sha256(data) {
  return new Uint8Array(await subtle().digest("SHA-256", owned(data)));
}
async function sha384(data) {
  return new Uint8Array(await subtle().digest("SHA-384", owned(data)));
}
async function ecdsaKey(point, { curve, bytes }) {
  const api = subtle();
  if (point.length !== 1 + 2 * bytes || point[0] !== 4) return void 0;
  try {
    return await api.importKey("raw", owned(point), { name: "ECDSA", namedCurve: curve }, false, ["verify"]);
  } catch {
    return void 0;
  }
}
async function ecdsaVerify(key, { hash: hash2 }, signature, data) {
  return await subtle().verify({ name: "ECDSA", hash: hash2 }, key, owned(signature), owned(data));
}

// src/cose.ts
var PROTECTED_ES384 = Uint8Array.of(161, 1, 56, 34);
var PROTECTED_UNSIGNED = Uint8Array.of(161, 1, 32);
var TAG_18 = 210;
var SIGNATURE_BYTES = 96;
var UNSIGNED_BYTES = 64;
function decodeAt(step, data, options = {}) {
  try {
    return decode(data, options);
  } catch (error) {
    throw error instanceof CborError ? refusal(error.code, error.message, step) : error;
  }
}
function parse(data, step, { unsigned: mayBeUnsigned = false } = {}) {
  const message = decodeAt(step, data[0] === TAG_18 ? data.subarray(1) : data);
  if (!Array.isArray(message) || message.length !== 4) {
    throw refusal("not_cose_sign1", "Not a COSE_Sign1 array of four elements.", step);
  }
  const [header, unprotected, payload, signature] = message;
  const isHeader = (wanted) => header instanceof Uint8Array && equal(header, wanted);
  const unsigned3 = mayBeUnsigned && isHeader(PROTECTED_UNSIGNED);
  if (!unsigned3 && !isHeader(PROTECTED_ES384)) {
    throw refusal("wrong_algorithm", "The protected header is not exactly {alg: ES384}.", step);
  }
  if (!(unprotected instanceof Map) || unprotected.size) {
    throw refusal("unprotected_header", "The unprotected header is not an empty map.", step);
  }
  if (!(payload instanceof Uint8Array) || !payload.length) {
    throw refusal("not_cose_sign1", "The payload is not a byte string, or empty.", step);
  }
  const size = unsigned3 ? UNSIGNED_BYTES : SIGNATURE_BYTES;
  if (!(signature instanceof Uint8Array) || signature.length !== size) {
    throw refusal("not_cose_sign1", `The signature is not ${size} bytes.`, step);
  }
  return { payload, signature, unsigned: unsigned3 };
}
async function verify(message, key, step) {
  if (!await ecdsaVerify(key, P384, message.signature, sigStructure(message.payload))) {
    throw refusal("invalid_signature", "The signature is not that of the document's certificate.", step);
  }
}
function sigStructure(payload) {
  const head = concat(Uint8Array.of(132, 106), utf8("Signature1"));
  return concat(
    head,
    byteStringHead(PROTECTED_ES384.length),
    PROTECTED_ES384,
    byteStringHead(0),
    byteStringHead(payload.length),
    payload
  );
}

// src/document.ts
var MAX_DOCUMENT_BYTES = 16 * 1024;
var PCR_BYTES = 48;
var MAX_PCRS = 32;
var MAX_CERTIFICATE_BYTES = 1024;
var MAX_OPTIONAL_BYTES = 1024;
var KNOWN = /* @__PURE__ */ new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce"
]);
var MAX_TIMESTAMP_MS = 253402300799999;
function parseDocument(payload, step) {
  const fields = decodeAt(step, payload, { indefiniteMap: true });
  if (!(fields instanceof Map)) throw refusal("invalid_field", "The payload is not a map.", step);
  return new Fields(fields, step).document();
}
var Fields = class {
  #fields;
  #step;
  constructor(fields, step) {
    this.#fields = fields;
    this.#step = step;
  }
  document() {
    if (this.#text("digest") !== "SHA384") throw this.#error("unsupported_digest", "The digest is not SHA384.");
    return {
      moduleId: this.#text("module_id"),
      timestamp: this.#timestamp(),
      pcrs: this.#pcrs(),
      certificate: this.#certificate("certificate", this.#mandatory("certificate")),
      cabundle: this.#cabundle(),
      publicKey: this.#optional("public_key", 1),
      userData: this.#optional("user_data", 0),
      nonce: this.#optional("nonce", 0),
      unknownFields: [...this.#fields.keys()].filter((name) => !KNOWN.has(name))
    };
  }
  #mandatory(name) {
    const value = this.#fields.get(name) ?? null;
    if (value === null) throw this.#error("missing_field", `The field ${name} is missing or null.`);
    return value;
  }
  #text(name) {
    const value = this.#mandatory(name);
    if (typeof value !== "string" || !value) {
      throw this.#error("invalid_field", `The field ${name} is not a text, or empty.`);
    }
    return value;
  }
  #timestamp() {
    const value = this.#mandatory("timestamp");
    if (typeof value !== "number" || value <= 0 || value > MAX_TIMESTAMP_MS) {
      throw this.#error("invalid_field", "The timestamp is not a number of milliseconds since 1970.");
    }
    return new Date(value);
  }
  #pcrs() {
    const value = this.#mandatory("pcrs");
    if (!(value instanceof Map) || value.size < 1 || value.size > MAX_PCRS) {
      throw this.#error("invalid_field", `The field pcrs is not a map of 1 to ${MAX_PCRS} entries.`);
    }
    const pcrs = /* @__PURE__ */ new Map();
    for (const [index, measurement] of value) {
      if (typeof index !== "number" || index < 0 || index >= MAX_PCRS) {
        throw this.#error("invalid_pcr_index", `A PCR index is not an integer from 0 to ${MAX_PCRS - 1}.`);
      }
      if (!(measurement instanceof Uint8Array) || measurement.length !== PCR_BYTES) {
        throw this.#error("invalid_pcr_length", `PCR ${index} is not a string of ${PCR_BYTES} bytes.`);
      }
      pcrs.set(index, measurement);
    }
    return pcrs;
  }
  #certificate(name, value) {
    if (!(value instanceof Uint8Array) || value.length < 1 || value.length > MAX_CERTIFICATE_BYTES) {
      throw this.#error("invalid_field", `${name} is not a string of 1 to ${MAX_CERTIFICATE_BYTES} bytes.`);
    }
    return value;
  }
  #cabundle() {
    const value = this.#mandatory("cabundle");
    const [root, ...others] = Array.isArray(value) ? value : [];
    if (root === void 0) throw this.#error("invalid_field", "The field cabundle is not an array, or empty.");
    return [
      this.#certificate("cabundle[0]", root),
      ...others.map((item, position) => this.#certificate(`cabundle[${position + 1}]`, item))
    ];
  }
  #optional(name, least) {
    const value = this.#fields.get(name) ?? null;
    if (value === null) return null;
    if (value instanceof Uint8Array && value.length >= least && value.length <= MAX_OPTIONAL_BYTES) return value;
    throw this.#error("invalid_field", `${name} is not a string of ${least} to ${MAX_OPTIONAL_BYTES} bytes.`);
  }
  #error(code, message) {
    return refusal(code, message, this.#step);
  }
};

// src/policyjson.ts
var TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/;
function invalid(message) {
  return refusal("invalid_policy", message);
}
function only(members, known) {
  if (Object.keys(members).some((name) => !known.has(name))) {
    throw refusal("unknown_policy_key", "Unknown key.");
  }
}
function list(value, where) {
  if (!Array.isArray(value)) throw invalid(`${where}: not a list.`);
  return value;
}
function optionalText(members, name) {
  const { [name]: value } = members;
  if (value === void 0) return null;
  if (typeof value !== "string") throw invalid(`${name}: not a text.`);
  return value;
}
function optionalTime(members) {
  const text3 = optionalText(members, "expires");
  if (text3 === null) return null;
  if (!TIME.test(text3)) throw invalid("expires: not a time such as 2027-01-31T00:00:00Z.");
  const time2 = new Date(text3);
  const exists = !Number.isNaN(time2.getTime()) && time2.toISOString() === text3.replace("Z", ".000Z");
  if (!exists || text3.startsWith("0000")) throw invalid("expires: no such time.");
  return time2;
}
function named(members, name) {
  const { [name]: value } = members;
  if (value !== void 0 && value !== true) throw invalid(`${name}: may be true or left out.`);
  return value === true;
}
function hash(value, size, where) {
  const text3 = typeof value === "string" ? value.toLowerCase() : "";
  if (text3.length !== 2 * size || !/^[0-9a-f]*$/.test(text3)) {
    throw invalid(`${where}: not ${2 * size} hexadecimal digits.`);
  }
  if (/^0*$/.test(text3)) throw refusal("zero_measurement", `${where}: all zeros.`);
  return text3;
}
function hashes(values, size, where) {
  const found = new Set(values.map((value) => hash(value, size, where)));
  if (!found.size) throw refusal("empty_allow_list", `${where}: no accepted value.`);
  return found;
}
function registers(value) {
  if (!isObject(value)) throw invalid("pcrs: not an object.");
  const found = /* @__PURE__ */ new Map();
  for (const [index, values] of Object.entries(value)) {
    if (!/^(?:0|[1-9][0-9]?)$/.test(index)) throw invalid("pcrs: a key is not a PCR index.");
    found.set(Number(index), list(values, `PCR ${index}`));
  }
  return found;
}

// src/canonical.ts
function canonical(value) {
  return utf8(text(value));
}
function text(value) {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "number":
      if (!Number.isFinite(value)) throw new RangeError("a number that is not finite");
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map(text).join(",")}]`;
      return `{${Object.keys(value).sort().map((name) => `${quoted(name)}:${text(value[name])}`).join(",")}}`;
    default:
      throw new RangeError("a value that JSON does not have, or an integer that is too large");
  }
}
function quoted(value) {
  if (/\p{Surrogate}/u.test(value)) throw new RangeError("half a surrogate pair");
  return JSON.stringify(value);
}

// src/claims.ts
var CLAIMS_PCR = 16;
var CLAIM_BYTES = 32;
var OURS = ["key_configs_sha256", "model_sha256", "receipt_key_sha256"];
function parseClaims(userData, step) {
  const members = jsonObject(userData ?? new Uint8Array(), step);
  if (!OURS.some((name) => name in members)) return null;
  return {
    funcChecksum: claim("func_checksum", members, step),
    keyConfigsSha256: claim("key_configs_sha256", members, step),
    modelSha256: claim("model_sha256", members, step),
    receiptKeySha256: claim("receipt_key_sha256", members, step)
  };
}
async function expectedPcr16({ funcChecksum, modelSha256 }) {
  const measured = canonical({ func_checksum: base64(funcChecksum), model_sha256: base64(modelSha256) });
  return await sha384(concat(new Uint8Array(PCR_BYTES), await sha384(measured)));
}
function jsonObject(userData, step) {
  const somebodyElses = {};
  const text3 = fromUtf8(userData);
  if (text3 === void 0) return somebodyElses;
  let value;
  try {
    value = parseJson(text3);
  } catch (error) {
    if (error instanceof DuplicateMemberError) {
      throw refusal("malformed_claims", "user_data has the same member twice.", step);
    }
    return somebodyElses;
  }
  return isObject(value) ? value : somebodyElses;
}
function claim(name, members, step) {
  const text3 = members[name];
  const value = typeof text3 === "string" ? fromBase64(text3) : void 0;
  if (value?.length !== CLAIM_BYTES || allZero(value)) {
    const form = `the base64 of ${CLAIM_BYTES} bytes, or zero`;
    throw refusal("malformed_claims", `${name} in user_data is not ${form}.`, step);
  }
  return value;
}

// src/roots.ts
var EMULATED = "qemu-nitro-enclave";
var KINDS = ["nitro", "simulated", EMULATED];
function isEvidenceKind(value) {
  return KINDS.some((kind) => kind === value);
}
var AWS_NITRO_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
var NOT_FINGERPRINTS = /* @__PURE__ */ new Map([
  ["8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c", "the ZIP file that AWS publishes the root in"],
  ["6eb9688305e4bbca67f44b59c29a0661ae930f09b5945b5d1d9ae01125c8d6c0", "the root's PEM file"]
]);
var SIMULATED_ROOT_NAME = "blindsight.simulated";

// src/release.ts
var DIGEST_BYTES = 32;
var NAME = /^[ -~]{1,64}$/;
var VERSION = /^(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,3}$/;
var VERSION_PARTS = 4;
function releaseOf(stated) {
  const { kind, name, version, expires } = stated;
  if (!isEvidenceKind(kind)) throw invalid("No kind of evidence is called so.");
  if (kind === EMULATED && stated.roots) throw invalid("roots: evidence of this kind is unsigned and has none.");
  const listed = stated.roots ?? (kind === "nitro" ? [AWS_NITRO_ROOT_G1] : []);
  if (!listed.length && kind !== EMULATED) throw refusal("no_roots", "The release lists no root of trust.");
  const roots = new Set(listed.map((root) => checkedRoot(hash(root, DIGEST_BYTES, "a root"), kind)));
  if (roots.size < listed.length) throw invalid("roots: one is listed twice.");
  const pcrs = new Map(Array.from(stated.pcrs, ([index, values]) => [index, measurements(index, values)]));
  const functionChecksums = digests(stated.functionChecksums, "function_checksums");
  const modelDigests = digests(stated.modelDigests, "model_digests");
  if (name !== null && !NAME.test(name)) throw invalid("name: not 1 to 64 printable ASCII characters.");
  if (version !== null) versionKey(version, "version");
  const leftOpen = checkedOpenness(stated);
  return { kind, name, version, roots, pcrs, functionChecksums, modelDigests, leftOpen, expires };
}
function versionKey(version, where) {
  if (!VERSION.test(version)) throw invalid(`${where}: not one to four numbers with dots between them.`);
  const numbers = version.split(".").map(Number);
  return [...numbers, ...new Array(VERSION_PARTS - numbers.length).fill(0)];
}
function checkedOpenness({ pcrs, functionChecksums, functionInImage, anyCode, anyFunction }) {
  const pinsCode = pcrs.has(0) || pcrs.has(1) && pcrs.has(2);
  const pinsFunction = pcrs.has(CLAIMS_PCR) || functionChecksums !== null || functionInImage;
  if (!pcrs.size && !(anyCode && anyFunction)) {
    throw refusal("no_measurements", "The release lists no PCR, so it would accept any code.");
  }
  if (pinsCode && anyCode) throw invalid("any_code: the code is pinned, so it is not left open.");
  if (!pinsCode && !anyCode) {
    throw refusal("code_not_pinned", "Neither PCR 0 nor PCR 1 and 2 pin the code: any would be accepted.");
  }
  if (functionInImage && !pcrs.has(0)) {
    throw invalid("function_in_image: PCR 0 is not listed, which would cover the image.");
  }
  if (pinsFunction && anyFunction) throw invalid("any_function: the function is pinned, so it is not left open.");
  if (!pinsFunction && !anyFunction) {
    throw refusal("function_not_pinned", "Nothing pins the function: any bundle would be accepted.");
  }
  return [...anyCode ? ["code"] : [], ...anyFunction ? ["function"] : []];
}
function checkedRoot(root, kind) {
  const mistake = NOT_FINGERPRINTS.get(root);
  if (mistake !== void 0) {
    throw refusal("not_a_certificate_fingerprint", `The root ${root.slice(0, 16)}... is the hash of ${mistake}.`);
  }
  if (root === AWS_NITRO_ROOT_G1 && kind !== "nitro") {
    throw invalid(`The root ${root.slice(0, 16)}... is AWS's and cannot be of this kind.`);
  }
  return root;
}
function measurements(index, values) {
  if (index >= MAX_PCRS) throw invalid(`A PCR index is not an integer from 0 to ${MAX_PCRS - 1}.`);
  return hashes(values, PCR_BYTES, `PCR ${index}`);
}
function digests(values, where) {
  return values && hashes(values, DIGEST_BYTES, where);
}

// src/policy.ts
var SCHEMA = "blindsight-policy/2";
var FIRST_SCHEMA = "blindsight-policy/1";
var DEFAULT_MAX_AGE = 300;
var DEFAULT_MAX_FUTURE_SKEW = 60;
var MAX_SECONDS = 24 * 3600;
var LIMITS = ["max_age_seconds", "max_future_skew_seconds"];
var MEMBERS = /* @__PURE__ */ new Set([
  "schema",
  "releases",
  "refuse",
  "minimum_version",
  "expires",
  ...LIMITS
]);
var RELEASE_MEMBERS = /* @__PURE__ */ new Set([
  "kind",
  "name",
  "version",
  "roots",
  "pcrs",
  "function_checksums",
  "model_digests",
  "function_in_image",
  "any_code",
  "any_function",
  "expires"
]);
var FIRST_MEMBERS = /* @__PURE__ */ new Set([
  "schema",
  "roots",
  "pcrs",
  "function_checksums",
  "model_digests",
  ...LIMITS
]);
var FIRST_ROOT_MEMBERS = /* @__PURE__ */ new Set(["kind", "sha256"]);
var Policy = class _Policy {
  releases;
  refuse;
  minimumVersion;
  expires;
  maxAge;
  maxFutureSkew;
  constructor({ releases, refuse, minimumVersion, expires, maxAge, maxFutureSkew }) {
    this.releases = releases;
    this.refuse = refuse;
    this.minimumVersion = minimumVersion;
    this.expires = expires;
    this.maxAge = maxAge;
    this.maxFutureSkew = maxFutureSkew;
  }
  /** Parse a policy file's text. Throws `PolicyError`. */
  static fromJson(text3) {
    return new _Policy(policyIn(parsed(text3)));
  }
};
function policyIn(members) {
  if (isObject(members) && members["schema"] === SCHEMA) return second(members);
  if (isObject(members) && members["schema"] === FIRST_SCHEMA) return first(members);
  throw invalid(`The policy states neither the schema ${SCHEMA} nor ${FIRST_SCHEMA}.`);
}
function parsed(text3) {
  try {
    return parseJson(text3, { integersOnly: true });
  } catch (error) {
    if (error instanceof DuplicateMemberError) throw invalid("An object has the same key twice.");
    throw refusal("unreadable_policy", "The policy is not JSON with whole numbers.");
  }
}
function second(members) {
  only(members, MEMBERS);
  const releases = list(members["releases"], "releases").map((value, index) => numbered(index + 1, value));
  const refuse = list("refuse" in members ? members["refuse"] : [], "refuse");
  const minimumVersion = optionalText(members, "minimum_version");
  const expires = optionalTime(members);
  if (!releases.length) throw invalid("releases: no release is accepted.");
  checkKinds(releases);
  if (minimumVersion !== null) versionKey(minimumVersion, "minimum_version");
  const limits = limitsOf(members);
  return { releases, refuse: new Set(refuse.map(recalled)), minimumVersion, expires, ...limits };
}
function numbered(number, value) {
  try {
    return release(value);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(error.code, `Release ${number} of the policy: ${error.message}`, error.nextStep);
  }
}
function release(members) {
  if (!isObject(members)) throw invalid("not an object.");
  only(members, RELEASE_MEMBERS);
  return releaseOf({
    kind: members["kind"],
    pcrs: registers("pcrs" in members ? members["pcrs"] : {}),
    functionChecksums: optionalList(members, "function_checksums"),
    modelDigests: optionalList(members, "model_digests"),
    roots: optionalList(members, "roots"),
    expires: optionalTime(members),
    functionInImage: named(members, "function_in_image"),
    anyCode: named(members, "any_code"),
    anyFunction: named(members, "any_function"),
    name: optionalText(members, "name"),
    version: optionalText(members, "version")
  });
}
function first(members) {
  only(members, FIRST_MEMBERS);
  const kinds = firstRoots(members["roots"]);
  if (!kinds.size) throw refusal("no_roots", "The policy lists no root of trust.");
  const rest = {
    pcrs: registers(members["pcrs"]),
    functionChecksums: nullableList(members, "function_checksums"),
    modelDigests: nullableList(members, "model_digests"),
    expires: null,
    functionInImage: false,
    anyCode: false,
    anyFunction: false,
    name: null,
    version: null
  };
  const releases = Array.from(kinds, ([kind, roots]) => releaseOf({ ...rest, kind, roots }));
  return { releases, refuse: /* @__PURE__ */ new Set(), minimumVersion: null, expires: null, ...limitsOf(members) };
}
function firstRoots(value) {
  const kinds = /* @__PURE__ */ new Map();
  for (const entry of list(value, "roots")) {
    if (!isObject(entry) || entry["kind"] === void 0 || entry["sha256"] === void 0) {
      throw invalid("roots: an entry is not an object with kind and sha256.");
    }
    only(entry, FIRST_ROOT_MEMBERS);
    const root = hash(entry["sha256"], DIGEST_BYTES, "a root");
    if ([...kinds.values()].flat().includes(root)) throw invalid(`roots: ${root.slice(0, 16)}... is listed twice.`);
    const kind = optionalText(entry, "kind") ?? "";
    kinds.set(kind, [...kinds.get(kind) ?? [], root]);
  }
  return kinds;
}
function checkKinds(releases) {
  const kinds = /* @__PURE__ */ new Map();
  for (const { roots, kind } of releases) {
    for (const root of roots) {
      if ((kinds.get(root) ?? kind) !== kind) throw invalid(`The root ${root.slice(0, 16)}... stands for two kinds.`);
      kinds.set(root, kind);
    }
  }
}
function optionalList(members, name) {
  return name in members ? list(members[name], name) : null;
}
function nullableList(members, name) {
  return (members[name] ?? null) === null ? null : list(members[name], name);
}
function recalled(value) {
  const isDigest = typeof value === "string" && value.length === 2 * DIGEST_BYTES;
  return hash(value, isDigest ? DIGEST_BYTES : PCR_BYTES, "refuse");
}
function limitsOf(members) {
  return {
    maxAge: seconds(members, "max_age_seconds", DEFAULT_MAX_AGE),
    maxFutureSkew: seconds(members, "max_future_skew_seconds", DEFAULT_MAX_FUTURE_SKEW)
  };
}
function seconds(members, where, missing) {
  const { [where]: value = missing } = members;
  if (typeof value !== "number" || value < 0 || value > MAX_SECONDS) {
    throw invalid(`${where}: not a whole number of seconds from 0 to ${MAX_SECONDS}.`);
  }
  return value;
}

// src/keyconfig.ts
var KDF_HKDF_SHA256 = 1;
var MLKEM768_X25519 = { id: 25722, name: "MLKEM768-X25519", publicBytes: 1216, encBytes: 1120 };
var X25519_HKDF_SHA256 = { id: 32, name: "X25519", publicBytes: 32, encBytes: 32 };
var KEMS = [MLKEM768_X25519, X25519_HKDF_SHA256];
var AEADS = [
  { id: 1, keyBytes: 16 },
  { id: 2, keyBytes: 32 }
];
var SUITE_BYTES = 4;
function decodeList(data) {
  const configs = [];
  for (let at = 0; at < data.length; ) {
    const start = at + 2;
    at = start + toUint(data.subarray(at, start));
    if (at > data.length) throw malformed("The list of key configurations is cut short.");
    const config = decode2(data.subarray(start, at));
    if (config) configs.push(config);
  }
  return configs;
}
function preferred(configs) {
  return KEMS.map((kem) => configs.find((config) => config.kem === kem)).find((config) => config !== void 0);
}
function aeadOf(kdfId, aeadId) {
  return kdfId === KDF_HKDF_SHA256 ? AEADS.find(({ id }) => id === aeadId) : void 0;
}
function malformed(detail) {
  return refusal("malformed_message", detail);
}
function decode2(data) {
  const [keyId] = data;
  if (keyId === void 0 || data.length < 3) throw malformed("A key configuration is cut short.");
  const kemId = toUint(data.subarray(1, 3));
  const kem = KEMS.find(({ id }) => id === kemId);
  if (!kem) return void 0;
  const end = 3 + kem.publicBytes;
  if (data.length < end + 2) throw malformed("A key configuration is cut short.");
  const length = toUint(data.subarray(end, end + 2));
  const suites = data.subarray(end + 2);
  if (suites.length !== length || length < SUITE_BYTES || length % SUITE_BYTES) {
    throw malformed("A key configuration's cipher list has the wrong length.");
  }
  const [first2, ...others] = Array.from({ length: length / SUITE_BYTES }, (_, index) => {
    const at = SUITE_BYTES * index;
    return aeadOf(toUint(suites.subarray(at, at + 2)), toUint(suites.subarray(at + 2, at + SUITE_BYTES)));
  }).filter((aead) => aead !== void 0);
  return first2 && { keyId, kem, publicKey: data.slice(3, end), aeads: [first2, ...others] };
}

// src/report.ts
var LEFT_OPEN = {
  code: "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
  function: "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted."
};
var PROVES_NOTHING = {
  nitro: null,
  simulated: "SIMULATED ENCLAVE: the evidence proves nothing about the host that runs it.",
  "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing."
};
var HEADINGS = {
  nitro: "Genuine Nitro evidence",
  simulated: "SIMULATED evidence: it proves nothing about hardware",
  "qemu-nitro-enclave": "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing"
};
var VerificationReport = class {
  kind;
  /** The time of judgement. */
  at;
  /** Whether that is the document's own time. */
  archived;
  steps;
  /** The name of the matching release, if it has one. */
  release;
  /** The parts that this release leaves open. */
  leftOpen;
  constructor({ kind, at, archived, steps, release: release2, leftOpen }) {
    this.kind = kind;
    this.at = at;
    this.archived = archived;
    this.steps = steps;
    this.release = release2;
    this.leftOpen = leftOpen;
  }
  /** One sentence for each part that the policy left open. */
  get warnings() {
    return this.leftOpen.map((part) => LEFT_OPEN[part]);
  }
  /** The notice for evidence that proves nothing; null for genuine evidence. */
  get notice() {
    return PROVES_NOTHING[this.kind];
  }
  /** With the members that `blindsight attest --json` prints. */
  toJSON() {
    const { kind, notice, archived, release: release2, leftOpen, steps } = this;
    return { kind, notice, at: this.at.toISOString(), archived, release: release2, left_open: [...leftOpen], steps: [...steps] };
  }
  /** Plain text ending in a line feed: a heading, the release's name, open parts, the steps. */
  render() {
    const judged = this.archived ? "at the document's own time" : "now";
    const at = this.at.toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
    const width = Math.max(...this.steps.map(({ name }) => name.length));
    const lines = [
      `${HEADINGS[this.kind]}, verified ${judged}, ${at}`,
      ...this.release === null ? [] : [`Release ${this.release}`],
      ...this.warnings,
      ...this.steps.map(
        ({ number, name, result, checked, against }) => `${String(number).padStart(3)}. ${name.padEnd(width)}  ${result.padEnd(9)}  ${checked} / ${against}`
      )
    ];
    return `${lines.join("\n")}
`;
  }
};

// src/der.ts
var TAG = {
  BOOLEAN: 1,
  INTEGER: 2,
  BIT_STRING: 3,
  OCTET_STRING: 4,
  OID: 6,
  UTC_TIME: 23,
  GENERALIZED_TIME: 24,
  SEQUENCE: 48,
  SET: 49
};
function explicit(number) {
  return 160 | number;
}
function implicit(number) {
  return 128 | number;
}
var DerError = class extends Error {
};
var DerReader = class _DerReader {
  #data;
  #at = 0;
  constructor(data) {
    this.#data = data;
  }
  get done() {
    return this.#at === this.#data.length;
  }
  /** The next element, whatever its tag. Tags above 30 and lengths above 65535 do not occur in what is read here. */
  element() {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 31) === 31) throw new DerError("a tag of more than one byte");
    let length = this.#byte();
    if (length > 127) {
      const size = length & 127;
      if (size < 1 || size > 2) throw new DerError("an indefinite length, or an enormous one");
      length = toUint(this.#take(size));
      if (length < (size === 1 ? 128 : 256)) throw new DerError("a length not in its shortest form");
    }
    const content = this.#take(length);
    return { tag, content, whole: this.#data.subarray(start, this.#at) };
  }
  /** The next element, which has this tag. */
  expect(tag) {
    const element = this.element();
    if (element.tag !== tag) throw new DerError(`tag ${element.tag} in the place of ${tag}`);
    return element;
  }
  /** The content of the next element, which has this tag. */
  read(tag) {
    return this.expect(tag).content;
  }
  /** The content of the next element if it has this tag. */
  optional(tag) {
    return this.#data[this.#at] === tag ? this.read(tag) : void 0;
  }
  /** The elements of the next one, which has this tag. */
  enter(tag) {
    return new _DerReader(this.read(tag));
  }
  /** Nothing may follow. */
  end() {
    if (!this.done) throw new DerError("something follows the last element");
  }
  #byte() {
    return this.#take(1)[0] ?? 0;
  }
  #take(count) {
    const taken = this.#data.subarray(this.#at, this.#at + count);
    if (taken.length !== count) throw new DerError("cut short");
    this.#at += count;
    return taken;
  }
};
function only2(data, tag) {
  const outer = new DerReader(data);
  const inner = outer.enter(tag);
  outer.end();
  return inner;
}
function oid(content) {
  let begins = true;
  for (const byte2 of content) {
    if (begins && byte2 === 128) throw new DerError("an arc not in its shortest form");
    begins = byte2 < 128;
  }
  if (!content.length || !begins) throw new DerError("no object identifier");
  return hex(content);
}
function defaultFalse(content) {
  if (content === void 0) return false;
  if (content.length !== 1 || content[0] !== 255) throw new DerError("no boolean, or a default that is written out");
  return true;
}
function integer(content) {
  const [first2, second2] = content;
  const redundant = second2 !== void 0 && (first2 === 0 && second2 < 128 || first2 === 255 && second2 >= 128);
  if (first2 === void 0 || redundant) throw new DerError("an integer not in its shortest form");
  return content;
}
function unsigned(content, size) {
  const digits = integer(content);
  if ((digits[0] ?? 0) >= 128) throw new DerError("a negative integer");
  const significant = digits[0] === 0 ? digits.subarray(1) : digits;
  if (significant.length > size) throw new DerError("too large an integer");
  const padded2 = new Uint8Array(size);
  padded2.set(significant, size - significant.length);
  return padded2;
}
function small(content) {
  return toUint(unsigned(content, 4));
}
function octets(content) {
  if (content[0] !== 0) throw new DerError("a bit string that does not consist of bytes");
  return content.subarray(1);
}
function namedBits(content) {
  const [unused, ...bytes] = content;
  const last = bytes.at(-1);
  if (unused === void 0 || unused > 7 || (last === void 0 ? unused !== 0 : (last & (1 << unused) - 1) !== 0)) {
    throw new DerError("no bit string");
  }
  const bits = /* @__PURE__ */ new Set();
  bytes.forEach((byte2, at) => {
    for (let bit = 0; bit < 8; bit++) if (byte2 & 128 >> bit) bits.add(8 * at + bit);
  });
  return bits;
}
var TIME2 = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;
function time({ tag, content }) {
  let text3 = String.fromCharCode(...content);
  if (tag === TAG.UTC_TIME) text3 = (text3.slice(0, 2) >= "50" ? "19" : "20") + text3;
  else if (tag !== TAG.GENERALIZED_TIME) throw new DerError("no time");
  const [, year, month, day, hour, minute, second2] = TIME2.exec(text3) ?? [];
  const spelt = `${year}-${month}-${day}T${hour}:${minute}:${second2}.000Z`;
  const moment = new Date(spelt);
  if (Number.isNaN(moment.getTime()) || moment.toISOString() !== spelt) throw new DerError("no time");
  return moment;
}

// src/certificate.ts
var COMMON_NAME = "550403";
var UNIQUE_IDENTIFIER = "55042d";
var TEXTS = /* @__PURE__ */ new Set([4, 12, 18, 19, 20, 22, 23, 24, 26]);
var WIDE_TEXTS = /* @__PURE__ */ new Map([
  [30, 2],
  [28, 4]
]);
var EC_PUBLIC_KEY = "2a8648ce3d0201";
var SECP384R1 = "2b81040022";
var ECDSA_WITH_SHA384 = "2a8648ce3d040303";
var ECDSA_WITH_SHA2 = /^2a8648ce3d04030[1-4]$/;
var EXTENSION = {
  SUBJECT_KEY_IDENTIFIER: "551d0e",
  KEY_USAGE: "551d0f",
  SUBJECT_ALTERNATIVE_NAME: "551d11",
  BASIC_CONSTRAINTS: "551d13",
  AUTHORITY_KEY_IDENTIFIER: "551d23",
  EXTENDED_KEY_USAGE: "551d25",
  AUTHORITY_INFORMATION_ACCESS: "2b06010505070101"
};
function parse2(encoded) {
  const certificate = only2(encoded, TAG.SEQUENCE);
  const signed2 = certificate.expect(TAG.SEQUENCE);
  const outerAlgorithm = certificate.expect(TAG.SEQUENCE).whole;
  const signature = octets(certificate.read(TAG.BIT_STRING));
  certificate.end();
  const fields = new DerReader(signed2.content);
  const version = versionOf(fields);
  const serial = integer(fields.read(TAG.INTEGER));
  const innerAlgorithm = fields.expect(TAG.SEQUENCE).whole;
  const issuer = fields.expect(TAG.SEQUENCE);
  const validity = fields.enter(TAG.SEQUENCE);
  const times = [validity.element(), validity.element()];
  validity.end();
  const subject = fields.expect(TAG.SEQUENCE);
  const p384Point = p384PointOf(fields.enter(TAG.SEQUENCE));
  fields.optional(implicit(1));
  fields.optional(implicit(2));
  const wrapped = fields.optional(explicit(3));
  fields.end();
  commonNamesOf(issuer.content);
  algorithmOf(innerAlgorithm);
  algorithmOf(outerAlgorithm);
  return {
    signed: signed2.whole,
    version,
    serial,
    issuer: issuer.whole,
    subject: subject.whole,
    commonNames: commonNamesOf(subject.content),
    notBefore: time(times[0]),
    notAfter: time(times[1]),
    timesWellTyped: times.every(isWellTyped),
    p384Point,
    innerAlgorithm,
    outerAlgorithm,
    signature,
    ...extensionsOf(wrapped)
  };
}
function algorithmOf(encoded) {
  const identifier = only2(encoded, TAG.SEQUENCE);
  const oid2 = oid(identifier.read(TAG.OID));
  if (ECDSA_WITH_SHA2.test(oid2) && !identifier.done) throw new DerError("parameters of ECDSA");
  return identifier.done ? oid2 : void 0;
}
function rawSignature(encoded) {
  const pair = only2(encoded, TAG.SEQUENCE);
  const raw = new Uint8Array(96);
  raw.set(unsigned(pair.read(TAG.INTEGER), 48), 0);
  raw.set(unsigned(pair.read(TAG.INTEGER), 48), 48);
  pair.end();
  return raw;
}
function isWellTyped(time2) {
  const wanted = time(time2).getUTCFullYear() < 2050 ? TAG.UTC_TIME : TAG.GENERALIZED_TIME;
  return time2.tag === wanted;
}
function versionOf(fields) {
  const wrapped = fields.optional(explicit(0));
  if (wrapped === void 0) return 1;
  const reader = new DerReader(wrapped);
  const version = small(reader.read(TAG.INTEGER));
  reader.end();
  if (version !== 2) throw new DerError("a version that no certificate has");
  return 3;
}
function commonNamesOf(content) {
  const found = [];
  for (const name = new DerReader(content); !name.done; ) {
    const relative = name.enter(TAG.SET);
    do {
      const attribute = relative.enter(TAG.SEQUENCE);
      const type = oid(attribute.read(TAG.OID));
      const text3 = nameText(type, attribute.element());
      attribute.end();
      if (type === COMMON_NAME && text3 !== void 0) found.push(text3);
    } while (!relative.done);
  }
  return found;
}
function nameText(type, { tag, content }) {
  if (tag === TAG.BIT_STRING && type === UNIQUE_IDENTIFIER) return void 0;
  const bytesEach = WIDE_TEXTS.get(tag);
  if (bytesEach !== void 0 && content.length % bytesEach === 0) return void 0;
  const text3 = TEXTS.has(tag) ? fromUtf8(content) : void 0;
  if (text3 === void 0) throw new DerError("a name's value is not text");
  return text3;
}
function p384PointOf(key) {
  const algorithm = key.enter(TAG.SEQUENCE);
  const type = oid(algorithm.read(TAG.OID));
  if (type === EC_PUBLIC_KEY && algorithm.done) throw new DerError("a key without a curve");
  const curve = type === EC_PUBLIC_KEY ? algorithm.optional(TAG.OID) : void 0;
  const point = key.read(TAG.BIT_STRING);
  key.end();
  const onP384 = curve !== void 0 && oid(curve) === SECP384R1 && algorithm.done && point[0] === 0;
  return onP384 ? point.subarray(1) : void 0;
}
function extensionsOf(wrapped) {
  const extensions = /* @__PURE__ */ new Map();
  let duplicates = false;
  if (wrapped !== void 0) {
    const list2 = only2(wrapped, TAG.SEQUENCE);
    while (!list2.done) {
      const extension = list2.enter(TAG.SEQUENCE);
      const oid2 = oid(extension.read(TAG.OID));
      const critical = defaultFalse(extension.optional(TAG.BOOLEAN));
      const value = extension.read(TAG.OCTET_STRING);
      extension.end();
      duplicates ||= extensions.has(oid2);
      extensions.set(oid2, { critical, value });
    }
  }
  return { extensions, duplicates };
}

// src/chain.ts
var MAX_INTERMEDIATES = 3;
var MAX_SIGNATURE_CHECKS = 32;
var MAX_SERIAL_BYTES = 21;
var DIGITAL_SIGNATURE = 0;
var KEY_CERT_SIGN = 5;
var KNOWN_EXTENSIONS = new Set(Object.values(EXTENSION));
var EMPTY_NAME = Uint8Array.of(48, 0);
function parse3(bundle, leaf, step) {
  try {
    const root = parse2(bundle[0]);
    const others = [...bundle.slice(1), leaf].map((encoded) => parse2(encoded));
    return { certificates: [root, ...others], callsItselfSimulated: root.commonNames.includes(SIMULATED_ROOT_NAME) };
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw refusal("malformed_certificate", "A certificate cannot be parsed.", step);
  }
}
async function verify2(chain, at, step) {
  const keys = /* @__PURE__ */ new Map();
  for (const [position, certificate] of chain.certificates.entries()) {
    checkTime(certificate, `Certificate ${position + 1} of ${chain.certificates.length}, from the root,`, at, step);
    keys.set(certificate, await checkedKey(certificate, step));
  }
  const path = await new PathBuilder(chain, keys).build();
  if (path === void 0) {
    throw refusal("invalid_chain", "The certificates do not form a valid chain from the signer to the root.", step);
  }
  const ordered = path.length === chain.certificates.length;
  if (!ordered || !path.every((certificate, position) => certificate === chain.certificates.at(-1 - position))) {
    throw refusal("chain_order", "The bundle is not the chain from the root to the signer, in that order.", step);
  }
  return keyOf(keys, path[0]);
}
function checkTime(certificate, who, at, step) {
  if (at > certificate.notAfter) {
    throw refusal("certificate_expired", `${who} expired at ${formatted(certificate.notAfter)}.`, step);
  }
  if (at < certificate.notBefore) {
    const from = formatted(certificate.notBefore);
    throw refusal("certificate_not_yet_valid", `${who} is valid only from ${from}.`, step);
  }
}
function formatted(moment) {
  return `${moment.toISOString().slice(0, 19).replace("T", " ")}Z`;
}
async function checkedKey(certificate, step) {
  const key = certificate.p384Point && await ecdsaKey(certificate.p384Point, P384);
  if (!key) throw refusal("certificate_algorithm", "A certificate's key is not on P-384.", step);
  if (algorithmOf(certificate.outerAlgorithm) !== ECDSA_WITH_SHA384) {
    throw refusal("certificate_algorithm", "A certificate is not signed with SHA-384.", step);
  }
  return key;
}
var PathBuilder = class {
  #root;
  #intermediates;
  #leaf;
  #keys;
  #checksLeft = MAX_SIGNATURE_CHECKS;
  constructor({ certificates: [root, ...others] }, keys) {
    this.#root = root;
    this.#intermediates = others.slice(0, -1);
    this.#leaf = others.at(-1) ?? root;
    this.#keys = keys;
  }
  /** The path, signer first; undefined if there is none. */
  async build() {
    if (!isSound(this.#leaf) || !maySignData(this.#leaf)) return void 0;
    const rest = await this.#above(this.#leaf, 0);
    return rest && [this.#leaf, ...rest];
  }
  /** The issuers of `working`, which has `depth` certificates below it, up to the root. */
  async #above(working, depth) {
    if (working === this.#root) return [];
    if (depth > MAX_INTERMEDIATES) return void 0;
    for (const issuer of [this.#root, ...this.#intermediates]) {
      if (!equal(issuer.subject, working.issuer) || !isSound(issuer) || !mayIssue(issuer, depth)) continue;
      if (!await this.#signed(issuer, working)) continue;
      const rest = await this.#above(issuer, depth + 1);
      if (rest) return [issuer, ...rest];
    }
    return void 0;
  }
  async #signed(issuer, certificate) {
    if (this.#checksLeft-- <= 0) return false;
    let signature;
    try {
      signature = rawSignature(certificate.signature);
    } catch (error) {
      if (!(error instanceof DerError)) throw error;
      return false;
    }
    return await ecdsaVerify(keyOf(this.#keys, issuer), P384, signature, certificate.signed);
  }
};
function keyOf(keys, certificate) {
  const key = keys.get(certificate);
  if (!key) throw new RangeError("a certificate of another chain");
  return key;
}
function isSound(certificate) {
  const { version, serial, innerAlgorithm, outerAlgorithm, issuer, extensions } = certificate;
  return version === 3 && serial.length <= MAX_SERIAL_BYTES && (serial[0] ?? 0) < 128 && equal(innerAlgorithm, outerAlgorithm) && !equal(issuer, EMPTY_NAME) && certificate.timesWellTyped && !certificate.duplicates && [...extensions].every(([oid2, { critical }]) => !critical || KNOWN_EXTENSIONS.has(oid2));
}
function mayIssue({ extensions }, depth) {
  const constraints = extensions.get(EXTENSION.BASIC_CONSTRAINTS);
  const usage = extensions.get(EXTENSION.KEY_USAGE);
  return holds(() => {
    if (!constraints?.critical || !usage?.critical) return false;
    const { ca, pathLength } = basicConstraints(constraints.value);
    return ca && depth <= (pathLength ?? Infinity) && keyUsage(usage.value).has(KEY_CERT_SIGN);
  });
}
function maySignData({ extensions }) {
  const constraints = extensions.get(EXTENSION.BASIC_CONSTRAINTS);
  const usage = extensions.get(EXTENSION.KEY_USAGE);
  return holds(
    () => constraints !== void 0 && constraints.critical && !basicConstraints(constraints.value).ca && usage !== void 0 && keyUsage(usage.value).has(DIGITAL_SIGNATURE) && !extensions.has(EXTENSION.SUBJECT_ALTERNATIVE_NAME)
  );
}
function basicConstraints(value) {
  const fields = only2(value, TAG.SEQUENCE);
  const flag = fields.optional(TAG.BOOLEAN);
  const pathLength = fields.optional(TAG.INTEGER);
  fields.end();
  return {
    ca: defaultFalse(flag),
    pathLength: pathLength === void 0 ? void 0 : small(pathLength)
  };
}
function keyUsage(value) {
  const reader = new DerReader(value);
  const bits = namedBits(reader.read(TAG.BIT_STRING));
  reader.end();
  return bits;
}
function holds(check) {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return false;
  }
}

// src/emulated.ts
var PLACEHOLDER_BYTES = 64;
function releasesOf({ releases }) {
  const [release2, ...others] = releases.filter(({ kind }) => kind === EMULATED);
  return release2 && [release2, ...others];
}
function checkBundle({ cabundle: [root, ...others] }, step) {
  if (others.length || !isPlaceholder(root)) {
    throw refusal("malformed_certificate", "The bundle of an unsigned document is not QEMU's.", step);
  }
}
function checkCertificate({ certificate }, step) {
  if (!isPlaceholder(certificate)) {
    throw refusal("malformed_certificate", "The certificate of an unsigned document is not QEMU's.", step);
  }
}
function checkSignature({ signature }, step) {
  if (!isPlaceholder(signature)) {
    throw refusal("invalid_signature", "The signature of an unsigned document is not QEMU's.", step);
  }
}
function isPlaceholder(bytes) {
  return bytes.length === PLACEHOLDER_BYTES && allZero(bytes);
}

// src/matching.ts
function checkPolicy({ expires }, at) {
  if (expires && at >= expires) throw refusal("policy_expired", `The policy expired at ${formatted(expires)}.`);
}
function byRoot(policy, rootSha256, step) {
  const pinned = (release2) => release2.roots.has(rootSha256) ? void 0 : refusal("root_not_pinned", `The root ${rootSha256} is not in the policy.`, step);
  return kept(policy.releases, pinned);
}
function byMeasurements(releases, pcrs, { policy, at, step }) {
  for (const [index, value] of sorted(pcrs)) {
    if (policy.refuse.has(hex(value))) {
      throw refusal("release_recalled", `PCR ${index} is ${hex(value)}, which the policy refuses.`, step);
    }
  }
  const ofAge = kept(releases, (release2) => ageRefusal(release2, policy, at, step));
  return kept(ofAge, (release2) => measurementRefusal(release2, pcrs, step));
}
function byIdentity(releases, claims, { policy, step }) {
  const checksum = claims && hex(claims.funcChecksum);
  const digest = claims && hex(claims.modelSha256);
  for (const [name, value] of [["function", checksum], ["model", digest]]) {
    if (value !== null && policy.refuse.has(value)) {
      throw refusal("release_recalled", `The ${name} is ${value}, which the policy refuses.`, step);
    }
  }
  const ofFunction = kept(releases, ({ functionChecksums, modelDigests }) => {
    if (!claims && (functionChecksums ?? modelDigests)) {
      return refusal("claims_missing", "The document names no function and no model.", step);
    }
    return accepts(functionChecksums, checksum) ? void 0 : refusal("function_not_accepted", `The function is ${checksum}.`, step);
  });
  const ofModel = kept(
    ofFunction,
    ({ modelDigests }) => accepts(modelDigests, digest) ? void 0 : refusal("model_not_accepted", `The model is ${digest}.`, step)
  );
  return ofModel[0];
}
function ageRefusal({ version, expires }, policy, at, step) {
  const least = policy.minimumVersion;
  if (least !== null && (version === null || isBelow(version, least))) {
    const text3 = `The release is version ${version ?? "unknown"}; ${least} is the lowest that the policy accepts.`;
    return refusal("release_too_old", text3, step);
  }
  if (expires && at >= expires) {
    return refusal("release_expired", `The release was accepted until ${formatted(expires)}.`, step);
  }
  return void 0;
}
function measurementRefusal(release2, pcrs, step) {
  for (const [index, accepted] of sorted(release2.pcrs)) {
    const value = pcrs.get(index);
    if (!value) return refusal("pcr_missing", `The document has no PCR ${index}.`, step);
    if (!accepted.has(hex(value))) {
      return refusal("pcr_mismatch", `PCR ${index} is ${hex(value)}, which the policy does not accept.`, step);
    }
  }
  return void 0;
}
function accepts(accepted, value) {
  return accepted === null || value === null || accepted.has(value);
}
function kept(releases, refusalOf) {
  const refusals = releases.map(refusalOf);
  const [release2, ...others] = releases.filter((_, index) => refusals[index] === void 0);
  if (!release2) throw refusals[0] ?? new RangeError("a policy has at least one release");
  return [release2, ...others];
}
function isBelow(version, least) {
  const wanted = versionKey(least, "minimum_version");
  const found = versionKey(version, "version");
  const differing = found.findIndex((number, index) => number !== wanted[index]);
  return differing >= 0 && (found[differing] ?? 0) < (wanted[differing] ?? 0);
}
function sorted(registers2) {
  return [...registers2].sort(([one], [other]) => one - other);
}

// src/verify.ts
var MIN_NONCE_BYTES = 16;
var CALLERS_STEP = 11;
var DEBUG_PCRS = [0, 1, 2];
var SHOWN_FIELDS = 8;
var SHOWN_LETTERS = 40;
async function verify3(evidence, { policy, nonce, now }) {
  if (nonce && nonce.length < MIN_NONCE_BYTES) {
    throw new RangeError(`a nonce has at least ${MIN_NONCE_BYTES} bytes`);
  }
  checkPolicy(policy, now);
  return await verifySteps(evidence, policy, nonce, now);
}
async function verifyArchived(evidence, policy, nonce = null) {
  return await verifySteps(evidence, policy, nonce, null);
}
async function checkKeyConfigs(verified, keyConfigs) {
  if (!equal(claimsOf(verified).keyConfigsSha256, await sha256(keyConfigs))) {
    throw refusal("key_configs_mismatch", "The key configurations are not the attested ones.", CALLERS_STEP);
  }
}
async function checkManifest(verified, manifest) {
  if (!equal(claimsOf(verified).modelSha256, await sha256(manifest))) {
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
}
function claimsOf({ claims }) {
  if (!claims) throw refusal("claims_missing", "The document makes no claims.", CALLERS_STEP);
  return claims;
}
async function verifySteps(evidence, policy, nonce, now) {
  const steps = new Steps();
  let number = steps.begin("Envelope");
  if (evidence.length > MAX_DOCUMENT_BYTES) {
    throw refusal("document_too_large", `More than ${MAX_DOCUMENT_BYTES} bytes.`, number);
  }
  const ofQemu = releasesOf(policy);
  const message = parse(evidence, number, { unsigned: ofQemu !== void 0 });
  steps.passed(`${evidence.length} bytes`, `COSE_Sign1 ${message.unsigned ? "as QEMU writes it" : "with ES384"}`);
  number = steps.begin("Fields");
  const document = parseDocument(message.payload, number);
  steps.passed(`document of ${printable(document.moduleId)}${unknown(document.unknownFields)}`, "AWS's field table");
  const signer = ofQemu && message.unsigned ? unsigned2(message, document, ofQemu, steps) : await signed({ message, document, policy, now, steps });
  const { kind, rootSha256, releases: ofRoot } = signer;
  number = steps.begin("Debug mode");
  if (DEBUG_PCRS.every((index) => allZero(document.pcrs.get(index) ?? new Uint8Array()))) {
    throw refusal("debug_document", "PCR 0, 1 and 2 are zero or missing: debug mode.", number);
  }
  steps.passed("PCR 0, 1, 2", "not all zero");
  const measurements3 = steps.begin("Measurements");
  if (!now) checkPolicy(policy, document.timestamp);
  const judging = { policy, at: now ?? document.timestamp, step: measurements3 };
  const measured = byMeasurements(ofRoot, document.pcrs, judging);
  number = steps.begin("Claims");
  const claims = parseClaims(document.userData, number);
  if (claims) await checkClaimsPcr(claims, document.pcrs.get(CLAIMS_PCR), number);
  steps.asked(claims !== null, "function and model in user_data", `PCR ${CLAIMS_PCR}`);
  number = steps.begin("Identity");
  const release2 = byIdentity(measured, claims, { policy, step: number });
  const asked = [...release2.functionChecksums ? ["function"] : [], ...release2.modelDigests ? ["model"] : []];
  const listed = [...release2.pcrs.keys()].sort((one, other) => one - other);
  steps.asked(listed.length > 0, `PCR ${listed.join(", ")}`, "the policy's accepted values", measurements3);
  steps.asked(asked.length > 0, asked.join(" and "), "the policy's accepted values");
  number = steps.begin("Freshness");
  if (nonce) checkNonce(nonce, document.nonce, number);
  if (now) checkAge(document.timestamp, now, policy, number);
  const fresh = [...nonce ? ["nonce"] : [], ...now ? ["age"] : []];
  const limits = [...nonce ? ["the caller's nonce"] : [], ...now ? [`${policy.maxAge} s at most`] : []];
  steps.asked(fresh.length > 0, fresh.join(" and "), limits.join(", "));
  const { name, leftOpen } = release2;
  const until = earlier(policy.expires, release2.expires);
  const archived = now === null;
  const report = new VerificationReport({ kind, at: judging.at, archived, steps: steps.done(), release: name, leftOpen });
  return { kind, document, claims, rootSha256, report, until };
}
function unsigned2(message, document, releases, steps) {
  checkBundle(document, steps.begin("Root"));
  steps.unsigned();
  checkCertificate(document, steps.begin("Chain"));
  steps.unsigned();
  checkSignature(message, steps.begin("Signature"));
  steps.unsigned();
  return { kind: EMULATED, rootSha256: null, releases };
}
async function signed({ message, document, policy, now, steps }) {
  let number = steps.begin("Root");
  const rootSha256 = hex(await sha256(document.cabundle[0]));
  const ofRoot = byRoot(policy, rootSha256, number);
  const { kind } = ofRoot[0];
  const chain = parse3(document.cabundle, document.certificate, number);
  if (kind === "nitro" && chain.callsItselfSimulated) {
    throw refusal("simulated_root", "A simulated root is listed as a genuine one.", number);
  }
  steps.passed(`root ${rootSha256}`, `the policy's roots, as ${kind}`);
  number = steps.begin("Chain");
  const made = document.timestamp.getTime();
  const latest = now && now.getTime() + 1e3 * policy.maxFutureSkew;
  const at = new Date(now && latest !== null ? Math.max(now.getTime(), Math.min(made, latest)) : made);
  const key = await verify2(chain, at, number);
  steps.passed(`${chain.certificates.length} certificates`, `the root's key, at ${formatted(at)}`);
  number = steps.begin("Signature");
  await verify(message, key, number);
  steps.passed("signature over the payload", "the key of the leaf certificate");
  return { kind, rootSha256, releases: ofRoot };
}
function earlier(one, other) {
  if (!one || !other) return one ?? other;
  return one < other ? one : other;
}
function unknown(fields) {
  if (!fields.length) return "";
  const shown = fields.slice(0, SHOWN_FIELDS);
  const names = shown.map((name) => typeof name === "string" ? printable(firstLetters(name)) : String(name));
  const more = fields.length > shown.length ? ` and ${fields.length - shown.length} more` : "";
  return `, and fields that are not known here: ${names.join(", ")}${more}`;
}
function firstLetters(text3) {
  return [...text3].slice(0, SHOWN_LETTERS).join("");
}
async function checkClaimsPcr(claims, measured, step) {
  if (!measured) throw refusal("claims_pcr_missing", `PCR ${CLAIMS_PCR} is not in the document.`, step);
  if (!equal(measured, await expectedPcr16(claims))) {
    throw refusal("claims_pcr_mismatch", `PCR ${CLAIMS_PCR} measures other claims.`, step);
  }
}
function checkNonce(sent, received, step) {
  if (!received?.length) throw refusal("nonce_missing", "The document carries no nonce.", step);
  if (!equal(sent, received)) throw refusal("nonce_mismatch", "The document carries another nonce.", step);
}
function checkAge(made, now, { maxAge, maxFutureSkew }, step) {
  const age = (now.getTime() - made.getTime()) / 1e3;
  if (age > maxAge) {
    throw refusal("evidence_too_old", `The document is ${Math.ceil(age)} s old; ${maxAge} s are accepted.`, step);
  }
  if (-age > maxFutureSkew) {
    throw refusal("evidence_from_future", `The document was made ${Math.ceil(-age)} s in the future.`, step);
  }
}
function printable(text3) {
  const escaped = text3.replace(/[^ -~]|['\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return `'${escaped}'`;
}
var Steps = class {
  #names = [];
  #done = /* @__PURE__ */ new Map();
  begin(name) {
    return this.#names.push(name);
  }
  /** Record the step begun last, or an earlier one of which more is known by now. */
  passed(checked, against, number = this.#names.length) {
    this.#record(number, { checked, against, result: "passed" });
  }
  /** There is nothing to look at: the evidence is unsigned. */
  unsigned() {
    const checked = "nothing: the evidence is unsigned";
    this.#record(this.#names.length, { checked, against: "nothing", result: "not asked" });
  }
  asked(was, checked, against, number = this.#names.length) {
    if (was) this.passed(checked, against, number);
    else this.#record(number, { checked: "nothing", against: "nothing", result: "not asked" });
  }
  /** All steps in order; one that was begun and not recorded is a mistake. */
  done() {
    return this.#names.map((name, index) => {
      const step = this.#done.get(index + 1);
      if (!step) throw new RangeError(`step ${name} was not recorded`);
      return step;
    });
  }
  #record(number, what) {
    this.#done.set(number, { number, name: this.#names[number - 1] ?? "", ...what });
  }
};

// src/recipient.ts
var Recipient = class {
  config;
  verified;
  /** The attestation document. */
  document;
  /** The `application/ohttp-keys` list, as attested. */
  keyConfigs;
  /** The model manifest, as attested. */
  manifest;
  constructor({ config, verified, document, keyConfigs, manifest }) {
    this.config = config;
    this.verified = verified;
    this.document = document;
    this.keyConfigs = keyConfigs;
    this.manifest = manifest;
  }
  /** Number of classes of the model; undefined if its manifest does not state it. */
  get classes() {
    const labels = this.manifest["labels"];
    const count = isObject(labels) ? labels["count"] : void 0;
    return typeof count === "number" ? count : void 0;
  }
  get report() {
    return this.verified.report;
  }
  /** What the document claims. */
  get claims() {
    return claimsOf(this.verified);
  }
  /** SHA-256 of the bundle, hex, as attested. */
  get functionChecksum() {
    return hex(this.claims.funcChecksum);
  }
  /** SHA-256 of the canonical manifest, hex, as attested. */
  get modelDigest() {
    return hex(this.claims.modelSha256);
  }
  /** PCR index to hex, without the PCRs that nothing was measured into. */
  get measurements() {
    return measurements2(this.verified);
  }
  /** Statements that every caller has to see, such as that the evidence is simulated. */
  get notices() {
    const { notice, trained } = this.manifest;
    const { warnings, notice: nothing } = this.report;
    return [
      ...warnings,
      ...typeof notice === "string" ? [notice] : [],
      ...trained ? [] : ["UNTRAINED WEIGHTS: this model has learnt nothing and its answers are noise."],
      ...nothing === null ? [] : [nothing]
    ];
  }
  /** The notices in one text; null if there are none. */
  get notice() {
    return this.notices.join(" ") || null;
  }
};
async function verifyRecipient({ document, keyConfigs, model }, { policy, nonce, now }) {
  const verified = await verify3(document, { policy, nonce, now });
  await checkKeyConfigs(verified, keyConfigs);
  const manifest = await checkModel(verified, model);
  const config = preferred(decodeList(keyConfigs));
  if (!config) {
    throw refusal("unsupported_suite", "The enclave offers no key configuration that is known here.");
  }
  const binding = {
    number: CALLERS_STEP,
    name: "Binding",
    checked: "key configurations and model manifest",
    against: "their attested digests",
    result: "passed"
  };
  const report = new VerificationReport({ ...verified.report, steps: [...verified.report.steps, binding] });
  return new Recipient({ config, verified: { ...verified, report }, document, keyConfigs, manifest });
}
async function checkModel(verified, model) {
  let encoded;
  try {
    encoded = canonical(model);
  } catch {
    throw refusal("model_mismatch", "The model manifest is not the attested one.", CALLERS_STEP);
  }
  await checkManifest(verified, encoded);
  if (!isObject(model)) throw refusal("model_mismatch", "The model manifest is not an object.", CALLERS_STEP);
  return model;
}
function measurements2({ document }) {
  const measured = [...document.pcrs].filter(([, value]) => !allZero(value)).sort(([one], [other]) => one - other);
  return Object.fromEntries(measured.map(([index, value]) => [String(index), hex(value)]));
}

// src/answer.ts
function isMultiLabel(manifest) {
  const { output } = manifest;
  return isObject(output) && output["activation"] === "sigmoid";
}
function precisionOf({ precision }) {
  if (precision === void 0) return "float32";
  const name = isObject(precision) ? precision["name"] : void 0;
  return typeof name === "string" ? name : "unknown";
}
var MODEL_MEMBERS = {
  name: "string",
  version: "string",
  digest: "string",
  trained: "boolean",
  precision: "string",
  multi_label: "boolean"
};
function answerOf(content) {
  const { predictions, model, image, timings_ms: timings } = content;
  const listed = Array.isArray(predictions) && predictions.length > 0 ? predictions : [null];
  const classes = listed.map(predictionOf);
  const size = image === null ? null : sizeOf(image);
  if (!classes.every((each) => each !== void 0) || size === void 0) return void 0;
  if (!isModel(model) || !isObject(timings) || !isPlain(content)) return void 0;
  const stages = Object.entries(timings).filter((stage) => Number.isFinite(stage[1]));
  if (stages.length !== Object.keys(timings).length) return void 0;
  return { predictions: classes, model, image: size, timingsMs: Object.fromEntries(stages) };
}
function predictionOf(each) {
  if (!isObject(each)) return void 0;
  const { rank, class_id: classId, label, score } = each;
  if (!isWhole(rank, 1) || !isWhole(classId, 0) || typeof label !== "string") return void 0;
  return typeof score === "number" && score >= 0 && score <= 1 ? { rank, classId, label, score } : void 0;
}
function isModel(model) {
  return isObject(model) && Object.entries(MODEL_MEMBERS).every(([name, kind]) => {
    const value = model[name];
    return value === void 0 || typeof value === kind || name === "multi_label" && value === null;
  });
}
function isWhole(value, least) {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least;
}
function sizeOf(image) {
  const { width, height } = isObject(image) ? image : {};
  return isWhole(width, 1) && isWhole(height, 1) ? { width, height } : void 0;
}
function isPlain(value) {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  return Object.values(value).every(isPlain);
}

// src/bhttp.ts
var KNOWN_REQUEST = 0;
var KNOWN_RESPONSE = 1;
var INDETERMINATE_RESPONSE = 3;
var MAX_FIELDS = 64;
var MAX_CHUNKS = 8192;
var MAX_TEXT_BYTES = 1024;
var MAX_SECTION_BYTES = MAX_FIELDS * 2 * (MAX_TEXT_BYTES + 8);
var MAX_INFORMATIONAL = 8;
var NAME2 = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
var VALUE = /^[^\x00\r\n]*$/;
function encodeRequest({ method, path, fields, content }) {
  const lines = concat(...fields.flatMap(([name, value]) => [text2(name), text2(value)]));
  const control = [method, "https", "", path].map(text2);
  const sections = [varint(lines.length), lines, varint(content.length), content, varint(0)];
  return concat(Uint8Array.of(KNOWN_REQUEST), ...control, ...sections);
}
function decodeResponse(data) {
  const reader = new Reader(data);
  const framing = reader.varint();
  if (framing !== KNOWN_RESPONSE && framing !== INDETERMINATE_RESPONSE) {
    throw malformed("This is not a binary HTTP response.");
  }
  const known = framing === KNOWN_RESPONSE;
  let status = reader.varint();
  for (let count = 1; status >= 100 && status <= 199; count++) {
    if (count > MAX_INFORMATIONAL) throw malformed("There are too many informational responses.");
    reader.fields(known);
    status = reader.varint();
  }
  if (status < 200 || status > 599) throw malformed("A binary HTTP response has no valid status.");
  const fields = reader.fields(known);
  const content = reader.content(known);
  reader.fields(known);
  reader.padding();
  return { status, fields, content };
}
function varint(value) {
  const size = [1, 2, 4, 8].find((bytes) => value < 2 ** (8 * bytes - 2));
  if (size === void 0) throw malformed("A number is too large for a variable-length integer.");
  const encoded = uint(value, size);
  encoded[0] = (encoded[0] ?? 0) | Math.log2(size) << 6;
  return encoded;
}
function text2(value) {
  if (!/^[\x00-\x7f]*$/.test(value)) throw new RangeError("control data and fields are ASCII");
  return concat(varint(value.length), utf8(value));
}
var Reader = class _Reader {
  #data;
  #at = 0;
  constructor(data) {
    this.#data = data;
  }
  get #done() {
    return this.#at === this.#data.length;
  }
  /** A field section; empty at the message's end, where it may be left out (section 3.8). */
  fields(known) {
    const found = [];
    if (this.#done) return found;
    const reader = known ? new _Reader(this.#counted(MAX_SECTION_BYTES)) : this;
    while (!(known && reader.#done)) {
      const name = reader.#text();
      if (!name && !known) break;
      const value = reader.#text();
      if (found.length === MAX_FIELDS || !NAME2.test(name) || !VALUE.test(value)) {
        throw malformed("There are too many fields, or a field's name or value is invalid.");
      }
      found.push([name, value]);
    }
    return found;
  }
  content(known) {
    if (this.#done) return new Uint8Array();
    if (known) return this.#counted();
    const chunks = [];
    for (let chunk = this.#counted(); chunk.length; chunk = this.#counted()) {
      chunks.push(chunk);
      if (chunks.length > MAX_CHUNKS) throw malformed("The content has too many chunks.");
    }
    return concat(...chunks);
  }
  /** The rest. */
  padding() {
    if (!allZero(this.#data.subarray(this.#at))) {
      throw malformed("Something other than padding follows the message.");
    }
  }
  /** Exact below 2^53; what is larger is larger than any message, and than any status. */
  varint() {
    const first2 = this.#take(1)[0] ?? 0;
    return toUint(concat(Uint8Array.of(first2 & 63), this.#take((1 << (first2 >> 6)) - 1)));
  }
  #text() {
    const encoded = this.#counted(MAX_TEXT_BYTES);
    if (encoded.some((byte2) => byte2 > 127)) throw malformed("A field or control value is not ASCII.");
    return new TextDecoder().decode(encoded);
  }
  #counted(limit = Infinity) {
    const length = this.varint();
    if (length > limit) throw malformed("A field or the fields together are too long.");
    return this.#take(length);
  }
  #take(count) {
    if (count > this.#data.length - this.#at) throw malformed("The message is cut short.");
    const start = this.#at;
    this.#at += count;
    return this.#data.subarray(start, this.#at);
  }
};

// node_modules/@hpke/common/esm/src/errors.js
var HpkeError = class extends Error {
  constructor(e) {
    let message;
    if (e instanceof Error) {
      message = e.message;
    } else if (typeof e === "string") {
      message = e;
    } else {
      message = "";
    }
    super(message);
    this.name = this.constructor.name;
  }
};
var InvalidParamError = class extends HpkeError {
};
var SerializeError = class extends HpkeError {
};
var DeserializeError = class extends HpkeError {
};
var EncapError = class extends HpkeError {
};
var DecapError = class extends HpkeError {
};
var ExportError = class extends HpkeError {
};
var SealError = class extends HpkeError {
};
var OpenError = class extends HpkeError {
};
var MessageLimitReachedError = class extends HpkeError {
};
var DeriveKeyPairError = class extends HpkeError {
};
var NotSupportedError = class extends HpkeError {
};

// node_modules/@hpke/common/esm/_dnt.shims.js
var dntGlobals = {};
var dntGlobalThis = createMergeProxy(globalThis, dntGlobals);
function createMergeProxy(baseObj, extObj) {
  return new Proxy(baseObj, {
    get(_target, prop, _receiver) {
      if (prop in extObj) {
        return extObj[prop];
      } else {
        return baseObj[prop];
      }
    },
    set(_target, prop, value) {
      if (prop in extObj) {
        delete extObj[prop];
      }
      baseObj[prop] = value;
      return true;
    },
    deleteProperty(_target, prop) {
      let success = false;
      if (prop in extObj) {
        delete extObj[prop];
        success = true;
      }
      if (prop in baseObj) {
        delete baseObj[prop];
        success = true;
      }
      return success;
    },
    ownKeys(_target) {
      const baseKeys = Reflect.ownKeys(baseObj);
      const extKeys = Reflect.ownKeys(extObj);
      const extKeysSet = new Set(extKeys);
      return [...baseKeys.filter((k) => !extKeysSet.has(k)), ...extKeys];
    },
    defineProperty(_target, prop, desc) {
      if (prop in extObj) {
        delete extObj[prop];
      }
      Reflect.defineProperty(baseObj, prop, desc);
      return true;
    },
    getOwnPropertyDescriptor(_target, prop) {
      if (prop in extObj) {
        return Reflect.getOwnPropertyDescriptor(extObj, prop);
      } else {
        return Reflect.getOwnPropertyDescriptor(baseObj, prop);
      }
    },
    has(_target, prop) {
      return prop in extObj || prop in baseObj;
    }
  });
}

// node_modules/@hpke/common/esm/src/algorithm.js
async function loadSubtleCrypto() {
  if (dntGlobalThis !== void 0 && globalThis.crypto !== void 0) {
    return globalThis.crypto.subtle;
  }
  try {
    const { webcrypto: webcrypto2 } = await Promise.resolve().then(() => (init_nocrypto(), nocrypto_exports));
    return webcrypto2.subtle;
  } catch (e) {
    throw new NotSupportedError(e);
  }
}
var NativeAlgorithm = class {
  constructor() {
    Object.defineProperty(this, "_api", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
  }
  async _setup() {
    if (this._api !== void 0) {
      return;
    }
    this._api = await loadSubtleCrypto();
  }
};

// node_modules/@hpke/common/esm/src/identifiers.js
var Mode = {
  Base: 0,
  Psk: 1,
  Auth: 2,
  AuthPsk: 3
};
var KemId = {
  NotAssigned: 0,
  DhkemP256HkdfSha256: 16,
  DhkemP384HkdfSha384: 17,
  DhkemP521HkdfSha512: 18,
  DhkemSecp256k1HkdfSha256: 19,
  DhkemX25519HkdfSha256: 32,
  DhkemX448HkdfSha512: 33,
  HybridkemX25519Kyber768: 48,
  MlKem512: 64,
  MlKem768: 65,
  MlKem1024: 66,
  XWing: 25722
};
var KdfId = {
  HkdfSha256: 1,
  HkdfSha384: 2,
  HkdfSha512: 3,
  Sha3256: 4,
  Sha3384: 5,
  Sha3512: 6,
  Shake128: 16,
  Shake256: 17,
  TurboShake128: 18,
  TurboShake256: 19
};
var AeadId = {
  Aes128Gcm: 1,
  Aes256Gcm: 2,
  Chacha20Poly1305: 3,
  ExportOnly: 65535
};

// node_modules/@hpke/common/esm/src/consts.js
var INPUT_LENGTH_LIMIT = 8192;
var INFO_LENGTH_LIMIT = 268435456;
var MINIMUM_PSK_LENGTH = 32;
var EMPTY = /* @__PURE__ */ new Uint8Array(0);
var N_0 = 0n;
var N_1 = 1n;
var N_2 = 2n;

// node_modules/@hpke/common/esm/src/interfaces/kemInterface.js
var SUITE_ID_HEADER_KEM = /* @__PURE__ */ new Uint8Array([
  75,
  69,
  77,
  0,
  0
]);

// node_modules/@hpke/common/esm/src/kdfs/hkdf.js
var HPKE_VERSION = /* @__PURE__ */ new Uint8Array([
  72,
  80,
  75,
  69,
  45,
  118,
  49
]);
function toUint8Array(input) {
  return new Uint8Array(toArrayBuffer(input));
}
function toArrayBuffer(input) {
  if (input instanceof ArrayBuffer) {
    return input;
  }
  if (ArrayBuffer.isView(input)) {
    return new Uint8Array(input.buffer, input.byteOffset, input.byteLength).slice().buffer;
  }
  return new Uint8Array(input).slice().buffer;
}
var HkdfNative = class extends NativeAlgorithm {
  constructor() {
    super();
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: KdfId.HkdfSha256
    });
    Object.defineProperty(this, "hashSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_suiteId", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: EMPTY
    });
    Object.defineProperty(this, "algHash", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: {
        name: "HMAC",
        hash: "SHA-256",
        length: 256
      }
    });
  }
  init(suiteId) {
    this._suiteId = suiteId;
  }
  buildLabeledIkm(label, ikm) {
    this._checkInit();
    const ret = new Uint8Array(7 + this._suiteId.byteLength + label.byteLength + ikm.byteLength);
    ret.set(HPKE_VERSION, 0);
    ret.set(this._suiteId, 7);
    ret.set(label, 7 + this._suiteId.byteLength);
    ret.set(ikm, 7 + this._suiteId.byteLength + label.byteLength);
    return ret;
  }
  buildLabeledInfo(label, info, len) {
    this._checkInit();
    const ret = new Uint8Array(9 + this._suiteId.byteLength + label.byteLength + info.byteLength);
    ret.set(new Uint8Array([0, len]), 0);
    ret.set(HPKE_VERSION, 2);
    ret.set(this._suiteId, 9);
    ret.set(label, 9 + this._suiteId.byteLength);
    ret.set(info, 9 + this._suiteId.byteLength + label.byteLength);
    return ret;
  }
  async extract(salt, ikm) {
    await this._setup();
    const saltBuf = salt.byteLength === 0 ? new ArrayBuffer(this.hashSize) : toArrayBuffer(salt);
    if (saltBuf.byteLength !== this.hashSize) {
      throw new InvalidParamError("The salt length must be the same as the hashSize");
    }
    const ikmBuf = toArrayBuffer(ikm);
    const key = await this._api.importKey("raw", saltBuf, this.algHash, false, [
      "sign"
    ]);
    return await this._api.sign("HMAC", key, ikmBuf);
  }
  async expand(prk, info, len) {
    await this._setup();
    const prkBuf = toArrayBuffer(prk);
    const key = await this._api.importKey("raw", prkBuf, this.algHash, false, [
      "sign"
    ]);
    const okm = new ArrayBuffer(len);
    const okmBytes = new Uint8Array(okm);
    let prev = EMPTY;
    const mid = toUint8Array(info);
    const tail = new Uint8Array(1);
    if (len > 255 * this.hashSize) {
      throw new Error("Entropy limit reached");
    }
    const tmp = new Uint8Array(this.hashSize + mid.length + 1);
    for (let i = 1, cur = 0; cur < okmBytes.length; i++) {
      tail[0] = i;
      tmp.set(prev, 0);
      tmp.set(mid, prev.length);
      tmp.set(tail, prev.length + mid.length);
      prev = new Uint8Array(await this._api.sign("HMAC", key, tmp.slice(0, prev.length + mid.length + 1)));
      if (okmBytes.length - cur >= prev.length) {
        okmBytes.set(prev, cur);
        cur += prev.length;
      } else {
        okmBytes.set(prev.slice(0, okmBytes.length - cur), cur);
        cur += okmBytes.length - cur;
      }
    }
    return okm;
  }
  async extractAndExpand(salt, ikm, info, len) {
    await this._setup();
    const ikmBuf = toArrayBuffer(ikm);
    const baseKey = await this._api.importKey("raw", ikmBuf, "HKDF", false, ["deriveBits"]);
    return await this._api.deriveBits({
      name: "HKDF",
      hash: this.algHash.hash,
      salt: toArrayBuffer(salt),
      info: toArrayBuffer(info)
    }, baseKey, len * 8);
  }
  async labeledExtract(salt, label, ikm) {
    return await this.extract(salt, this.buildLabeledIkm(label, ikm));
  }
  async labeledExpand(prk, label, info, len) {
    return await this.expand(prk, this.buildLabeledInfo(label, info, len), len);
  }
  _checkInit() {
    if (this._suiteId === EMPTY) {
      throw new Error("Not initialized. Call init()");
    }
  }
};
var HkdfSha256Native = class extends HkdfNative {
  constructor() {
    super(...arguments);
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: KdfId.HkdfSha256
    });
    Object.defineProperty(this, "hashSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "algHash", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: {
        name: "HMAC",
        hash: "SHA-256",
        length: 256
      }
    });
  }
};

// node_modules/@hpke/common/esm/src/utils/misc.js
var isCryptoKeyPair = (x) => typeof x === "object" && x !== null && typeof x.privateKey === "object" && typeof x.publicKey === "object";
function i2Osp(n, w) {
  if (w <= 0) {
    throw new Error("i2Osp: too small size");
  }
  if (n >= 256 ** w) {
    throw new Error("i2Osp: too large integer");
  }
  const ret = new Uint8Array(w);
  for (let i = 0; i < w && n; i++) {
    ret[w - (i + 1)] = n % 256;
    n = Math.floor(n / 256);
  }
  return ret;
}
function concat2(a, b) {
  const ret = new Uint8Array(a.length + b.length);
  ret.set(a, 0);
  ret.set(b, a.length);
  return ret;
}
function base64UrlToBytes(v) {
  const base642 = v.replace(/-/g, "+").replace(/_/g, "/");
  const byteString = atob(base642);
  const ret = new Uint8Array(byteString.length);
  for (let i = 0; i < byteString.length; i++) {
    ret[i] = byteString.charCodeAt(i);
  }
  return ret;
}
async function loadCrypto() {
  if (typeof dntGlobalThis !== "undefined" && globalThis.crypto !== void 0) {
    return globalThis.crypto;
  }
  try {
    const { webcrypto: webcrypto2 } = await Promise.resolve().then(() => (init_nocrypto(), nocrypto_exports));
    return webcrypto2;
  } catch (_e) {
    throw new Error("failed to load Crypto");
  }
}
function xor(a, b) {
  if (a.byteLength !== b.byteLength) {
    throw new Error("xor: different length inputs");
  }
  const buf = new Uint8Array(a.byteLength);
  for (let i = 0; i < a.byteLength; i++) {
    buf[i] = a[i] ^ b[i];
  }
  return buf;
}

// node_modules/@hpke/common/esm/src/kems/dhkem.js
var LABEL_EAE_PRK = /* @__PURE__ */ new Uint8Array([
  101,
  97,
  101,
  95,
  112,
  114,
  107
]);
var LABEL_SHARED_SECRET = /* @__PURE__ */ new Uint8Array([
  115,
  104,
  97,
  114,
  101,
  100,
  95,
  115,
  101,
  99,
  114,
  101,
  116
]);
function concat3(a, b, c) {
  const ret = new Uint8Array(a.length + b.length + c.length);
  ret.set(a, 0);
  ret.set(b, a.length);
  ret.set(c, a.length + b.length);
  return ret;
}
var Dhkem = class {
  constructor(id, prim, kdf) {
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "secretSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "encSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "publicKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "privateKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_prim", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_kdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this.id = id;
    this._prim = prim;
    this._kdf = kdf;
    const suiteId = new Uint8Array(SUITE_ID_HEADER_KEM);
    suiteId.set(i2Osp(this.id, 2), 3);
    this._kdf.init(suiteId);
  }
  async serializePublicKey(key) {
    return await this._prim.serializePublicKey(key);
  }
  async deserializePublicKey(key) {
    return await this._prim.deserializePublicKey(toArrayBuffer(key));
  }
  async serializePrivateKey(key) {
    return await this._prim.serializePrivateKey(key);
  }
  async deserializePrivateKey(key) {
    return await this._prim.deserializePrivateKey(toArrayBuffer(key));
  }
  async importKey(format, key, isPublic = true) {
    return await this._prim.importKey(format, key, isPublic);
  }
  async generateKeyPair() {
    return await this._prim.generateKeyPair();
  }
  async deriveKeyPair(ikm) {
    const rawIkm = toArrayBuffer(ikm);
    if (rawIkm.byteLength > INPUT_LENGTH_LIMIT) {
      throw new InvalidParamError("Too long ikm");
    }
    return await this._prim.deriveKeyPair(rawIkm);
  }
  async encap(params) {
    let ke;
    if (params.ekm === void 0) {
      ke = await this.generateKeyPair();
    } else if (isCryptoKeyPair(params.ekm)) {
      ke = params.ekm;
    } else {
      ke = await this.deriveKeyPair(params.ekm);
    }
    const enc = await this._prim.serializePublicKey(ke.publicKey);
    const pkrm = await this._prim.serializePublicKey(params.recipientPublicKey);
    try {
      let dh;
      if (params.senderKey === void 0) {
        dh = new Uint8Array(await this._prim.dh(ke.privateKey, params.recipientPublicKey));
      } else {
        const sks = isCryptoKeyPair(params.senderKey) ? params.senderKey.privateKey : params.senderKey;
        const dh1 = new Uint8Array(await this._prim.dh(ke.privateKey, params.recipientPublicKey));
        const dh2 = new Uint8Array(await this._prim.dh(sks, params.recipientPublicKey));
        dh = concat2(dh1, dh2);
      }
      let kemContext;
      if (params.senderKey === void 0) {
        kemContext = concat2(new Uint8Array(enc), new Uint8Array(pkrm));
      } else {
        const pks = isCryptoKeyPair(params.senderKey) ? params.senderKey.publicKey : await this._prim.derivePublicKey(params.senderKey);
        const pksm = await this._prim.serializePublicKey(pks);
        kemContext = concat3(new Uint8Array(enc), new Uint8Array(pkrm), new Uint8Array(pksm));
      }
      const sharedSecret = await this._generateSharedSecret(dh, kemContext);
      return {
        enc,
        sharedSecret
      };
    } catch (e) {
      throw new EncapError(e);
    }
  }
  async decap(params) {
    const enc = toArrayBuffer(params.enc);
    const pke = await this._prim.deserializePublicKey(enc);
    const skr = isCryptoKeyPair(params.recipientKey) ? params.recipientKey.privateKey : params.recipientKey;
    const pkr = isCryptoKeyPair(params.recipientKey) ? params.recipientKey.publicKey : await this._prim.derivePublicKey(params.recipientKey);
    const pkrm = await this._prim.serializePublicKey(pkr);
    try {
      let dh;
      if (params.senderPublicKey === void 0) {
        dh = new Uint8Array(await this._prim.dh(skr, pke));
      } else {
        const dh1 = new Uint8Array(await this._prim.dh(skr, pke));
        const dh2 = new Uint8Array(await this._prim.dh(skr, params.senderPublicKey));
        dh = concat2(dh1, dh2);
      }
      let kemContext;
      if (params.senderPublicKey === void 0) {
        kemContext = concat2(new Uint8Array(enc), new Uint8Array(pkrm));
      } else {
        const pksm = await this._prim.serializePublicKey(params.senderPublicKey);
        kemContext = new Uint8Array(enc.byteLength + pkrm.byteLength + pksm.byteLength);
        kemContext.set(new Uint8Array(enc), 0);
        kemContext.set(new Uint8Array(pkrm), enc.byteLength);
        kemContext.set(new Uint8Array(pksm), enc.byteLength + pkrm.byteLength);
      }
      return await this._generateSharedSecret(dh, kemContext);
    } catch (e) {
      throw new DecapError(e);
    }
  }
  async _generateSharedSecret(dh, kemContext) {
    const labeledIkm = this._kdf.buildLabeledIkm(LABEL_EAE_PRK, dh);
    const labeledInfo = this._kdf.buildLabeledInfo(LABEL_SHARED_SECRET, kemContext, this.secretSize);
    return await this._kdf.extractAndExpand(EMPTY, labeledIkm, labeledInfo, this.secretSize);
  }
};

// node_modules/@hpke/common/esm/src/interfaces/dhkemPrimitives.js
var KEM_USAGES = ["deriveBits"];
var LABEL_DKP_PRK = /* @__PURE__ */ new Uint8Array([
  100,
  107,
  112,
  95,
  112,
  114,
  107
]);
var LABEL_SK = /* @__PURE__ */ new Uint8Array([115, 107]);

// node_modules/@hpke/common/esm/src/kems/dhkemPrimitives/ec.js
var EC_P_521_PARAMS = {
  p: (1n << 521n) - 1n,
  b: 0x0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  gx: 0x00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
  gy: 0x011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
  coordinateSize: 66
};

// node_modules/@hpke/common/esm/src/xCryptoKey.js
var XCryptoKey = class {
  constructor(name, key, type, usages = []) {
    Object.defineProperty(this, "key", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "type", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "extractable", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: true
    });
    Object.defineProperty(this, "algorithm", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "usages", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this.key = key;
    this.type = type;
    this.algorithm = { name };
    this.usages = usages;
    if (type === "public") {
      this.usages = [];
    }
  }
};

// node_modules/@hpke/common/esm/src/kems/dhkemPrimitives/xCurve.js
var XCurveDhkemPrimitives = class {
  constructor(algName, keySize, curve, hkdf) {
    Object.defineProperty(this, "_algName", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_curve", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_hkdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nPk", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nSk", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this._algName = algName;
    this._nPk = keySize;
    this._nSk = keySize;
    this._curve = curve;
    this._hkdf = hkdf;
  }
  serializePublicKey(key) {
    try {
      return Promise.resolve(key.key.buffer);
    } catch (e) {
      return Promise.reject(new SerializeError(e));
    }
  }
  async deserializePublicKey(key) {
    try {
      return await this._importRawKey(toArrayBuffer(key), true);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  serializePrivateKey(key) {
    try {
      return Promise.resolve(key.key.buffer);
    } catch (e) {
      return Promise.reject(new SerializeError(e));
    }
  }
  async deserializePrivateKey(key) {
    try {
      return await this._importRawKey(toArrayBuffer(key), false);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async importKey(format, key, isPublic) {
    try {
      if (format === "raw") {
        return await this._importRawKey(key, isPublic);
      }
      if (key instanceof ArrayBuffer) {
        throw new Error("Invalid jwk key format");
      }
      return await this._importJWK(key, isPublic);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async generateKeyPair() {
    try {
      const rawSk = await this._curve.utils.randomSecretKey();
      const sk = new XCryptoKey(this._algName, rawSk, "private", KEM_USAGES);
      const pk = await this.derivePublicKey(sk);
      return { publicKey: pk, privateKey: sk };
    } catch (e) {
      throw new NotSupportedError(e);
    }
  }
  async deriveKeyPair(ikm) {
    try {
      const rawIkm = toArrayBuffer(ikm);
      const dkpPrk = await this._hkdf.labeledExtract(EMPTY.buffer, LABEL_DKP_PRK, new Uint8Array(rawIkm));
      const rawSk = await this._hkdf.labeledExpand(dkpPrk, LABEL_SK, EMPTY, this._nSk);
      const sk = new XCryptoKey(this._algName, new Uint8Array(rawSk), "private", KEM_USAGES);
      return {
        privateKey: sk,
        publicKey: await this.derivePublicKey(sk)
      };
    } catch (e) {
      throw new DeriveKeyPairError(e);
    }
  }
  derivePublicKey(key) {
    try {
      const pk = this._curve.getPublicKey(key.key);
      return Promise.resolve(new XCryptoKey(this._algName, pk, "public"));
    } catch (e) {
      return Promise.reject(new DeserializeError(e));
    }
  }
  dh(sk, pk) {
    try {
      return Promise.resolve(this._curve.getSharedSecret(sk.key, pk.key).buffer);
    } catch (e) {
      return Promise.reject(new SerializeError(e));
    }
  }
  _importRawKey(key, isPublic) {
    return new Promise((resolve, reject) => {
      if (isPublic && key.byteLength !== this._nPk) {
        reject(new Error("Invalid length of the key"));
      }
      if (!isPublic && key.byteLength !== this._nSk) {
        reject(new Error("Invalid length of the key"));
      }
      resolve(new XCryptoKey(this._algName, new Uint8Array(key), isPublic ? "public" : "private", isPublic ? [] : KEM_USAGES));
    });
  }
  _importJWK(key, isPublic) {
    return new Promise((resolve, reject) => {
      if (key.kty !== "OKP") {
        reject(new Error(`Invalid kty: ${key.kty}`));
      }
      if (key.crv !== this._algName) {
        reject(new Error(`Invalid crv: ${key.crv}`));
      }
      if (isPublic) {
        if (typeof key.d !== "undefined") {
          reject(new Error("Invalid key: `d` should not be set"));
        }
        if (typeof key.x !== "string") {
          reject(new Error("Invalid key: `x` not found"));
        }
        resolve(new XCryptoKey(this._algName, base64UrlToBytes(key.x), "public"));
      } else {
        if (typeof key.d !== "string") {
          reject(new Error("Invalid key: `d` not found"));
        }
        resolve(new XCryptoKey(this._algName, base64UrlToBytes(key.d), "private", KEM_USAGES));
      }
    });
  }
};

// node_modules/@hpke/common/esm/src/interfaces/aeadEncryptionContext.js
var AEAD_USAGES = ["encrypt", "decrypt"];

// node_modules/@hpke/common/esm/src/utils/noble.js
function isBytes(a) {
  return a instanceof Uint8Array || ArrayBuffer.isView(a) && a.constructor.name === "Uint8Array";
}
function anumber(n, title = "") {
  if (!Number.isSafeInteger(n) || n < 0) {
    const prefix = title && `"${title}" `;
    throw new Error(`${prefix}expected integer >0, got ${n}`);
  }
}
function abytes(value, length, title = "") {
  const bytes = isBytes(value);
  const len = value?.length;
  const needsLen = length !== void 0;
  if (!bytes || needsLen && len !== length) {
    const prefix = title && `"${title}" `;
    const ofLen = needsLen ? ` of length ${length}` : "";
    const got = bytes ? `length=${len}` : `type=${typeof value}`;
    throw new Error(prefix + "expected Uint8Array" + ofLen + ", got " + got);
  }
  return value;
}
function aexists(instance, checkFinished = true) {
  if (instance.destroyed)
    throw new Error("Hash instance has been destroyed");
  if (checkFinished && instance.finished) {
    throw new Error("Hash#digest() has already been called");
  }
}
function aoutput(out, instance) {
  abytes(out, void 0, "digestInto() output");
  const min = instance.outputLen;
  if (out.length < min) {
    throw new Error('"digestInto() output" expected to be of length >=' + min);
  }
}
function abignumer(n) {
  if (typeof n === "bigint") {
    if (!isPosBig(n))
      throw new Error("positive bigint expected, got " + n);
  } else
    anumber(n);
  return n;
}
function clean(...arrays) {
  for (let i = 0; i < arrays.length; i++) {
    arrays[i].fill(0);
  }
}
var _endianTestBuffer = /* @__PURE__ */ new Uint32Array([287454020]);
var _endianTestBytes = /* @__PURE__ */ new Uint8Array(_endianTestBuffer.buffer);
var isLE = _endianTestBytes[0] === 68;
function createView(arr) {
  return new DataView(arr.buffer, arr.byteOffset, arr.byteLength);
}
function rotr(word, shift) {
  return word << 32 - shift | word >>> shift;
}
var hasHexBuiltin = /* @__PURE__ */ (() => (
  // @ts-ignore: to use toHex
  typeof Uint8Array.from([]).toHex === "function" && // @ts-ignore: to use fromHex
  typeof Uint8Array.fromHex === "function"
))();
var hexes = /* @__PURE__ */ Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
var HEX_TO_BIGINT = [
  0n,
  1n,
  2n,
  3n,
  4n,
  5n,
  6n,
  7n,
  8n,
  9n,
  10n,
  11n,
  12n,
  13n,
  14n,
  15n
];
function bytesToHex(bytes) {
  abytes(bytes);
  if (hasHexBuiltin)
    return bytes.toHex();
  let hex2 = "";
  for (let i = 0; i < bytes.length; i++) {
    hex2 += hexes[bytes[i]];
  }
  return hex2;
}
var asciis = { _0: 48, _9: 57, A: 65, F: 70, a: 97, f: 102 };
function asciiToBase16(ch) {
  if (ch >= asciis._0 && ch <= asciis._9)
    return ch - asciis._0;
  if (ch >= asciis.A && ch <= asciis.F)
    return ch - (asciis.A - 10);
  if (ch >= asciis.a && ch <= asciis.f)
    return ch - (asciis.a - 10);
  return;
}
function hexToBytes(hex2) {
  if (typeof hex2 !== "string") {
    throw new Error("hex string expected, got " + typeof hex2);
  }
  if (hasHexBuiltin)
    return Uint8Array.fromHex(hex2);
  const hl = hex2.length;
  const al = hl / 2;
  if (hl % 2) {
    throw new Error("hex string expected, got unpadded hex of length " + hl);
  }
  const array = new Uint8Array(al);
  for (let ai = 0, hi = 0; ai < al; ai++, hi += 2) {
    const n1 = asciiToBase16(hex2.charCodeAt(hi));
    const n2 = asciiToBase16(hex2.charCodeAt(hi + 1));
    if (n1 === void 0 || n2 === void 0) {
      const char = hex2[hi] + hex2[hi + 1];
      throw new Error('hex string expected, got non-hex character "' + char + '" at index ' + hi);
    }
    array[ai] = n1 * 16 + n2;
  }
  return array;
}
function hexToNumber(hex2) {
  if (typeof hex2 !== "string") {
    throw new Error("hex string expected, got " + typeof hex2);
  }
  let out = N_0;
  for (let i = 0; i < hex2.length; i++) {
    const n = asciiToBase16(hex2.charCodeAt(i));
    if (n === void 0) {
      throw new Error('hex string expected, got non-hex character "' + hex2[i] + '" at index ' + i);
    }
    out = out << 4n | HEX_TO_BIGINT[n];
  }
  return out;
}
function numberToBigint(num) {
  anumber(num, "numberToBigint");
  let n = num;
  let out = N_0;
  let bit = 1n;
  while (n > 0) {
    if (n % 2 === 1)
      out += bit;
    n = Math.floor(n / 2);
    bit <<= 1n;
  }
  return out;
}
function bytesToNumberLE(bytes) {
  return hexToNumber(bytesToHex(copyBytes(abytes(bytes)).reverse()));
}
function numberToBytesBE(n, len) {
  anumber(len);
  n = abignumer(n);
  const res = hexToBytes(n.toString(16).padStart(len * 2, "0"));
  if (res.length !== len)
    throw new Error("number too large");
  return res;
}
function numberToBytesLE(n, len) {
  return numberToBytesBE(n, len).reverse();
}
function copyBytes(bytes) {
  return Uint8Array.from(bytes);
}
function isPosBig(n) {
  return typeof n === "bigint" && N_0 <= n;
}
function inRange(n, min, max) {
  return isPosBig(n) && isPosBig(min) && isPosBig(max) && min <= n && n < max;
}
function aInRange(title, n, min, max) {
  if (!inRange(n, min, max)) {
    throw new Error("expected valid " + title + ": " + min + " <= n < " + max + ", got " + n);
  }
}
function validateObject(object2, fields = {}, optFields = {}) {
  if (!object2 || typeof object2 !== "object") {
    throw new Error("expected valid options object");
  }
  function checkField(fieldName, expectedType, isOpt) {
    const val = object2[fieldName];
    if (isOpt && val === void 0)
      return;
    const current = typeof val;
    if (current !== expectedType || val === null) {
      throw new Error(`param "${fieldName}" is invalid: expected ${expectedType}, got ${current}`);
    }
  }
  const iter = (f, isOpt) => Object.entries(f).forEach(([k, v]) => checkField(k, v, isOpt));
  iter(fields, false);
  iter(optFields, true);
}
async function randomBytesAsync(bytesLength = 32) {
  const api = await loadCrypto();
  const rnd = new Uint8Array(bytesLength);
  api.getRandomValues(rnd);
  return rnd;
}
function oidNist(suffix) {
  return {
    oid: Uint8Array.from([
      6,
      9,
      96,
      134,
      72,
      1,
      101,
      3,
      4,
      2,
      suffix
    ])
  };
}

// node_modules/@hpke/common/esm/src/hash/hash.js
function ahash(h) {
  if (typeof h !== "function" || typeof h.create !== "function") {
    throw new Error("Hash must wrapped by utils.createHasher");
  }
  anumber(h.outputLen);
  anumber(h.blockLen);
}
function createHasher(hashCons, info = {}) {
  const hashFn = (msg, opts) => hashCons(opts).update(msg).digest();
  const tmp = hashCons(void 0);
  const hashC = Object.assign(hashFn, {
    outputLen: tmp.outputLen,
    blockLen: tmp.blockLen,
    create: (opts) => hashCons(opts),
    ...info
  });
  return Object.freeze(hashC);
}

// node_modules/@hpke/common/esm/src/hash/hmac.js
var _HMAC = class {
  constructor(hash2, key) {
    Object.defineProperty(this, "oHash", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "iHash", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "blockLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "outputLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "finished", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "destroyed", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    ahash(hash2);
    abytes(key, void 0, "key");
    this.iHash = hash2.create();
    if (typeof this.iHash.update !== "function") {
      throw new Error("Expected instance of class which extends utils.Hash");
    }
    this.blockLen = this.iHash.blockLen;
    this.outputLen = this.iHash.outputLen;
    const blockLen = this.blockLen;
    const pad = new Uint8Array(blockLen);
    pad.set(key.length > blockLen ? hash2.create().update(key).digest() : key);
    for (let i = 0; i < pad.length; i++)
      pad[i] ^= 54;
    this.iHash.update(pad);
    this.oHash = hash2.create();
    for (let i = 0; i < pad.length; i++)
      pad[i] ^= 54 ^ 92;
    this.oHash.update(pad);
    clean(pad);
  }
  update(buf) {
    aexists(this);
    this.iHash.update(buf);
    return this;
  }
  digestInto(out) {
    aexists(this);
    abytes(out, this.outputLen, "output");
    this.finished = true;
    this.iHash.digestInto(out);
    this.oHash.update(out);
    this.oHash.digestInto(out);
    this.destroy();
  }
  digest() {
    const out = new Uint8Array(this.oHash.outputLen);
    this.digestInto(out);
    return out;
  }
  _cloneInto(to) {
    to ||= Object.create(Object.getPrototypeOf(this), {});
    const { oHash, iHash, finished, destroyed, blockLen, outputLen } = this;
    to = to;
    to.finished = finished;
    to.destroyed = destroyed;
    to.blockLen = blockLen;
    to.outputLen = outputLen;
    to.oHash = oHash._cloneInto(to.oHash);
    to.iHash = iHash._cloneInto(to.iHash);
    return to;
  }
  clone() {
    return this._cloneInto();
  }
  destroy() {
    this.destroyed = true;
    this.oHash.destroy();
    this.iHash.destroy();
  }
};
var hmac = (hash2, key, message) => new _HMAC(hash2, key).update(message).digest();
hmac.create = (hash2, key) => new _HMAC(hash2, key);

// node_modules/@hpke/common/esm/src/hash/md.js
function Chi(a, b, c) {
  return a & b ^ ~a & c;
}
function Maj(a, b, c) {
  return a & b ^ a & c ^ b & c;
}
var HashMD = class {
  constructor(blockLen, outputLen, padOffset, isLE3) {
    Object.defineProperty(this, "blockLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "outputLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "padOffset", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "isLE", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "buffer", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "view", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "finished", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "length", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "pos", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "destroyed", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    this.blockLen = blockLen;
    this.outputLen = outputLen;
    this.padOffset = padOffset;
    this.isLE = isLE3;
    this.buffer = new Uint8Array(blockLen);
    this.view = createView(this.buffer);
  }
  update(data) {
    aexists(this);
    abytes(data);
    const { view, buffer, blockLen } = this;
    const len = data.length;
    for (let pos = 0; pos < len; ) {
      const take = Math.min(blockLen - this.pos, len - pos);
      if (take === blockLen) {
        const dataView = createView(data);
        for (; blockLen <= len - pos; pos += blockLen) {
          this.process(dataView, pos);
        }
        continue;
      }
      buffer.set(data.subarray(pos, pos + take), this.pos);
      this.pos += take;
      pos += take;
      if (this.pos === blockLen) {
        this.process(view, 0);
        this.pos = 0;
      }
    }
    this.length += data.length;
    this.roundClean();
    return this;
  }
  digestInto(out) {
    aexists(this);
    aoutput(out, this);
    this.finished = true;
    const { buffer, view, blockLen, isLE: isLE3 } = this;
    let { pos } = this;
    buffer[pos++] = 128;
    clean(this.buffer.subarray(pos));
    if (this.padOffset > blockLen - pos) {
      this.process(view, 0);
      pos = 0;
    }
    for (let i = pos; i < blockLen; i++)
      buffer[i] = 0;
    view.setBigUint64(blockLen - 8, numberToBigint(this.length * 8), isLE3);
    this.process(view, 0);
    const oview = createView(out);
    const len = this.outputLen;
    if (len % 4)
      throw new Error("_sha2: outputLen must be aligned to 32bit");
    const outLen = len / 4;
    const state = this.get();
    if (outLen > state.length) {
      throw new Error("_sha2: outputLen bigger than state");
    }
    for (let i = 0; i < outLen; i++)
      oview.setUint32(4 * i, state[i], isLE3);
  }
  digest() {
    const { buffer, outputLen } = this;
    this.digestInto(buffer);
    const res = buffer.slice(0, outputLen);
    this.destroy();
    return res;
  }
  _cloneInto(to) {
    to ||= new this.constructor();
    to.set(...this.get());
    const { blockLen, buffer, length, finished, destroyed, pos } = this;
    to.destroyed = destroyed;
    to.finished = finished;
    to.length = length;
    to.pos = pos;
    if (length % blockLen)
      to.buffer.set(buffer);
    return to;
  }
  clone() {
    return this._cloneInto();
  }
};
var SHA256_IV = /* @__PURE__ */ Uint32Array.from([
  1779033703,
  3144134277,
  1013904242,
  2773480762,
  1359893119,
  2600822924,
  528734635,
  1541459225
]);

// node_modules/@hpke/common/esm/src/hash/u64.js
var U32_MASK64 = 0xffffffffn;
var _32n = 32n;
function fromBig(n, le = false) {
  if (le) {
    return { h: Number(n & U32_MASK64), l: Number(n >> _32n & U32_MASK64) };
  }
  return {
    h: Number(n >> _32n & U32_MASK64) | 0,
    l: Number(n & U32_MASK64) | 0
  };
}
function split(lst, le = false) {
  const len = lst.length;
  const Ah = new Uint32Array(len);
  const Al = new Uint32Array(len);
  for (let i = 0; i < len; i++) {
    const { h, l } = fromBig(lst[i], le);
    [Ah[i], Al[i]] = [h, l];
  }
  return [Ah, Al];
}

// node_modules/@hpke/common/esm/src/hash/sha2.js
var SHA256_K = /* @__PURE__ */ Uint32Array.from([
  1116352408,
  1899447441,
  3049323471,
  3921009573,
  961987163,
  1508970993,
  2453635748,
  2870763221,
  3624381080,
  310598401,
  607225278,
  1426881987,
  1925078388,
  2162078206,
  2614888103,
  3248222580,
  3835390401,
  4022224774,
  264347078,
  604807628,
  770255983,
  1249150122,
  1555081692,
  1996064986,
  2554220882,
  2821834349,
  2952996808,
  3210313671,
  3336571891,
  3584528711,
  113926993,
  338241895,
  666307205,
  773529912,
  1294757372,
  1396182291,
  1695183700,
  1986661051,
  2177026350,
  2456956037,
  2730485921,
  2820302411,
  3259730800,
  3345764771,
  3516065817,
  3600352804,
  4094571909,
  275423344,
  430227734,
  506948616,
  659060556,
  883997877,
  958139571,
  1322822218,
  1537002063,
  1747873779,
  1955562222,
  2024104815,
  2227730452,
  2361852424,
  2428436474,
  2756734187,
  3204031479,
  3329325298
]);
var SHA256_W = /* @__PURE__ */ new Uint32Array(64);
var SHA2_32B = class extends HashMD {
  constructor(outputLen) {
    super(64, outputLen, 8, false);
  }
  get() {
    const { A, B, C, D, E, F, G, H } = this;
    return [A, B, C, D, E, F, G, H];
  }
  set(A, B, C, D, E, F, G, H) {
    this.A = A | 0;
    this.B = B | 0;
    this.C = C | 0;
    this.D = D | 0;
    this.E = E | 0;
    this.F = F | 0;
    this.G = G | 0;
    this.H = H | 0;
  }
  process(view, offset) {
    for (let i = 0; i < 16; i++, offset += 4) {
      SHA256_W[i] = view.getUint32(offset, false);
    }
    for (let i = 16; i < 64; i++) {
      const W15 = SHA256_W[i - 15];
      const W2 = SHA256_W[i - 2];
      const s0 = rotr(W15, 7) ^ rotr(W15, 18) ^ W15 >>> 3;
      const s1 = rotr(W2, 17) ^ rotr(W2, 19) ^ W2 >>> 10;
      SHA256_W[i] = s1 + SHA256_W[i - 7] + s0 + SHA256_W[i - 16] | 0;
    }
    let { A, B, C, D, E, F, G, H } = this;
    for (let i = 0; i < 64; i++) {
      const sigma1 = rotr(E, 6) ^ rotr(E, 11) ^ rotr(E, 25);
      const T1 = H + sigma1 + Chi(E, F, G) + SHA256_K[i] + SHA256_W[i] | 0;
      const sigma0 = rotr(A, 2) ^ rotr(A, 13) ^ rotr(A, 22);
      const T2 = sigma0 + Maj(A, B, C) | 0;
      H = G;
      G = F;
      F = E;
      E = D + T1 | 0;
      D = C;
      C = B;
      B = A;
      A = T1 + T2 | 0;
    }
    A = A + this.A | 0;
    B = B + this.B | 0;
    C = C + this.C | 0;
    D = D + this.D | 0;
    E = E + this.E | 0;
    F = F + this.F | 0;
    G = G + this.G | 0;
    H = H + this.H | 0;
    this.set(A, B, C, D, E, F, G, H);
  }
  roundClean() {
    clean(SHA256_W);
  }
  destroy() {
    this.set(0, 0, 0, 0, 0, 0, 0, 0);
    clean(this.buffer);
  }
};
var _SHA256 = class extends SHA2_32B {
  constructor() {
    super(32);
    Object.defineProperty(this, "A", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[0] | 0
    });
    Object.defineProperty(this, "B", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[1] | 0
    });
    Object.defineProperty(this, "C", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[2] | 0
    });
    Object.defineProperty(this, "D", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[3] | 0
    });
    Object.defineProperty(this, "E", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[4] | 0
    });
    Object.defineProperty(this, "F", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[5] | 0
    });
    Object.defineProperty(this, "G", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[6] | 0
    });
    Object.defineProperty(this, "H", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: SHA256_IV[7] | 0
    });
  }
};
var sha2562 = /* @__PURE__ */ createHasher(
  () => new _SHA256(),
  /* @__PURE__ */ oidNist(1)
);

// node_modules/@hpke/common/esm/src/hash/sha3.js
var _0n = 0n;
var _1n = 1n;
var _2n = 2n;
var _7n = 7n;
var _256n = 256n;
var _0x71n = 0x71n;
var SHA3_PI = [];
var SHA3_ROTL = [];
var _SHA3_IOTA = [];
for (let round = 0, R = _1n, x = 1, y = 0; round < 24; round++) {
  [x, y] = [y, (2 * x + 3 * y) % 5];
  SHA3_PI.push(2 * (5 * y + x));
  SHA3_ROTL.push((round + 1) * (round + 2) / 2 % 64);
  let t = _0n;
  for (let j = 0; j < 7; j++) {
    R = (R << _1n ^ (R >> _7n) * _0x71n) % _256n;
    if (R & _2n)
      t ^= _1n << (_1n << BigInt(j)) - _1n;
  }
  _SHA3_IOTA.push(t);
}
var IOTAS = split(_SHA3_IOTA, true);
var SHA3_IOTA_H = IOTAS[0];
var SHA3_IOTA_L = IOTAS[1];

// node_modules/@hpke/common/esm/src/curve/modular.js
function mod(a, b) {
  const result = a % b;
  return result >= N_0 ? result : b + result;
}
function pow2(x, power, modulo) {
  let res = x;
  while (power-- > N_0) {
    res *= res;
    res %= modulo;
  }
  return res;
}

// node_modules/@hpke/common/esm/src/curve/curve.js
function createKeygen(randomSecretKey, getPublicKey) {
  return function keygen(seed) {
    const secretKey = randomSecretKey(seed);
    return { secretKey, publicKey: getPublicKey(secretKey) };
  };
}

// node_modules/@hpke/common/esm/src/curve/montgomery.js
function validateOpts(curve) {
  validateObject(curve, {
    adjustScalarBytes: "function",
    powPminus2: "function"
  });
  return Object.freeze({ ...curve });
}
function montgomery(curveDef) {
  const CURVE = validateOpts(curveDef);
  const { P, type, adjustScalarBytes: adjustScalarBytes2, powPminus2, randomBytes: rand } = CURVE;
  const is25519 = type === "x25519";
  if (!is25519 && type !== "x448")
    throw new Error("invalid type");
  const randomBytes_ = rand || randomBytesAsync;
  const montgomeryBits = is25519 ? 255n : 448n;
  const fieldLen = is25519 ? 32 : 56;
  const Gu = is25519 ? 9n : 5n;
  const a24 = is25519 ? 121665n : 39081n;
  const minScalar = is25519 ? N_2 ** 254n : N_2 ** 447n;
  const maxAdded = is25519 ? 8n * N_2 ** 251n - N_1 : 4n * N_2 ** 445n - N_1;
  const maxScalar = minScalar + maxAdded + N_1;
  const modP = (n) => mod(n, P);
  const GuBytes = encodeU(Gu);
  function encodeU(u) {
    return numberToBytesLE(modP(u), fieldLen);
  }
  function decodeU(u) {
    const _u = copyBytes(abytes(u, fieldLen, "uCoordinate"));
    if (is25519)
      _u[31] &= 127;
    return modP(bytesToNumberLE(_u));
  }
  function decodeScalar(scalar) {
    return bytesToNumberLE(adjustScalarBytes2(copyBytes(abytes(scalar, fieldLen, "scalar"))));
  }
  function scalarMult(scalar, u) {
    const pu = montgomeryLadder(decodeU(u), decodeScalar(scalar));
    if (pu === N_0)
      throw new Error("invalid private or public key received");
    return encodeU(pu);
  }
  function scalarMultBase(scalar) {
    return scalarMult(scalar, GuBytes);
  }
  const getPublicKey = scalarMultBase;
  const getSharedSecret = scalarMult;
  function cswap(swap, x_2, x_3) {
    const dummy = modP(swap * (x_2 - x_3));
    x_2 = modP(x_2 - dummy);
    x_3 = modP(x_3 + dummy);
    return { x_2, x_3 };
  }
  function montgomeryLadder(u, scalar) {
    aInRange("u", u, N_0, P);
    aInRange("scalar", scalar, minScalar, maxScalar);
    const k = scalar;
    const x_1 = u;
    let x_2 = N_1;
    let z_2 = N_0;
    let x_3 = u;
    let z_3 = N_1;
    let swap = N_0;
    for (let t = montgomeryBits - 1n; t >= N_0; t--) {
      const k_t = k >> t & N_1;
      swap ^= k_t;
      ({ x_2, x_3 } = cswap(swap, x_2, x_3));
      ({ x_2: z_2, x_3: z_3 } = cswap(swap, z_2, z_3));
      swap = k_t;
      const A = x_2 + z_2;
      const AA = modP(A * A);
      const B = x_2 - z_2;
      const BB = modP(B * B);
      const E = AA - BB;
      const C = x_3 + z_3;
      const D = x_3 - z_3;
      const DA = modP(D * A);
      const CB = modP(C * B);
      const dacb = DA + CB;
      const da_cb = DA - CB;
      x_3 = modP(dacb * dacb);
      z_3 = modP(x_1 * modP(da_cb * da_cb));
      x_2 = modP(AA * BB);
      z_2 = modP(E * (AA + modP(a24 * E)));
    }
    ({ x_2, x_3 } = cswap(swap, x_2, x_3));
    ({ x_2: z_2, x_3: z_3 } = cswap(swap, z_2, z_3));
    const z2 = powPminus2(z_2);
    return modP(x_2 * z2);
  }
  const lengths = {
    secretKey: fieldLen,
    publicKey: fieldLen,
    seed: fieldLen
  };
  const randomSecretKey = async (seed) => {
    if (seed === void 0) {
      seed = await randomBytes_(fieldLen);
    }
    abytes(seed, lengths.seed, "seed");
    return seed;
  };
  const utils = { randomSecretKey };
  return Object.freeze({
    keygen: createKeygen(randomSecretKey, getPublicKey),
    getSharedSecret,
    getPublicKey,
    scalarMult,
    scalarMultBase,
    utils,
    GuBytes: GuBytes.slice(),
    lengths
  });
}

// node_modules/@hpke/core/esm/src/aeads/aesGcm.js
var AesGcmContext = class extends NativeAlgorithm {
  constructor(key) {
    super();
    Object.defineProperty(this, "_rawKey", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_key", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this._rawKey = toArrayBuffer(key);
  }
  async seal(iv, data, aad) {
    await this._setupKey();
    const alg = {
      name: "AES-GCM",
      iv: toArrayBuffer(iv),
      additionalData: toArrayBuffer(aad)
    };
    const ct = await this._api.encrypt(alg, this._key, toArrayBuffer(data));
    return ct;
  }
  async open(iv, data, aad) {
    await this._setupKey();
    const alg = {
      name: "AES-GCM",
      iv: toArrayBuffer(iv),
      additionalData: toArrayBuffer(aad)
    };
    const pt = await this._api.decrypt(alg, this._key, toArrayBuffer(data));
    return pt;
  }
  async _setupKey() {
    if (this._key !== void 0) {
      return;
    }
    await this._setup();
    const key = await this._importKey(this._rawKey);
    new Uint8Array(this._rawKey).fill(0);
    this._key = key;
    return;
  }
  async _importKey(key) {
    return await this._api.importKey("raw", key, { name: "AES-GCM" }, true, AEAD_USAGES);
  }
};
var Aes128Gcm = class {
  constructor() {
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: AeadId.Aes128Gcm
    });
    Object.defineProperty(this, "keySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 16
    });
    Object.defineProperty(this, "nonceSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 12
    });
    Object.defineProperty(this, "tagSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 16
    });
  }
  createEncryptionContext(key) {
    return new AesGcmContext(key);
  }
};
var Aes256Gcm = class extends Aes128Gcm {
  constructor() {
    super(...arguments);
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: AeadId.Aes256Gcm
    });
    Object.defineProperty(this, "keySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "nonceSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 12
    });
    Object.defineProperty(this, "tagSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 16
    });
  }
};

// node_modules/@hpke/core/esm/src/utils/emitNotSupported.js
function emitNotSupported() {
  return new Promise((_resolve, reject) => {
    reject(new NotSupportedError("Not supported"));
  });
}

// node_modules/@hpke/core/esm/src/exporterContext.js
var LABEL_SEC = new Uint8Array([115, 101, 99]);
var ExporterContextImpl = class {
  constructor(api, kdf, exporterSecret) {
    Object.defineProperty(this, "_api", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "exporterSecret", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_kdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this._api = api;
    this._kdf = kdf;
    this.exporterSecret = exporterSecret;
  }
  async seal(_data, _aad) {
    return await emitNotSupported();
  }
  async open(_data, _aad) {
    return await emitNotSupported();
  }
  async export(exporterContext, len) {
    const rawExporterContext = toArrayBuffer(exporterContext);
    if (rawExporterContext.byteLength > INPUT_LENGTH_LIMIT) {
      throw new InvalidParamError("Too long exporter context");
    }
    try {
      return await this._kdf.labeledExpand(this.exporterSecret, LABEL_SEC, new Uint8Array(rawExporterContext), len);
    } catch (e) {
      throw new ExportError(e);
    }
  }
};
var RecipientExporterContextImpl = class extends ExporterContextImpl {
};
var SenderExporterContextImpl = class extends ExporterContextImpl {
  constructor(api, kdf, exporterSecret, enc) {
    super(api, kdf, exporterSecret);
    Object.defineProperty(this, "enc", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this.enc = enc;
    return;
  }
};

// node_modules/@hpke/core/esm/src/encryptionContext.js
var EncryptionContextImpl = class extends ExporterContextImpl {
  constructor(api, kdf, params) {
    super(api, kdf, params.exporterSecret);
    Object.defineProperty(this, "_aead", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nK", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nN", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nT", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_ctx", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    if (params.key === void 0 || params.baseNonce === void 0 || params.seq === void 0) {
      throw new Error("Required parameters are missing");
    }
    this._aead = params.aead;
    this._nK = this._aead.keySize;
    this._nN = this._aead.nonceSize;
    this._nT = this._aead.tagSize;
    const key = this._aead.createEncryptionContext(params.key);
    this._ctx = {
      key,
      baseNonce: params.baseNonce,
      seq: params.seq
    };
  }
  computeNonce(k) {
    const seqBytes = i2Osp(k.seq, k.baseNonce.byteLength);
    return xor(k.baseNonce, seqBytes).buffer;
  }
  incrementSeq(k) {
    if (k.seq > Number.MAX_SAFE_INTEGER) {
      throw new MessageLimitReachedError("Message limit reached");
    }
    k.seq += 1;
    return;
  }
};

// node_modules/@hpke/core/esm/src/mutex.js
var __classPrivateFieldGet = function(receiver, state, kind, f) {
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a getter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot read private member from an object whose class did not declare it");
  return kind === "m" ? f : kind === "a" ? f.call(receiver) : f ? f.value : state.get(receiver);
};
var __classPrivateFieldSet = function(receiver, state, value, kind, f) {
  if (kind === "m") throw new TypeError("Private method is not writable");
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a setter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot write private member to an object whose class did not declare it");
  return kind === "a" ? f.call(receiver, value) : f ? f.value = value : state.set(receiver, value), value;
};
var _Mutex_locked;
var Mutex = class {
  constructor() {
    _Mutex_locked.set(this, Promise.resolve());
  }
  async lock() {
    let releaseLock;
    const nextLock = new Promise((resolve) => {
      releaseLock = resolve;
    });
    const previousLock = __classPrivateFieldGet(this, _Mutex_locked, "f");
    __classPrivateFieldSet(this, _Mutex_locked, nextLock, "f");
    await previousLock;
    return releaseLock;
  }
};
_Mutex_locked = /* @__PURE__ */ new WeakMap();

// node_modules/@hpke/core/esm/src/recipientContext.js
var __classPrivateFieldGet2 = function(receiver, state, kind, f) {
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a getter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot read private member from an object whose class did not declare it");
  return kind === "m" ? f : kind === "a" ? f.call(receiver) : f ? f.value : state.get(receiver);
};
var __classPrivateFieldSet2 = function(receiver, state, value, kind, f) {
  if (kind === "m") throw new TypeError("Private method is not writable");
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a setter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot write private member to an object whose class did not declare it");
  return kind === "a" ? f.call(receiver, value) : f ? f.value = value : state.set(receiver, value), value;
};
var _RecipientContextImpl_mutex;
var RecipientContextImpl = class extends EncryptionContextImpl {
  constructor() {
    super(...arguments);
    _RecipientContextImpl_mutex.set(this, void 0);
  }
  async open(data, aad = EMPTY.buffer) {
    __classPrivateFieldSet2(this, _RecipientContextImpl_mutex, __classPrivateFieldGet2(this, _RecipientContextImpl_mutex, "f") ?? new Mutex(), "f");
    const release2 = await __classPrivateFieldGet2(this, _RecipientContextImpl_mutex, "f").lock();
    let pt;
    try {
      pt = await this._ctx.key.open(this.computeNonce(this._ctx), toArrayBuffer(data), toArrayBuffer(aad));
    } catch (e) {
      throw new OpenError(e);
    } finally {
      release2();
    }
    this.incrementSeq(this._ctx);
    return pt;
  }
};
_RecipientContextImpl_mutex = /* @__PURE__ */ new WeakMap();

// node_modules/@hpke/core/esm/src/senderContext.js
var __classPrivateFieldGet3 = function(receiver, state, kind, f) {
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a getter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot read private member from an object whose class did not declare it");
  return kind === "m" ? f : kind === "a" ? f.call(receiver) : f ? f.value : state.get(receiver);
};
var __classPrivateFieldSet3 = function(receiver, state, value, kind, f) {
  if (kind === "m") throw new TypeError("Private method is not writable");
  if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a setter");
  if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot write private member to an object whose class did not declare it");
  return kind === "a" ? f.call(receiver, value) : f ? f.value = value : state.set(receiver, value), value;
};
var _SenderContextImpl_mutex;
var SenderContextImpl = class extends EncryptionContextImpl {
  constructor(api, kdf, params, enc) {
    super(api, kdf, params);
    Object.defineProperty(this, "enc", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    _SenderContextImpl_mutex.set(this, void 0);
    this.enc = enc;
  }
  async seal(data, aad = EMPTY.buffer) {
    __classPrivateFieldSet3(this, _SenderContextImpl_mutex, __classPrivateFieldGet3(this, _SenderContextImpl_mutex, "f") ?? new Mutex(), "f");
    const release2 = await __classPrivateFieldGet3(this, _SenderContextImpl_mutex, "f").lock();
    let ct;
    try {
      ct = await this._ctx.key.seal(this.computeNonce(this._ctx), toArrayBuffer(data), toArrayBuffer(aad));
    } catch (e) {
      throw new SealError(e);
    } finally {
      release2();
    }
    this.incrementSeq(this._ctx);
    return ct;
  }
};
_SenderContextImpl_mutex = /* @__PURE__ */ new WeakMap();

// node_modules/@hpke/core/esm/src/cipherSuiteNative.js
var LABEL_BASE_NONCE = new Uint8Array([
  98,
  97,
  115,
  101,
  95,
  110,
  111,
  110,
  99,
  101
]);
var LABEL_EXP = new Uint8Array([101, 120, 112]);
var LABEL_INFO_HASH = new Uint8Array([
  105,
  110,
  102,
  111,
  95,
  104,
  97,
  115,
  104
]);
var LABEL_KEY = new Uint8Array([107, 101, 121]);
var LABEL_PSK_ID_HASH = new Uint8Array([
  112,
  115,
  107,
  95,
  105,
  100,
  95,
  104,
  97,
  115,
  104
]);
var LABEL_SECRET = new Uint8Array([115, 101, 99, 114, 101, 116]);
var SUITE_ID_HEADER_HPKE = new Uint8Array([
  72,
  80,
  75,
  69,
  0,
  0,
  0,
  0,
  0,
  0
]);
var CipherSuiteNative = class extends NativeAlgorithm {
  /**
   * @param params A set of parameters for building a cipher suite.
   *
   * If the error occurred, throws {@link InvalidParamError}.
   *
   * @throws {@link InvalidParamError}
   */
  constructor(params) {
    super();
    Object.defineProperty(this, "_kem", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_kdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_aead", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_suiteId", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    if (typeof params.kem === "number") {
      throw new InvalidParamError("KemId cannot be used");
    }
    this._kem = params.kem;
    if (typeof params.kdf === "number") {
      throw new InvalidParamError("KdfId cannot be used");
    }
    this._kdf = params.kdf;
    if (typeof params.aead === "number") {
      throw new InvalidParamError("AeadId cannot be used");
    }
    this._aead = params.aead;
    this._suiteId = new Uint8Array(SUITE_ID_HEADER_HPKE);
    this._suiteId.set(i2Osp(this._kem.id, 2), 4);
    this._suiteId.set(i2Osp(this._kdf.id, 2), 6);
    this._suiteId.set(i2Osp(this._aead.id, 2), 8);
    this._kdf.init(this._suiteId);
  }
  /**
   * Gets the KEM context of the ciphersuite.
   */
  get kem() {
    return this._kem;
  }
  /**
   * Gets the KDF context of the ciphersuite.
   */
  get kdf() {
    return this._kdf;
  }
  /**
   * Gets the AEAD context of the ciphersuite.
   */
  get aead() {
    return this._aead;
  }
  /**
   * Creates an encryption context for a sender.
   *
   * If the error occurred, throws {@link DecapError} | {@link ValidationError}.
   *
   * @param params A set of parameters for the sender encryption context.
   * @returns A sender encryption context.
   * @throws {@link EncapError}, {@link ValidationError}
   */
  async createSenderContext(params) {
    this._validateInputLength(params);
    await this._setup();
    const dh = await this._kem.encap(params);
    let mode;
    if (params.psk !== void 0) {
      mode = params.senderKey !== void 0 ? Mode.AuthPsk : Mode.Psk;
    } else {
      mode = params.senderKey !== void 0 ? Mode.Auth : Mode.Base;
    }
    return await this._keyScheduleS(mode, dh.sharedSecret, dh.enc, params);
  }
  /**
   * Creates an encryption context for a recipient.
   *
   * If the error occurred, throws {@link DecapError}
   * | {@link DeserializeError} | {@link ValidationError}.
   *
   * @param params A set of parameters for the recipient encryption context.
   * @returns A recipient encryption context.
   * @throws {@link DecapError}, {@link DeserializeError}, {@link ValidationError}
   */
  async createRecipientContext(params) {
    this._validateInputLength(params);
    await this._setup();
    const sharedSecret = await this._kem.decap(params);
    let mode;
    if (params.psk !== void 0) {
      mode = params.senderPublicKey !== void 0 ? Mode.AuthPsk : Mode.Psk;
    } else {
      mode = params.senderPublicKey !== void 0 ? Mode.Auth : Mode.Base;
    }
    return await this._keyScheduleR(mode, sharedSecret, params);
  }
  /**
   * Encrypts a message to a recipient.
   *
   * If the error occurred, throws `EncapError` | `MessageLimitReachedError` | `SealError` | `ValidationError`.
   *
   * @param params A set of parameters for building a sender encryption context.
   * @param pt A plain text as bytes to be encrypted.
   * @param aad Additional authenticated data as bytes fed by an application.
   * @returns A cipher text and an encapsulated key as bytes.
   * @throws {@link EncapError}, {@link MessageLimitReachedError}, {@link SealError}, {@link ValidationError}
   */
  async seal(params, pt, aad = EMPTY.buffer) {
    const ctx = await this.createSenderContext(params);
    return {
      ct: await ctx.seal(pt, aad),
      enc: ctx.enc
    };
  }
  /**
   * Decrypts a message from a sender.
   *
   * If the error occurred, throws `DecapError` | `DeserializeError` | `OpenError` | `ValidationError`.
   *
   * @param params A set of parameters for building a recipient encryption context.
   * @param ct An encrypted text as bytes to be decrypted.
   * @param aad Additional authenticated data as bytes fed by an application.
   * @returns A decrypted plain text as bytes.
   * @throws {@link DecapError}, {@link DeserializeError}, {@link OpenError}, {@link ValidationError}
   */
  async open(params, ct, aad = EMPTY.buffer) {
    const ctx = await this.createRecipientContext(params);
    return await ctx.open(ct, aad);
  }
  // private verifyPskInputs(mode: Mode, params: KeyScheduleParams) {
  //   const gotPsk = (params.psk !== undefined);
  //   const gotPskId = (params.psk !== undefined && params.psk.id.byteLength > 0);
  //   if (gotPsk !== gotPskId) {
  //     throw new Error('Inconsistent PSK inputs');
  //   }
  //   if (gotPsk && (mode === Mode.Base || mode === Mode.Auth)) {
  //     throw new Error('PSK input provided when not needed');
  //   }
  //   if (!gotPsk && (mode === Mode.Psk || mode === Mode.AuthPsk)) {
  //     throw new Error('Missing required PSK input');
  //   }
  //   return;
  // }
  async _keySchedule(mode, sharedSecret, params) {
    const pskId = params.psk === void 0 ? EMPTY : toUint8Array(params.psk.id);
    const pskIdHash = await this._kdf.labeledExtract(EMPTY, LABEL_PSK_ID_HASH, pskId);
    const info = params.info === void 0 ? EMPTY : toUint8Array(params.info);
    const infoHash = await this._kdf.labeledExtract(EMPTY, LABEL_INFO_HASH, info);
    const keyScheduleContext = new Uint8Array(1 + pskIdHash.byteLength + infoHash.byteLength);
    keyScheduleContext.set(new Uint8Array([mode]), 0);
    keyScheduleContext.set(new Uint8Array(pskIdHash), 1);
    keyScheduleContext.set(new Uint8Array(infoHash), 1 + pskIdHash.byteLength);
    const psk = params.psk === void 0 ? EMPTY : toUint8Array(params.psk.key);
    const ikm = this._kdf.buildLabeledIkm(LABEL_SECRET, psk);
    const exporterSecretInfo = this._kdf.buildLabeledInfo(LABEL_EXP, keyScheduleContext, this._kdf.hashSize);
    const exporterSecret = await this._kdf.extractAndExpand(sharedSecret, ikm, exporterSecretInfo, this._kdf.hashSize);
    if (this._aead.id === AeadId.ExportOnly) {
      return { aead: this._aead, exporterSecret };
    }
    const keyInfo = this._kdf.buildLabeledInfo(LABEL_KEY, keyScheduleContext, this._aead.keySize);
    const key = await this._kdf.extractAndExpand(sharedSecret, ikm, keyInfo, this._aead.keySize);
    const baseNonceInfo = this._kdf.buildLabeledInfo(LABEL_BASE_NONCE, keyScheduleContext, this._aead.nonceSize);
    const baseNonce = await this._kdf.extractAndExpand(sharedSecret, ikm, baseNonceInfo, this._aead.nonceSize);
    return {
      aead: this._aead,
      exporterSecret,
      key,
      baseNonce: new Uint8Array(baseNonce),
      seq: 0
    };
  }
  async _keyScheduleS(mode, sharedSecret, enc, params) {
    const res = await this._keySchedule(mode, sharedSecret, params);
    if (res.key === void 0) {
      return new SenderExporterContextImpl(this._api, this._kdf, res.exporterSecret, enc);
    }
    return new SenderContextImpl(this._api, this._kdf, res, enc);
  }
  async _keyScheduleR(mode, sharedSecret, params) {
    const res = await this._keySchedule(mode, sharedSecret, params);
    if (res.key === void 0) {
      return new RecipientExporterContextImpl(this._api, this._kdf, res.exporterSecret);
    }
    return new RecipientContextImpl(this._api, this._kdf, res);
  }
  _validateInputLength(params) {
    if (params.info !== void 0 && params.info.byteLength > INFO_LENGTH_LIMIT) {
      throw new InvalidParamError("Too long info");
    }
    if (params.psk !== void 0) {
      if (params.psk.key.byteLength < MINIMUM_PSK_LENGTH) {
        throw new InvalidParamError(`PSK must have at least ${MINIMUM_PSK_LENGTH} bytes`);
      }
      if (params.psk.key.byteLength > INPUT_LENGTH_LIMIT) {
        throw new InvalidParamError("Too long psk.key");
      }
      if (params.psk.id.byteLength > INPUT_LENGTH_LIMIT) {
        throw new InvalidParamError("Too long psk.id");
      }
    }
    return;
  }
};

// node_modules/@hpke/core/esm/src/native.js
var CipherSuite = class extends CipherSuiteNative {
};
var HkdfSha256 = class extends HkdfSha256Native {
};

// node_modules/@hpke/core/esm/src/kems/dhkemPrimitives/x25519.js
var ALG_NAME = "X25519";
var PKCS8_ALG_ID_X25519 = new Uint8Array([
  48,
  46,
  2,
  1,
  0,
  48,
  5,
  6,
  3,
  43,
  101,
  110,
  4,
  34,
  4,
  32
]);
var BASE_POINT_X25519 = /* @__PURE__ */ (() => {
  const p = new Uint8Array(32);
  p[0] = 9;
  return p;
})();
var X25519 = class extends NativeAlgorithm {
  constructor(hkdf) {
    super();
    Object.defineProperty(this, "_hkdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_alg", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nPk", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nSk", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nDh", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_pkcs8AlgId", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this._alg = { name: ALG_NAME };
    this._hkdf = hkdf;
    this._nPk = 32;
    this._nSk = 32;
    this._nDh = 32;
    this._pkcs8AlgId = PKCS8_ALG_ID_X25519;
  }
  async serializePublicKey(key) {
    await this._setup();
    try {
      return await this._api.exportKey("raw", key);
    } catch (e) {
      throw new SerializeError(e);
    }
  }
  async deserializePublicKey(key) {
    await this._setup();
    try {
      return await this._importRawKey(toArrayBuffer(key), true);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async serializePrivateKey(key) {
    await this._setup();
    try {
      const jwk = await this._api.exportKey("jwk", key);
      if (!("d" in jwk)) {
        throw new Error("Not private key");
      }
      return base64UrlToBytes(jwk["d"]).buffer;
    } catch (e) {
      throw new SerializeError(e);
    }
  }
  async deserializePrivateKey(key) {
    await this._setup();
    try {
      return await this._importRawKey(toArrayBuffer(key), false);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async importKey(format, key, isPublic) {
    await this._setup();
    try {
      if (format === "raw") {
        return await this._importRawKey(key, isPublic);
      }
      if (key instanceof ArrayBuffer) {
        throw new Error("Invalid jwk key format");
      }
      return await this._importJWK(key, isPublic);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async generateKeyPair() {
    await this._setup();
    try {
      return await this._api.generateKey(ALG_NAME, true, KEM_USAGES);
    } catch (e) {
      throw new NotSupportedError(e);
    }
  }
  async deriveKeyPair(ikm) {
    await this._setup();
    try {
      const rawIkm = toArrayBuffer(ikm);
      const dkpPrk = await this._hkdf.labeledExtract(EMPTY, LABEL_DKP_PRK, new Uint8Array(rawIkm));
      const rawSk = await this._hkdf.labeledExpand(dkpPrk, LABEL_SK, EMPTY, this._nSk);
      const rawSkBytes = new Uint8Array(rawSk);
      const sk = await this._deserializePkcs8Key(rawSkBytes);
      rawSkBytes.fill(0);
      return {
        privateKey: sk,
        publicKey: await this.derivePublicKey(sk)
      };
    } catch (e) {
      throw new DeriveKeyPairError(e);
    }
  }
  async derivePublicKey(key) {
    await this._setup();
    try {
      const jwk = await this._api.exportKey("jwk", key);
      delete jwk["d"];
      delete jwk["key_ops"];
      return await this._api.importKey("jwk", jwk, this._alg, true, []);
    } catch {
      try {
        const bp = await this._api.importKey("raw", BASE_POINT_X25519.buffer, this._alg, true, []);
        const bits = await this._api.deriveBits({
          name: ALG_NAME,
          public: bp
        }, key, this._nPk * 8);
        return await this._api.importKey("raw", bits, this._alg, true, []);
      } catch (e) {
        throw new DeserializeError(e);
      }
    }
  }
  async dh(sk, pk) {
    await this._setup();
    try {
      const bits = await this._api.deriveBits({
        name: ALG_NAME,
        public: pk
      }, sk, this._nDh * 8);
      return bits;
    } catch (e) {
      throw new SerializeError(e);
    }
  }
  async _importRawKey(key, isPublic) {
    if (isPublic && key.byteLength !== this._nPk) {
      throw new Error("Invalid public key for the ciphersuite");
    }
    if (!isPublic && key.byteLength !== this._nSk) {
      throw new Error("Invalid private key for the ciphersuite");
    }
    if (isPublic) {
      return await this._api.importKey("raw", key, this._alg, true, []);
    }
    return await this._deserializePkcs8Key(new Uint8Array(key));
  }
  async _importJWK(key, isPublic) {
    if (typeof key.kty === "undefined" || key.kty !== "OKP") {
      throw new Error(`Invalid kty: ${key.crv}`);
    }
    if (typeof key.crv === "undefined" || key.crv !== ALG_NAME) {
      throw new Error(`Invalid crv: ${key.crv}`);
    }
    if (isPublic) {
      if (typeof key.d !== "undefined") {
        throw new Error("Invalid key: `d` should not be set");
      }
      return await this._api.importKey("jwk", key, this._alg, true, []);
    }
    if (typeof key.d === "undefined") {
      throw new Error("Invalid key: `d` not found");
    }
    return await this._api.importKey("jwk", key, this._alg, true, KEM_USAGES);
  }
  async _deserializePkcs8Key(k) {
    const pkcs8Key = new Uint8Array(this._pkcs8AlgId.length + k.length);
    pkcs8Key.set(this._pkcs8AlgId, 0);
    pkcs8Key.set(k, this._pkcs8AlgId.length);
    return await this._api.importKey("pkcs8", pkcs8Key, this._alg, true, KEM_USAGES);
  }
};

// node_modules/@hpke/core/esm/src/kems/dhkemX25519.js
var DhkemX25519HkdfSha256 = class extends Dhkem {
  constructor() {
    const kdf = new HkdfSha256Native();
    super(KemId.DhkemX25519HkdfSha256, new X25519(kdf), kdf);
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: KemId.DhkemX25519HkdfSha256
    });
    Object.defineProperty(this, "secretSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "encSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "publicKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "privateKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
  }
};

// node_modules/@hpke/core/esm/src/kems/dhkemPrimitives/x448.js
var PKCS8_ALG_ID_X448 = new Uint8Array([
  48,
  70,
  2,
  1,
  0,
  48,
  5,
  6,
  3,
  43,
  101,
  111,
  4,
  58,
  4,
  56
]);

// node_modules/mlkem/esm/src/errors.js
var MlKemError = class extends Error {
  constructor(e) {
    let message;
    if (e instanceof Error) {
      message = e.message;
    } else if (typeof e === "string") {
      message = e;
    } else {
      message = "";
    }
    super(message);
    this.name = this.constructor.name;
  }
};

// node_modules/mlkem/esm/src/consts.js
var N = 256;
var Q = 3329;
var Q_INV = 62209;
var NTT_ZETAS = [
  2285,
  2571,
  2970,
  1812,
  1493,
  1422,
  287,
  202,
  3158,
  622,
  1577,
  182,
  962,
  2127,
  1855,
  1468,
  573,
  2004,
  264,
  383,
  2500,
  1458,
  1727,
  3199,
  2648,
  1017,
  732,
  608,
  1787,
  411,
  3124,
  1758,
  1223,
  652,
  2777,
  1015,
  2036,
  1491,
  3047,
  1785,
  516,
  3321,
  3009,
  2663,
  1711,
  2167,
  126,
  1469,
  2476,
  3239,
  3058,
  830,
  107,
  1908,
  3082,
  2378,
  2931,
  961,
  1821,
  2604,
  448,
  2264,
  677,
  2054,
  2226,
  430,
  555,
  843,
  2078,
  871,
  1550,
  105,
  422,
  587,
  177,
  3094,
  3038,
  2869,
  1574,
  1653,
  3083,
  778,
  1159,
  3182,
  2552,
  1483,
  2727,
  1119,
  1739,
  644,
  2457,
  349,
  418,
  329,
  3173,
  3254,
  817,
  1097,
  603,
  610,
  1322,
  2044,
  1864,
  384,
  2114,
  3193,
  1218,
  1994,
  2455,
  220,
  2142,
  1670,
  2144,
  1799,
  2051,
  794,
  1819,
  2475,
  2459,
  478,
  3221,
  3021,
  996,
  991,
  958,
  1869,
  1522,
  1628
];
var NTT_ZETAS_INV = [
  1701,
  1807,
  1460,
  2371,
  2338,
  2333,
  308,
  108,
  2851,
  870,
  854,
  1510,
  2535,
  1278,
  1530,
  1185,
  1659,
  1187,
  3109,
  874,
  1335,
  2111,
  136,
  1215,
  2945,
  1465,
  1285,
  2007,
  2719,
  2726,
  2232,
  2512,
  75,
  156,
  3e3,
  2911,
  2980,
  872,
  2685,
  1590,
  2210,
  602,
  1846,
  777,
  147,
  2170,
  2551,
  246,
  1676,
  1755,
  460,
  291,
  235,
  3152,
  2742,
  2907,
  3224,
  1779,
  2458,
  1251,
  2486,
  2774,
  2899,
  1103,
  1275,
  2652,
  1065,
  2881,
  725,
  1508,
  2368,
  398,
  951,
  247,
  1421,
  3222,
  2499,
  271,
  90,
  853,
  1860,
  3203,
  1162,
  1618,
  666,
  320,
  8,
  2813,
  1544,
  282,
  1838,
  1293,
  2314,
  552,
  2677,
  2106,
  1571,
  205,
  2918,
  1542,
  2721,
  2597,
  2312,
  681,
  130,
  1602,
  1871,
  829,
  2946,
  3065,
  1325,
  2756,
  1861,
  1474,
  1202,
  2367,
  3147,
  1752,
  2707,
  171,
  3127,
  3042,
  1907,
  1836,
  1517,
  359,
  758,
  1441
];

// node_modules/mlkem/esm/src/sha3/_u64.js
var U32_MASK642 = 0xffffffffn;
var _32n2 = 32n;
function fromBig2(n, le = false) {
  if (le) {
    return { h: Number(n & U32_MASK642), l: Number(n >> _32n2 & U32_MASK642) };
  }
  return {
    h: Number(n >> _32n2 & U32_MASK642) | 0,
    l: Number(n & U32_MASK642) | 0
  };
}
function split2(lst, le = false) {
  const len = lst.length;
  const Ah = new Uint32Array(len);
  const Al = new Uint32Array(len);
  for (let i = 0; i < len; i++) {
    const { h, l } = fromBig2(lst[i], le);
    [Ah[i], Al[i]] = [h, l];
  }
  return [Ah, Al];
}
var rotlSH2 = (h, l, s) => h << s | l >>> 32 - s;
var rotlSL2 = (h, l, s) => l << s | h >>> 32 - s;
var rotlBH2 = (h, l, s) => l << s - 32 | h >>> 64 - s;
var rotlBL2 = (h, l, s) => h << s - 32 | l >>> 64 - s;

// node_modules/mlkem/esm/src/sha3/utils.js
function isBytes2(a) {
  return a instanceof Uint8Array || ArrayBuffer.isView(a) && a.constructor.name === "Uint8Array";
}
function anumber2(n, title = "") {
  if (!Number.isSafeInteger(n) || n < 0) {
    const prefix = title && `"${title}" `;
    throw new Error(`${prefix}expected integer >0, got ${n}`);
  }
}
function abytes2(value, length, title = "") {
  const bytes = isBytes2(value);
  const len = value?.length;
  const needsLen = length !== void 0;
  if (!bytes || needsLen && len !== length) {
    const prefix = title && `"${title}" `;
    const ofLen = needsLen ? ` of length ${length}` : "";
    const got = bytes ? `length=${len}` : `type=${typeof value}`;
    throw new Error(prefix + "expected Uint8Array" + ofLen + ", got " + got);
  }
  return value;
}
function aexists2(instance, checkFinished = true) {
  if (instance.destroyed)
    throw new Error("Hash instance has been destroyed");
  if (checkFinished && instance.finished) {
    throw new Error("Hash#digest() has already been called");
  }
}
function aoutput2(out, instance) {
  abytes2(out, void 0, "digestInto() output");
  const min = instance.outputLen;
  if (out.length < min) {
    throw new Error('"digestInto() output" expected to be of length >=' + min);
  }
}
function u322(arr) {
  return new Uint32Array(arr.buffer, arr.byteOffset, Math.floor(arr.byteLength / 4));
}
function clean2(...arrays) {
  for (let i = 0; i < arrays.length; i++) {
    arrays[i].fill(0);
  }
}
var isLE2 = /* @__PURE__ */ (() => new Uint8Array(new Uint32Array([287454020]).buffer)[0] === 68)();
function byteSwap(word) {
  return word << 24 & 4278190080 | word << 8 & 16711680 | word >>> 8 & 65280 | word >>> 24 & 255;
}
function byteSwap32(arr) {
  for (let i = 0; i < arr.length; i++) {
    arr[i] = byteSwap(arr[i]);
  }
  return arr;
}
var swap32IfBE2 = isLE2 ? (u) => u : byteSwap32;
function createHasher2(hashCons, info = {}) {
  const hashC = (msg, opts) => hashCons(opts).update(msg).digest();
  const tmp = hashCons(void 0);
  hashC.outputLen = tmp.outputLen;
  hashC.blockLen = tmp.blockLen;
  hashC.create = (opts) => hashCons(opts);
  Object.assign(hashC, info);
  return Object.freeze(hashC);
}
var oidNist2 = (suffix) => ({
  oid: Uint8Array.from([
    6,
    9,
    96,
    134,
    72,
    1,
    101,
    3,
    4,
    2,
    suffix
  ])
});

// node_modules/mlkem/esm/src/sha3/sha3.js
var _0n2 = 0n;
var _1n2 = 1n;
var _2n2 = 2n;
var _7n2 = 7n;
var _256n2 = 256n;
var _0x71n2 = 0x71n;
var SHA3_PI2 = [];
var SHA3_ROTL2 = [];
var _SHA3_IOTA2 = [];
for (let round = 0, R = _1n2, x = 1, y = 0; round < 24; round++) {
  [x, y] = [y, (2 * x + 3 * y) % 5];
  SHA3_PI2.push(2 * (5 * y + x));
  SHA3_ROTL2.push((round + 1) * (round + 2) / 2 % 64);
  let t = _0n2;
  for (let j = 0; j < 7; j++) {
    R = (R << _1n2 ^ (R >> _7n2) * _0x71n2) % _256n2;
    if (R & _2n2)
      t ^= _1n2 << (_1n2 << BigInt(j)) - _1n2;
  }
  _SHA3_IOTA2.push(t);
}
var IOTAS2 = split2(_SHA3_IOTA2, true);
var SHA3_IOTA_H2 = IOTAS2[0];
var SHA3_IOTA_L2 = IOTAS2[1];
var rotlH = (h, l, s) => s > 32 ? rotlBH2(h, l, s) : rotlSH2(h, l, s);
var rotlL = (h, l, s) => s > 32 ? rotlBL2(h, l, s) : rotlSL2(h, l, s);
function keccakP(s, rounds = 24, B) {
  if (!B)
    B = new Uint32Array(10);
  for (let round = 24 - rounds; round < 24; round++) {
    for (let x = 0; x < 10; x++) {
      B[x] = s[x] ^ s[x + 10] ^ s[x + 20] ^ s[x + 30] ^ s[x + 40];
    }
    {
      const Th2 = rotlH(B[2], B[3], 1) ^ B[8];
      const Tl2 = rotlL(B[2], B[3], 1) ^ B[9];
      s[0] ^= Th2;
      s[1] ^= Tl2;
      s[10] ^= Th2;
      s[11] ^= Tl2;
      s[20] ^= Th2;
      s[21] ^= Tl2;
      s[30] ^= Th2;
      s[31] ^= Tl2;
      s[40] ^= Th2;
      s[41] ^= Tl2;
    }
    {
      const Th2 = rotlH(B[4], B[5], 1) ^ B[0];
      const Tl2 = rotlL(B[4], B[5], 1) ^ B[1];
      s[2] ^= Th2;
      s[3] ^= Tl2;
      s[12] ^= Th2;
      s[13] ^= Tl2;
      s[22] ^= Th2;
      s[23] ^= Tl2;
      s[32] ^= Th2;
      s[33] ^= Tl2;
      s[42] ^= Th2;
      s[43] ^= Tl2;
    }
    {
      const Th2 = rotlH(B[6], B[7], 1) ^ B[2];
      const Tl2 = rotlL(B[6], B[7], 1) ^ B[3];
      s[4] ^= Th2;
      s[5] ^= Tl2;
      s[14] ^= Th2;
      s[15] ^= Tl2;
      s[24] ^= Th2;
      s[25] ^= Tl2;
      s[34] ^= Th2;
      s[35] ^= Tl2;
      s[44] ^= Th2;
      s[45] ^= Tl2;
    }
    {
      const Th2 = rotlH(B[8], B[9], 1) ^ B[4];
      const Tl2 = rotlL(B[8], B[9], 1) ^ B[5];
      s[6] ^= Th2;
      s[7] ^= Tl2;
      s[16] ^= Th2;
      s[17] ^= Tl2;
      s[26] ^= Th2;
      s[27] ^= Tl2;
      s[36] ^= Th2;
      s[37] ^= Tl2;
      s[46] ^= Th2;
      s[47] ^= Tl2;
    }
    {
      const Th2 = rotlH(B[0], B[1], 1) ^ B[6];
      const Tl2 = rotlL(B[0], B[1], 1) ^ B[7];
      s[8] ^= Th2;
      s[9] ^= Tl2;
      s[18] ^= Th2;
      s[19] ^= Tl2;
      s[28] ^= Th2;
      s[29] ^= Tl2;
      s[38] ^= Th2;
      s[39] ^= Tl2;
      s[48] ^= Th2;
      s[49] ^= Tl2;
    }
    let curH = s[2];
    let curL = s[3];
    let Th, Tl;
    Th = rotlSH2(curH, curL, 1);
    Tl = rotlSL2(curH, curL, 1);
    curH = s[20];
    curL = s[21];
    s[20] = Th;
    s[21] = Tl;
    Th = rotlSH2(curH, curL, 3);
    Tl = rotlSL2(curH, curL, 3);
    curH = s[14];
    curL = s[15];
    s[14] = Th;
    s[15] = Tl;
    Th = rotlSH2(curH, curL, 6);
    Tl = rotlSL2(curH, curL, 6);
    curH = s[22];
    curL = s[23];
    s[22] = Th;
    s[23] = Tl;
    Th = rotlSH2(curH, curL, 10);
    Tl = rotlSL2(curH, curL, 10);
    curH = s[34];
    curL = s[35];
    s[34] = Th;
    s[35] = Tl;
    Th = rotlSH2(curH, curL, 15);
    Tl = rotlSL2(curH, curL, 15);
    curH = s[36];
    curL = s[37];
    s[36] = Th;
    s[37] = Tl;
    Th = rotlSH2(curH, curL, 21);
    Tl = rotlSL2(curH, curL, 21);
    curH = s[6];
    curL = s[7];
    s[6] = Th;
    s[7] = Tl;
    Th = rotlSH2(curH, curL, 28);
    Tl = rotlSL2(curH, curL, 28);
    curH = s[10];
    curL = s[11];
    s[10] = Th;
    s[11] = Tl;
    Th = rotlBH2(curH, curL, 36);
    Tl = rotlBL2(curH, curL, 36);
    curH = s[32];
    curL = s[33];
    s[32] = Th;
    s[33] = Tl;
    Th = rotlBH2(curH, curL, 45);
    Tl = rotlBL2(curH, curL, 45);
    curH = s[16];
    curL = s[17];
    s[16] = Th;
    s[17] = Tl;
    Th = rotlBH2(curH, curL, 55);
    Tl = rotlBL2(curH, curL, 55);
    curH = s[42];
    curL = s[43];
    s[42] = Th;
    s[43] = Tl;
    Th = rotlSH2(curH, curL, 2);
    Tl = rotlSL2(curH, curL, 2);
    curH = s[48];
    curL = s[49];
    s[48] = Th;
    s[49] = Tl;
    Th = rotlSH2(curH, curL, 14);
    Tl = rotlSL2(curH, curL, 14);
    curH = s[8];
    curL = s[9];
    s[8] = Th;
    s[9] = Tl;
    Th = rotlSH2(curH, curL, 27);
    Tl = rotlSL2(curH, curL, 27);
    curH = s[30];
    curL = s[31];
    s[30] = Th;
    s[31] = Tl;
    Th = rotlBH2(curH, curL, 41);
    Tl = rotlBL2(curH, curL, 41);
    curH = s[46];
    curL = s[47];
    s[46] = Th;
    s[47] = Tl;
    Th = rotlBH2(curH, curL, 56);
    Tl = rotlBL2(curH, curL, 56);
    curH = s[38];
    curL = s[39];
    s[38] = Th;
    s[39] = Tl;
    Th = rotlSH2(curH, curL, 8);
    Tl = rotlSL2(curH, curL, 8);
    curH = s[26];
    curL = s[27];
    s[26] = Th;
    s[27] = Tl;
    Th = rotlSH2(curH, curL, 25);
    Tl = rotlSL2(curH, curL, 25);
    curH = s[24];
    curL = s[25];
    s[24] = Th;
    s[25] = Tl;
    Th = rotlBH2(curH, curL, 43);
    Tl = rotlBL2(curH, curL, 43);
    curH = s[4];
    curL = s[5];
    s[4] = Th;
    s[5] = Tl;
    Th = rotlBH2(curH, curL, 62);
    Tl = rotlBL2(curH, curL, 62);
    curH = s[40];
    curL = s[41];
    s[40] = Th;
    s[41] = Tl;
    Th = rotlSH2(curH, curL, 18);
    Tl = rotlSL2(curH, curL, 18);
    curH = s[28];
    curL = s[29];
    s[28] = Th;
    s[29] = Tl;
    Th = rotlBH2(curH, curL, 39);
    Tl = rotlBL2(curH, curL, 39);
    curH = s[44];
    curL = s[45];
    s[44] = Th;
    s[45] = Tl;
    Th = rotlBH2(curH, curL, 61);
    Tl = rotlBL2(curH, curL, 61);
    curH = s[18];
    curL = s[19];
    s[18] = Th;
    s[19] = Tl;
    Th = rotlSH2(curH, curL, 20);
    Tl = rotlSL2(curH, curL, 20);
    curH = s[12];
    curL = s[13];
    s[12] = Th;
    s[13] = Tl;
    Th = rotlBH2(curH, curL, 44);
    Tl = rotlBL2(curH, curL, 44);
    s[2] = Th;
    s[3] = Tl;
    for (let y = 0; y < 50; y += 10) {
      B[0] = s[y];
      B[1] = s[y + 1];
      B[2] = s[y + 2];
      B[3] = s[y + 3];
      B[4] = s[y + 4];
      B[5] = s[y + 5];
      B[6] = s[y + 6];
      B[7] = s[y + 7];
      B[8] = s[y + 8];
      B[9] = s[y + 9];
      s[y + 0] ^= ~B[2] & B[4];
      s[y + 1] ^= ~B[3] & B[5];
      s[y + 2] ^= ~B[4] & B[6];
      s[y + 3] ^= ~B[5] & B[7];
      s[y + 4] ^= ~B[6] & B[8];
      s[y + 5] ^= ~B[7] & B[9];
      s[y + 6] ^= ~B[8] & B[0];
      s[y + 7] ^= ~B[9] & B[1];
      s[y + 8] ^= ~B[0] & B[2];
      s[y + 9] ^= ~B[1] & B[3];
    }
    s[0] ^= SHA3_IOTA_H2[round];
    s[1] ^= SHA3_IOTA_L2[round];
  }
}
var Keccak = class _Keccak {
  // NOTE: we accept arguments in bytes instead of bits here.
  constructor(blockLen, suffix, outputLen, enableXOF = false, rounds = 24) {
    Object.defineProperty(this, "state", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "pos", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "posOut", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "finished", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "state32", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "destroyed", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "_B", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint32Array(10)
    });
    Object.defineProperty(this, "blockLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "suffix", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "outputLen", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "enableXOF", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "rounds", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this.blockLen = blockLen;
    this.suffix = suffix;
    this.outputLen = outputLen;
    this.enableXOF = enableXOF;
    this.rounds = rounds;
    anumber2(outputLen, "outputLen");
    if (!(0 < blockLen && blockLen < 200)) {
      throw new Error("only keccak-f1600 function is supported");
    }
    this.state = new Uint8Array(200);
    this.state32 = u322(this.state);
  }
  clone() {
    return this._cloneInto();
  }
  /** Resets instance to initial (empty) state for reuse. */
  reset() {
    this.state.fill(0);
    this.pos = 0;
    this.posOut = 0;
    this.finished = false;
    this.destroyed = false;
  }
  keccak() {
    swap32IfBE2(this.state32);
    keccakP(this.state32, this.rounds, this._B);
    swap32IfBE2(this.state32);
    this.posOut = 0;
    this.pos = 0;
  }
  update(data) {
    aexists2(this);
    abytes2(data);
    return this.updateUnsafe(data);
  }
  /** Like update(), but skips validation. Caller must ensure valid state and input. */
  updateUnsafe(data) {
    const { blockLen, state } = this;
    const len = data.length;
    for (let pos = 0; pos < len; ) {
      const take = Math.min(blockLen - this.pos, len - pos);
      for (let i = 0; i < take; i++)
        state[this.pos++] ^= data[pos++];
      if (this.pos === blockLen)
        this.keccak();
    }
    return this;
  }
  finish() {
    if (this.finished)
      return;
    this.finished = true;
    const { state, suffix, pos, blockLen } = this;
    state[pos] ^= suffix;
    if ((suffix & 128) !== 0 && pos === blockLen - 1)
      this.keccak();
    state[blockLen - 1] ^= 128;
    this.keccak();
  }
  writeInto(out) {
    aexists2(this, false);
    abytes2(out);
    return this.writeIntoUnsafe(out);
  }
  /** Like writeInto(), but skips validation. Caller must ensure valid state and output. */
  writeIntoUnsafe(out) {
    this.finish();
    const bufferOut = this.state;
    const { blockLen } = this;
    for (let pos = 0, len = out.length; pos < len; ) {
      if (this.posOut >= blockLen)
        this.keccak();
      const take = Math.min(blockLen - this.posOut, len - pos);
      out.set(bufferOut.subarray(this.posOut, this.posOut + take), pos);
      this.posOut += take;
      pos += take;
    }
    return out;
  }
  xofInto(out) {
    if (!this.enableXOF) {
      throw new Error("XOF is not possible for this instance");
    }
    return this.writeInto(out);
  }
  xof(bytes) {
    anumber2(bytes);
    return this.xofInto(new Uint8Array(bytes));
  }
  digestInto(out) {
    aoutput2(out, this);
    if (this.finished)
      throw new Error("digest() was already called");
    this.writeInto(out);
    this.destroy();
    return out;
  }
  digest() {
    return this.digestInto(new Uint8Array(this.outputLen));
  }
  destroy() {
    this.destroyed = true;
    clean2(this.state);
  }
  _cloneInto(to) {
    const { blockLen, suffix, outputLen, rounds, enableXOF } = this;
    to ||= new _Keccak(blockLen, suffix, outputLen, enableXOF, rounds);
    to.state32.set(this.state32);
    to.pos = this.pos;
    to.posOut = this.posOut;
    to.finished = this.finished;
    to.rounds = rounds;
    to.suffix = suffix;
    to.outputLen = outputLen;
    to.enableXOF = enableXOF;
    to.destroyed = this.destroyed;
    return to;
  }
};
var genKeccak = (suffix, blockLen, outputLen, info = {}) => createHasher2(() => new Keccak(blockLen, suffix, outputLen), info);
var sha3_2562 = /* @__PURE__ */ genKeccak(
  6,
  136,
  32,
  /* @__PURE__ */ oidNist2(8)
);
var genShake = (suffix, blockLen, outputLen, info = {}) => createHasher2((opts = {}) => new Keccak(blockLen, suffix, opts.dkLen === void 0 ? outputLen : opts.dkLen, true), info);
var shake2562 = /* @__PURE__ */ genShake(31, 136, 32, /* @__PURE__ */ oidNist2(12));

// node_modules/mlkem/esm/_dnt.shims.js
var dntGlobals2 = {};
var dntGlobalThis2 = createMergeProxy2(globalThis, dntGlobals2);
function createMergeProxy2(baseObj, extObj) {
  return new Proxy(baseObj, {
    get(_target, prop, _receiver) {
      if (prop in extObj) {
        return extObj[prop];
      } else {
        return baseObj[prop];
      }
    },
    set(_target, prop, value) {
      if (prop in extObj) {
        delete extObj[prop];
      }
      baseObj[prop] = value;
      return true;
    },
    deleteProperty(_target, prop) {
      let success = false;
      if (prop in extObj) {
        delete extObj[prop];
        success = true;
      }
      if (prop in baseObj) {
        delete baseObj[prop];
        success = true;
      }
      return success;
    },
    ownKeys(_target) {
      const baseKeys = Reflect.ownKeys(baseObj);
      const extKeys = Reflect.ownKeys(extObj);
      const extKeysSet = new Set(extKeys);
      return [...baseKeys.filter((k) => !extKeysSet.has(k)), ...extKeys];
    },
    defineProperty(_target, prop, desc) {
      if (prop in extObj) {
        delete extObj[prop];
      }
      Reflect.defineProperty(baseObj, prop, desc);
      return true;
    },
    getOwnPropertyDescriptor(_target, prop) {
      if (prop in extObj) {
        return Reflect.getOwnPropertyDescriptor(extObj, prop);
      } else {
        return Reflect.getOwnPropertyDescriptor(baseObj, prop);
      }
    },
    has(_target, prop) {
      return prop in extObj || prop in baseObj;
    }
  });
}

// node_modules/mlkem/esm/src/utils.js
function byte(n) {
  return n & 255;
}
function int16(n) {
  return n << 16 >> 16;
}
function uint16(n) {
  return n & 65535;
}
function constantTimeCompare(x, y) {
  if (x.length != y.length) {
    return 0;
  }
  let v = 0;
  for (let i = 0; i < x.length; i++) {
    v |= x[i] ^ y[i];
  }
  let z = ~v & 255;
  z &= z >> 4;
  z &= z >> 2;
  z &= z >> 1;
  return z & 1;
}
function equalUint8Array(x, y) {
  if (x.length != y.length) {
    return false;
  }
  for (let i = 0; i < x.length; i++) {
    if (x[i] !== y[i]) {
      return false;
    }
  }
  return true;
}
async function loadCrypto2() {
  if (typeof dntGlobalThis2 !== "undefined" && globalThis.crypto !== void 0) {
    return globalThis.crypto;
  }
  try {
    const { webcrypto: webcrypto2 } = await Promise.resolve().then(() => (init_nocrypto(), nocrypto_exports));
    return webcrypto2;
  } catch (_e) {
    throw new Error("failed to load Crypto");
  }
}
function byteopsLoad32(x, o = 0) {
  return (x[o] | x[o + 1] << 8 | x[o + 2] << 16 | x[o + 3] << 24) >>> 0;
}

// node_modules/mlkem/esm/src/mlKemBase.js
var MlKemBase = class {
  /**
   * Creates a new instance of the MlKemBase class.
   */
  constructor() {
    Object.defineProperty(this, "_api", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_k", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_du", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_dv", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_eta1", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_eta2", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_skSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_pkSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_compressedUSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_compressedVSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 0
    });
    Object.defineProperty(this, "_poolG", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_poolH", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_poolKdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_poolXof", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_poolPrf1", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_poolPrf2", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_bufG", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(64)
    });
    Object.defineProperty(this, "_bufH", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(32)
    });
    Object.defineProperty(this, "_bufKdf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(32)
    });
    Object.defineProperty(this, "_bufXof", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(672)
    });
    Object.defineProperty(this, "_bufPrf1", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_bufPrf2", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_nonceBuf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(1)
    });
    Object.defineProperty(this, "_xofSeed", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: new Uint8Array(34)
    });
    Object.defineProperty(this, "_kBuf", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_matrixA", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_noiseVecs", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_polyVec", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_bufPkCheck", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_bufCt", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
  }
  _initPool() {
    this._poolG = new Keccak(72, 6, 64);
    this._poolH = new Keccak(136, 6, 32);
    this._poolKdf = new Keccak(136, 31, 32, true);
    this._poolXof = new Keccak(168, 31, 672, true);
    const prf1Len = this._eta1 * N / 4;
    this._poolPrf1 = new Keccak(136, 31, prf1Len, true);
    this._bufPrf1 = new Uint8Array(prf1Len);
    const prf2Len = this._eta2 * N / 4;
    this._poolPrf2 = new Keccak(136, 31, prf2Len, true);
    this._bufPrf2 = new Uint8Array(prf2Len);
    this._kBuf = new Uint8Array([this._k]);
    this._matrixA = new Array(this._k);
    for (let i = 0; i < this._k; i++) {
      this._matrixA[i] = new Array(this._k);
      for (let j = 0; j < this._k; j++) {
        this._matrixA[i][j] = new Int16Array(N);
      }
    }
    const maxNoise = 2 * this._k + 1;
    this._noiseVecs = new Array(maxNoise);
    for (let i = 0; i < maxNoise; i++) {
      this._noiseVecs[i] = new Int16Array(N);
    }
    this._polyVec = new Array(this._k);
    for (let i = 0; i < this._k; i++) {
      this._polyVec[i] = new Int16Array(N);
    }
    this._bufPkCheck = new Uint8Array(384 * this._k);
    this._bufCt = new Uint8Array(this._compressedUSize + this._compressedVSize);
  }
  _zeroPool() {
    this._bufG.fill(0);
    this._bufH.fill(0);
    this._bufKdf.fill(0);
    this._bufXof.fill(0);
    this._bufPrf1.fill(0);
    this._bufPrf2.fill(0);
    this._nonceBuf[0] = 0;
    this._xofSeed.fill(0);
    for (let i = 0; i < this._k; i++) {
      for (let j = 0; j < this._k; j++) {
        this._matrixA[i][j].fill(0);
      }
    }
    for (let i = 0; i < this._noiseVecs.length; i++) {
      this._noiseVecs[i].fill(0);
    }
    for (let i = 0; i < this._k; i++) {
      this._polyVec[i].fill(0);
    }
    this._bufPkCheck.fill(0);
    this._bufCt.fill(0);
    this._poolG.reset();
    this._poolH.reset();
    this._poolKdf.reset();
    this._poolXof.reset();
    this._poolPrf1.reset();
    this._poolPrf2.reset();
  }
  // Serialize polynomial into byte buffer at offset (eliminates intermediate Uint8Array(384))
  _polyToBytes(out, outOffset, a) {
    let t0, t1;
    for (let i = 0; i < N / 2; i++) {
      t0 = a[2 * i] - Q;
      t0 += t0 >> 31 & Q;
      t1 = a[2 * i + 1] - Q;
      t1 += t1 >> 31 & Q;
      out[outOffset + 3 * i + 0] = byte(t0);
      out[outOffset + 3 * i + 1] = byte(t0 >> 8) | byte(t1 << 4);
      out[outOffset + 3 * i + 2] = byte(t1 >> 4);
    }
  }
  // Deserialize bytes into polynomial (eliminates intermediate Int16Array(N))
  _polyFromBytes(out, a, aOffset) {
    for (let i = 0; i < N / 2; i++) {
      out[2 * i] = int16((uint16(a[aOffset + 3 * i + 0]) >> 0 | uint16(a[aOffset + 3 * i + 1]) << 8) & 4095);
      out[2 * i + 1] = int16((uint16(a[aOffset + 3 * i + 1]) >> 4 | uint16(a[aOffset + 3 * i + 2]) << 4) & 4095);
    }
  }
  // Hash G: SHA3-512
  _g(a, b) {
    this._poolG.reset();
    this._poolG.updateUnsafe(a);
    if (b !== void 0)
      this._poolG.updateUnsafe(b);
    this._poolG.writeIntoUnsafe(this._bufG);
    return [this._bufG.subarray(0, 32), this._bufG.subarray(32, 64)];
  }
  // Hash H: SHA3-256
  _h(msg) {
    this._poolH.reset();
    this._poolH.updateUnsafe(msg).writeIntoUnsafe(this._bufH);
    return this._bufH;
  }
  // KDF: SHAKE256(dkLen=32)
  _kdf(a, b) {
    this._poolKdf.reset();
    this._poolKdf.updateUnsafe(a);
    if (b !== void 0)
      this._poolKdf.updateUnsafe(b);
    this._poolKdf.writeIntoUnsafe(this._bufKdf);
    return this._bufKdf;
  }
  // XOF: SHAKE128(dkLen=672)
  _xof(seed) {
    this._poolXof.reset();
    this._poolXof.updateUnsafe(seed).writeIntoUnsafe(this._bufXof);
    return this._bufXof;
  }
  // PRF for eta1 noise sampling: SHAKE256(dkLen=eta1*N/4)
  _prf1(sigma, nonce) {
    this._nonceBuf[0] = nonce;
    this._poolPrf1.reset();
    this._poolPrf1.updateUnsafe(sigma).updateUnsafe(this._nonceBuf).writeIntoUnsafe(this._bufPrf1);
    return this._bufPrf1;
  }
  // PRF for eta2 noise sampling: SHAKE256(dkLen=eta2*N/4)
  _prf2(sigma, nonce) {
    this._nonceBuf[0] = nonce;
    this._poolPrf2.reset();
    this._poolPrf2.updateUnsafe(sigma).updateUnsafe(this._nonceBuf).writeIntoUnsafe(this._bufPrf2);
    return this._bufPrf2;
  }
  _generateKeyPairCore() {
    try {
      const rnd = new Uint8Array(64);
      this._api.getRandomValues(rnd);
      return this._deriveKeyPair(rnd);
    } finally {
      this._zeroPool();
    }
  }
  _deriveKeyPairCore(seed) {
    try {
      if (seed.byteLength !== 64) {
        throw new Error("seed must be 64 bytes in length");
      }
      return this._deriveKeyPair(seed);
    } finally {
      this._zeroPool();
    }
  }
  _encapCore(pk, seed) {
    try {
      if (pk.length !== 384 * this._k + 32) {
        throw new Error("invalid encapsulation key");
      }
      const m = this._getSeed(seed);
      const [k, r] = this._g(m, this._h(pk));
      this._encap(pk, m, r);
      return [this._bufCt.slice(), k.slice()];
    } finally {
      this._zeroPool();
    }
  }
  _decapCore(ct, sk) {
    try {
      if (ct.byteLength !== this._compressedUSize + this._compressedVSize) {
        throw new Error("Invalid ct size");
      }
      if (sk.length !== 768 * this._k + 96) {
        throw new Error("Invalid decapsulation key");
      }
      const sk2 = sk.subarray(0, this._skSize);
      const pk = sk.subarray(this._skSize, this._skSize + this._pkSize);
      const hpk = sk.subarray(this._skSize + this._pkSize, this._skSize + this._pkSize + 32);
      const z = sk.subarray(this._skSize + this._pkSize + 32, this._skSize + this._pkSize + 64);
      const m2 = this._decap(ct, sk2);
      const [k2, r2] = this._g(m2, hpk);
      const kBar = this._kdf(z, ct);
      this._encap(pk, m2, r2);
      return constantTimeCompare(ct, this._bufCt) === 1 ? k2.slice() : kBar.slice();
    } finally {
      this._zeroPool();
    }
  }
  /**
   * Sets up the MlKemBase instance by loading the necessary crypto library.
   * If the crypto library is already loaded, this method does nothing.
   * @returns {Promise<void>} A promise that resolves when the setup is complete.
   */
  async _setup() {
    if (this._api !== void 0) {
      return;
    }
    this._api = await loadCrypto2();
  }
  /**
   * Returns a Uint8Array seed for cryptographic operations.
   * If no seed is provided, a random seed of length 32 bytes is generated.
   * If a seed is provided, it must be exactly 32 bytes in length.
   *
   * @param seed - Optional seed for cryptographic operations.
   * @returns A Uint8Array seed.
   * @throws Error if the provided seed is not 32 bytes in length.
   */
  _getSeed(seed) {
    if (seed == void 0) {
      const s = new Uint8Array(32);
      this._api.getRandomValues(s);
      return s;
    }
    if (seed.byteLength !== 32) {
      throw new Error("seed must be 32 bytes in length");
    }
    return seed;
  }
  /**
   * Derives a key pair from a given seed.
   *
   * @param seed - The seed used for key derivation.
   * @returns An array containing the public key and secret key.
   */
  _deriveKeyPair(seed) {
    const cpaSeed = seed.subarray(0, 32);
    const z = seed.subarray(32, 64);
    const [pk, skBody] = this._deriveCpaKeyPair(cpaSeed);
    const pkh = this._h(pk);
    const sk = new Uint8Array(this._skSize + this._pkSize + 64);
    sk.set(skBody, 0);
    sk.set(pk, this._skSize);
    sk.set(pkh, this._skSize + this._pkSize);
    sk.set(z, this._skSize + this._pkSize + 32);
    return [pk, sk];
  }
  // indcpaKeyGen generates public and private keys for the CPA-secure
  // public-key encryption scheme underlying ML-KEM.
  /**
   * Derives a CPA key pair using the provided CPA seed.
   *
   * @param cpaSeed - The CPA seed used for key derivation.
   * @returns An array containing the public key and private key.
   */
  _deriveCpaKeyPair(cpaSeed) {
    const [publicSeed, noiseSeed] = this._g(cpaSeed, this._kBuf);
    const a = this._sampleMatrix(publicSeed, false);
    const s = this._sampleNoise1(noiseSeed, 0, this._k);
    const e = this._sampleNoise1(noiseSeed, this._k, this._k);
    for (let i = 0; i < this._k; i++) {
      s[i] = ntt(s[i]);
      s[i] = reduce(s[i]);
      e[i] = ntt(e[i]);
    }
    const pk = new Array(this._k);
    for (let i = 0; i < this._k; i++) {
      pk[i] = polyToMont(multiply(a[i], s));
      pk[i] = add2(pk[i], e[i]);
      pk[i] = reduce(pk[i]);
    }
    const pubKey = new Uint8Array(this._pkSize);
    for (let i = 0; i < this._k; i++) {
      this._polyToBytes(pubKey, i * 384, pk[i]);
    }
    pubKey.set(publicSeed, this._skSize);
    const privKey = new Uint8Array(this._skSize);
    for (let i = 0; i < this._k; i++) {
      this._polyToBytes(privKey, i * 384, s[i]);
    }
    return [pubKey, privKey];
  }
  // _encap is the encapsulation function of the CPA-secure
  // public-key encryption scheme underlying ML-KEM.
  /**
   * Encapsulates a message using the ML-KEM encryption scheme.
   *
   * @param pk - The public key.
   * @param msg - The message to be encapsulated.
   * @param seed - The seed used for generating random values.
   * @returns The encapsulated message as a Uint8Array.
   */
  _encap(pk, msg, seed) {
    const tHat = this._polyVec;
    const pkCheck = this._bufPkCheck;
    for (let i = 0; i < this._k; i++) {
      this._polyFromBytes(tHat[i], pk, i * 384);
      this._polyToBytes(pkCheck, i * 384, tHat[i]);
    }
    if (!equalUint8Array(pk.subarray(0, pkCheck.length), pkCheck)) {
      throw new Error("invalid encapsulation key");
    }
    const rho = pk.subarray(this._skSize);
    const a = this._sampleMatrix(rho, true);
    const r = this._sampleNoise1(seed, 0, this._k);
    const e1 = this._sampleNoise2(seed, this._k, this._k);
    const e2 = this._sampleNoise2(seed, this._k * 2, 1)[0];
    for (let i = 0; i < this._k; i++) {
      r[i] = ntt(r[i]);
      r[i] = reduce(r[i]);
    }
    const u = new Array(this._k);
    for (let i = 0; i < this._k; i++) {
      u[i] = multiply(a[i], r);
      u[i] = nttInverse(u[i]);
      u[i] = add2(u[i], e1[i]);
      u[i] = reduce(u[i]);
    }
    const m = polyFromMsg(msg);
    let v = multiply(tHat, r);
    v = nttInverse(v);
    v = add2(v, e2);
    v = add2(v, m);
    v = reduce(v);
    this._compressU(this._bufCt.subarray(0, this._compressedUSize), u);
    this._compressV(this._bufCt.subarray(this._compressedUSize), v);
    return this._bufCt;
  }
  // indcpaDecrypt is the decryption function of the CPA-secure
  // public-key encryption scheme underlying ML-KEM.
  /**
   * Decapsulates the ciphertext using the provided secret key.
   *
   * @param ct - The ciphertext to be decapsulated.
   * @param sk - The secret key used for decapsulation.
   * @returns The decapsulated message as a Uint8Array.
   */
  _decap(ct, sk) {
    const u = this._decompressU(ct.subarray(0, this._compressedUSize));
    const v = this._decompressV(ct.subarray(this._compressedUSize));
    const privateKeyPolyvec = this._polyvecFromBytes(sk);
    for (let i = 0; i < this._k; i++) {
      u[i] = ntt(u[i]);
    }
    let mp = multiply(privateKeyPolyvec, u);
    mp = nttInverse(mp);
    mp = subtract(v, mp);
    mp = reduce(mp);
    return polyToMsg(mp);
  }
  // generateMatrixA deterministically generates a matrix `A` (or the transpose of `A`)
  // from a seed. Entries of the matrix are polynomials that look uniformly random.
  // Performs rejection sampling on the output of an extendable-output function (XOF).
  /**
   * Generates a sample matrix based on the provided seed and transposition flag.
   *
   * @param seed - The seed used for generating the matrix.
   * @param transposed - A flag indicating whether the matrix should be transposed or not.
   * @returns The generated sample matrix.
   */
  _sampleMatrix(seed, transposed) {
    const a = this._matrixA;
    this._xofSeed.set(seed);
    for (let ctr = 0, i = 0; i < this._k; i++) {
      for (let j = 0; j < this._k; j++) {
        if (transposed) {
          this._xofSeed[seed.length] = i;
          this._xofSeed[seed.length + 1] = j;
        } else {
          this._xofSeed[seed.length] = j;
          this._xofSeed[seed.length + 1] = i;
        }
        const output = this._xof(this._xofSeed);
        ctr = indcpaRejUniform(a[i][j], 0, output.subarray(0, 504), 504, N);
        while (ctr < N) {
          const outputn = output.subarray(504, 672);
          ctr += indcpaRejUniform(a[i][j], ctr, outputn, 168, N - ctr);
        }
      }
    }
    return a;
  }
  /**
   * Generates a 2D array of noise samples.
   *
   * @param sigma - The noise parameter.
   * @param offset - The offset value.
   * @param size - The size of the array.
   * @returns The generated 2D array of noise samples.
   */
  _sampleNoise1(sigma, offset, size) {
    const r = new Array(size);
    for (let i = 0; i < size; i++) {
      r[i] = this._noiseVecs[offset + i];
      byteopsCbd(r[i], this._prf1(sigma, offset + i), this._eta1);
    }
    return r;
  }
  /**
   * Generates a 2-dimensional array of noise samples.
   *
   * @param sigma - The noise parameter.
   * @param offset - The offset value.
   * @param size - The size of the array.
   * @returns The generated 2-dimensional array of noise samples.
   */
  _sampleNoise2(sigma, offset, size) {
    const r = new Array(size);
    for (let i = 0; i < size; i++) {
      r[i] = this._noiseVecs[offset + i];
      byteopsCbd(r[i], this._prf2(sigma, offset + i), this._eta2);
    }
    return r;
  }
  // polyvecFromBytes deserializes a vector of polynomials.
  /**
   * Converts a Uint8Array to a 2D array of numbers representing a polynomial vector.
   * Each element in the resulting array represents a polynomial.
   * @param a The Uint8Array to convert.
   * @returns The 2D array of numbers representing the polynomial vector.
   */
  _polyvecFromBytes(a) {
    const r = this._polyVec;
    for (let i = 0; i < this._k; i++) {
      this._polyFromBytes(r[i], a, i * 384);
    }
    return r;
  }
  // compressU lossily compresses and serializes a vector of polynomials.
  /**
   * Compresses the given array of coefficients into a Uint8Array.
   *
   * @param r - The output Uint8Array.
   * @param u - The array of coefficients.
   * @returns The compressed Uint8Array.
   */
  _compressU(r, u) {
    const t = new Array(4);
    for (let rr = 0, i = 0; i < this._k; i++) {
      for (let j = 0; j < N / 4; j++) {
        for (let k = 0; k < 4; k++) {
          t[k] = ((u[i][4 * j + k] << 10) + Q / 2) / Q & 1023;
        }
        r[rr++] = byte(t[0] >> 0);
        r[rr++] = byte(t[0] >> 8 | t[1] << 2);
        r[rr++] = byte(t[1] >> 6 | t[2] << 4);
        r[rr++] = byte(t[2] >> 4 | t[3] << 6);
        r[rr++] = byte(t[3] >> 2);
      }
    }
    return r;
  }
  // compressV lossily compresses and subsequently serializes a polynomial.
  /**
   * Compresses the given array of numbers into a Uint8Array.
   *
   * @param r - The Uint8Array to store the compressed values.
   * @param v - The array of numbers to compress.
   * @returns The compressed Uint8Array.
   */
  _compressV(r, v) {
    const t = new Uint8Array(8);
    for (let rr = 0, i = 0; i < N / 8; i++) {
      for (let j = 0; j < 8; j++) {
        t[j] = byte(((v[8 * i + j] << 4) + Q / 2) / Q) & 15;
      }
      r[rr++] = t[0] | t[1] << 4;
      r[rr++] = t[2] | t[3] << 4;
      r[rr++] = t[4] | t[5] << 4;
      r[rr++] = t[6] | t[7] << 4;
    }
    return r;
  }
  // decompressU de-serializes and decompresses a vector of polynomials and
  // represents the approximate inverse of compress1. Since compression is lossy,
  // the results of decompression will may not match the original vector of polynomials.
  /**
   * Decompresses a Uint8Array into a two-dimensional array of numbers.
   *
   * @param a The Uint8Array to decompress.
   * @returns The decompressed two-dimensional array.
   */
  _decompressU(a) {
    const r = new Array(this._k);
    for (let i = 0; i < this._k; i++) {
      r[i] = new Int16Array(N);
    }
    const t = new Array(4);
    for (let aa = 0, i = 0; i < this._k; i++) {
      for (let j = 0; j < N / 4; j++) {
        t[0] = uint16(a[aa + 0]) >> 0 | uint16(a[aa + 1]) << 8;
        t[1] = uint16(a[aa + 1]) >> 2 | uint16(a[aa + 2]) << 6;
        t[2] = uint16(a[aa + 2]) >> 4 | uint16(a[aa + 3]) << 4;
        t[3] = uint16(a[aa + 3]) >> 6 | uint16(a[aa + 4]) << 2;
        aa = aa + 5;
        for (let k = 0; k < 4; k++) {
          r[i][4 * j + k] = int16((t[k] & 1023) * Q + 512 >> 10);
        }
      }
    }
    return r;
  }
  // decompressV de-serializes and subsequently decompresses a polynomial,
  // representing the approximate inverse of compress2.
  // Note that compression is lossy, and thus decompression will not match the
  // original input.
  /**
   * Decompresses a Uint8Array into an array of numbers.
   *
   * @param a - The Uint8Array to decompress.
   * @returns An array of numbers.
   */
  _decompressV(a) {
    const r = new Int16Array(N);
    for (let aa = 0, i = 0; i < N / 2; i++, aa++) {
      r[2 * i + 0] = int16((a[aa] & 15) * Q + 8 >> 4);
      r[2 * i + 1] = int16((a[aa] >> 4) * Q + 8 >> 4);
    }
    return r;
  }
};
function polyToMsg(a) {
  const msg = new Uint8Array(32);
  let t, v;
  for (let i = 0; i < N / 8; i++) {
    for (let j = 0; j < 8; j++) {
      v = a[8 * i + j] - Q;
      v += v >> 31 & Q;
      t = ((uint16(v) << 1) + uint16(Q / 2)) / uint16(Q) & 1;
      msg[i] |= byte(t << j);
    }
  }
  return msg;
}
function polyFromMsg(msg) {
  const r = new Int16Array(N);
  let mask;
  for (let i = 0; i < N / 8; i++) {
    for (let j = 0; j < 8; j++) {
      mask = -1 * int16(msg[i] >> j & 1);
      r[8 * i + j] = mask & int16((Q + 1) / 2);
    }
  }
  return r;
}
function indcpaRejUniform(out, outOffset, buf, bufl, len) {
  let ctr = 0;
  let val0, val1;
  for (let pos = 0; ctr < len && pos + 3 <= bufl; ) {
    val0 = (uint16(buf[pos] >> 0) | uint16(buf[pos + 1]) << 8) & 4095;
    val1 = (uint16(buf[pos + 1] >> 4) | uint16(buf[pos + 2]) << 4) & 4095;
    pos = pos + 3;
    if (val0 < Q) {
      out[outOffset + ctr] = val0;
      ctr = ctr + 1;
    }
    if (ctr < len && val1 < Q) {
      out[outOffset + ctr] = val1;
      ctr = ctr + 1;
    }
  }
  return ctr;
}
function byteopsCbd(out, buf, eta) {
  let t, d;
  let a, b;
  for (let i = 0; i < N / 8; i++) {
    t = byteopsLoad32(buf, 4 * i);
    d = t & 1431655765;
    d = d + (t >> 1 & 1431655765);
    for (let j = 0; j < 8; j++) {
      a = int16(d >> 4 * j + 0 & 3);
      b = int16(d >> 4 * j + eta & 3);
      out[8 * i + j] = a - b;
    }
  }
}
function ntt(r) {
  for (let j = 0, k = 1, l = 128; l >= 2; l >>= 1) {
    for (let start = 0; start < 256; start = j + l) {
      const zeta = NTT_ZETAS[k];
      k = k + 1;
      for (j = start; j < start + l; j++) {
        const t = nttFqMul(zeta, r[j + l]);
        r[j + l] = r[j] - t;
        r[j] = r[j] + t;
      }
    }
  }
  return r;
}
function nttFqMul(a, b) {
  const ab = a * b;
  const u = Math.imul(ab, Q_INV) << 16 >> 16;
  return ab - u * Q >> 16;
}
function reduce(r) {
  for (let i = 0; i < N; i++) {
    r[i] = barrett(r[i]);
  }
  return r;
}
var BARRETT_V = ((1 << 24) + Q / 2) / Q;
function barrett(a) {
  let t = BARRETT_V * a >> 24;
  t = t * Q;
  return a - t;
}
function polyToMont(r) {
  const f = 1353;
  for (let i = 0; i < N; i++) {
    const a = r[i] * f;
    const u = Math.imul(a, Q_INV) << 16 >> 16;
    r[i] = a - u * Q >> 16;
  }
  return r;
}
function multiply(a, b) {
  let r = polyBaseMulMontgomery(a[0], b[0]);
  let t;
  for (let i = 1; i < a.length; i++) {
    t = polyBaseMulMontgomery(a[i], b[i]);
    r = add2(r, t);
  }
  return reduce(r);
}
function polyBaseMulMontgomery(a, b) {
  for (let i = 0; i < N / 4; i++) {
    const idx = 4 * i;
    const a0 = a[idx], a1 = a[idx + 1], a2 = a[idx + 2], a3 = a[idx + 3];
    const b0 = b[idx], b1 = b[idx + 1], b2 = b[idx + 2], b3 = b[idx + 3];
    const zeta = NTT_ZETAS[64 + i];
    a[idx] = nttFqMul(nttFqMul(a1, b1), zeta) + nttFqMul(a0, b0);
    a[idx + 1] = nttFqMul(a0, b1) + nttFqMul(a1, b0);
    a[idx + 2] = nttFqMul(nttFqMul(a3, b3), -zeta) + nttFqMul(a2, b2);
    a[idx + 3] = nttFqMul(a2, b3) + nttFqMul(a3, b2);
  }
  return a;
}
function add2(a, b) {
  for (let i = 0; i < N; i++) {
    a[i] += b[i];
  }
  return a;
}
function subtract(a, b) {
  for (let i = 0; i < N; i++) {
    a[i] -= b[i];
  }
  return a;
}
function nttInverse(r) {
  let j = 0;
  for (let k = 0, l = 2; l <= 128; l <<= 1) {
    for (let start = 0; start < 256; start = j + l) {
      const zeta = NTT_ZETAS_INV[k];
      k = k + 1;
      for (j = start; j < start + l; j++) {
        const t = r[j];
        r[j] = barrett(t + r[j + l]);
        r[j + l] = t - r[j + l];
        r[j + l] = nttFqMul(zeta, r[j + l]);
      }
    }
  }
  for (j = 0; j < 256; j++) {
    r[j] = nttFqMul(r[j], NTT_ZETAS_INV[127]);
  }
  return r;
}

// node_modules/mlkem/esm/src/mlKem768.js
var MlKem768 = class extends MlKemBase {
  constructor() {
    super();
    Object.defineProperty(this, "_k", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 3
    });
    Object.defineProperty(this, "_du", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 10
    });
    Object.defineProperty(this, "_dv", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 4
    });
    Object.defineProperty(this, "_eta1", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 2
    });
    Object.defineProperty(this, "_eta2", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 2
    });
    this._skSize = 12 * this._k * N / 8;
    this._pkSize = this._skSize + 32;
    this._compressedUSize = this._k * this._du * N / 8;
    this._compressedVSize = this._dv * N / 8;
    this._initPool();
  }
  /**
   * Generates a keypair [publicKey, privateKey].
   *
   * If an error occurred, throws {@link MlKemError}.
   *
   * @returns A kaypair [publicKey, privateKey].
   * @throws {@link MlKemError}
   */
  async generateKeyPair() {
    await this._setup();
    try {
      return this._generateKeyPairCore();
    } catch (e) {
      throw new MlKemError(e);
    }
  }
  /**
   * Derives a keypair [publicKey, privateKey] deterministically from a 64-octet seed.
   *
   * If an error occurred, throws {@link MlKemError}.
   *
   * @param seed A 64-octet seed for the deterministic key generation.
   * @returns A kaypair [publicKey, privateKey].
   * @throws {@link MlKemError}
   */
  async deriveKeyPair(seed) {
    await this._setup();
    try {
      return this._deriveKeyPairCore(seed);
    } catch (e) {
      throw new MlKemError(e);
    }
  }
  /**
   * Generates a shared secret from the encapsulated ciphertext and the private key.
   *
   * If an error occurred, throws {@link MlKemError}.
   *
   * @param pk A public key.
   * @param seed An optional 32-octet seed for the deterministic shared secret generation.
   * @returns A ciphertext (encapsulated public key) and a shared secret.
   * @throws {@link MlKemError}
   */
  async encap(pk, seed) {
    await this._setup();
    try {
      return this._encapCore(pk, seed);
    } catch (e) {
      throw new MlKemError(e);
    }
  }
  /**
   * Generates a ciphertext for the public key and a shared secret.
   *
   * If an error occurred, throws {@link MlKemError}.
   *
   * @param ct A ciphertext generated by {@link encap}.
   * @param sk A private key.
   * @returns A shared secret.
   * @throws {@link MlKemError}
   */
  async decap(ct, sk) {
    await this._setup();
    try {
      return this._decapCore(ct, sk);
    } catch (e) {
      throw new MlKemError(e);
    }
  }
};

// node_modules/@hpke/dhkem-x25519/esm/src/primitives/x25519.js
var _1n3 = 1n;
var _2n3 = 2n;
var _3n = 3n;
var _5n = 5n;
var ed25519_CURVE_p = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffedn;
function ed25519_pow_2_252_3(x) {
  const _10n = 10n;
  const _20n = 20n;
  const _40n = 40n;
  const _80n = 80n;
  const P = ed25519_CURVE_p;
  const x2 = x * x % P;
  const b2 = x2 * x % P;
  const b4 = pow2(b2, _2n3, P) * b2 % P;
  const b5 = pow2(b4, _1n3, P) * x % P;
  const b10 = pow2(b5, _5n, P) * b5 % P;
  const b20 = pow2(b10, _10n, P) * b10 % P;
  const b40 = pow2(b20, _20n, P) * b20 % P;
  const b80 = pow2(b40, _40n, P) * b40 % P;
  const b160 = pow2(b80, _80n, P) * b80 % P;
  const b240 = pow2(b160, _80n, P) * b80 % P;
  const b250 = pow2(b240, _10n, P) * b10 % P;
  const pow_p_5_8 = pow2(b250, _2n3, P) * x % P;
  return { pow_p_5_8, b2 };
}
function adjustScalarBytes(bytes) {
  bytes[0] &= 248;
  bytes[31] &= 127;
  bytes[31] |= 64;
  return bytes;
}
var x25519 = /* @__PURE__ */ (() => {
  const P = ed25519_CURVE_p;
  return montgomery({
    P,
    type: "x25519",
    powPminus2: (x) => {
      const { pow_p_5_8, b2 } = ed25519_pow_2_252_3(x);
      return mod(pow2(pow_p_5_8, _3n, P) * b2, P);
    },
    adjustScalarBytes
  });
})();

// node_modules/@hpke/dhkem-x25519/esm/src/hkdfSha256.js
var HkdfSha2562 = class extends HkdfSha256Native {
  async extract(salt, ikm) {
    await this._setup();
    const saltBuf = salt.byteLength === 0 ? new ArrayBuffer(this.hashSize) : toArrayBuffer(salt);
    const ikmBuf = toArrayBuffer(ikm);
    if (saltBuf.byteLength !== this.hashSize) {
      return hmac(sha2562, new Uint8Array(saltBuf), new Uint8Array(ikmBuf)).buffer;
    }
    const key = await this._api.importKey("raw", saltBuf, this.algHash, false, [
      "sign"
    ]);
    return await this._api.sign("HMAC", key, ikmBuf);
  }
};

// node_modules/@hpke/dhkem-x25519/esm/src/dhkemX25519.js
var X255192 = class extends XCurveDhkemPrimitives {
  constructor(hkdf) {
    super("X25519", 32, x25519, hkdf);
  }
  derive(sk, pk) {
    try {
      return Promise.resolve(this._curve.getSharedSecret(sk, pk));
    } catch (e) {
      return Promise.reject(new SerializeError(e));
    }
  }
};

// node_modules/@hpke/hybridkem-x-wing/esm/src/xWing.js
var ALG_NAME2 = "X-Wing";
var X25519_BASE = new Uint8Array([
  9,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0
]);
var XWING_LABEL = new Uint8Array([92, 46, 47, 47, 94, 92]);
function combiner(ssM, ssX, ctX, pkX) {
  const ret = new Uint8Array(ssM.length + ssX.length + ctX.length + pkX.length + XWING_LABEL.length);
  ret.set(ssM, 0);
  ret.set(ssX, ssM.length);
  ret.set(ctX, ssM.length + ssX.length);
  ret.set(pkX, ssM.length + ssX.length + ctX.length);
  ret.set(XWING_LABEL, ssM.length + ssX.length + ctX.length + pkX.length);
  return sha3_2562.create().update(ret).digest();
}
var XWing = class {
  constructor() {
    Object.defineProperty(this, "id", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: KemId.XWing
    });
    Object.defineProperty(this, "name", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: ALG_NAME2
    });
    Object.defineProperty(this, "secretSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "encSize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 1120
    });
    Object.defineProperty(this, "publicKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 1216
    });
    Object.defineProperty(this, "privateKeySize", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: 32
    });
    Object.defineProperty(this, "auth", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: false
    });
    Object.defineProperty(this, "_m", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_x25519", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    Object.defineProperty(this, "_api", {
      enumerable: true,
      configurable: true,
      writable: true,
      value: void 0
    });
    this._m = new MlKem768();
    this._x25519 = new X255192(new HkdfSha2562());
  }
  async serializePublicKey(key) {
    await this._setup();
    try {
      return await this._serializePublicKey(key);
    } catch (e) {
      throw new SerializeError(e);
    }
  }
  async deserializePublicKey(key) {
    await this._setup();
    try {
      return await this._deserializePublicKey(toArrayBuffer(key));
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  async serializePrivateKey(key) {
    await this._setup();
    try {
      return await this._serializePrivateKey(key);
    } catch (e) {
      throw new SerializeError(e);
    }
  }
  async deserializePrivateKey(key) {
    await this._setup();
    try {
      return await this._deserializePrivateKey(toArrayBuffer(key));
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  /**
   * Generates a new key pair.
   *
   * @returns {Promise<CryptoKeyPair>} A promise that resolves with a new key pair.
   */
  async generateKeyPair() {
    await this._setup();
    const sk = new Uint8Array(32);
    try {
      this._api.getRandomValues(sk);
    } catch (e) {
      throw new NotSupportedError(e);
    }
    try {
      const [_sk, pk] = await this._generateKeyPairDerand(sk);
      const dSk = await this.deserializePrivateKey(sk.buffer);
      const dPk = await this.deserializePublicKey(pk.buffer);
      return { privateKey: dSk, publicKey: dPk };
    } catch (e) {
      throw new DeriveKeyPairError(e);
    }
  }
  /**
   * Generates a key pair from the secret key.
   * @param sk The secret key.
   * @returns {Promise<CryptoKeyPair>} A promise that resolves with a new key pair.
   * @throws {InvalidParamError} Thrown if the length of the secret key is not 32 bytes.
   * @throws {DeriveKeyPairError} Thrown if the key pair cannot be derived.
   */
  async generateKeyPairDerand(sk) {
    if (sk.byteLength !== 32) {
      throw new InvalidParamError("Invalid length of sk");
    }
    try {
      const [_sk, pk] = await this._generateKeyPairDerand(sk);
      const dSk = await this.deserializePrivateKey(sk.buffer);
      const dPk = await this.deserializePublicKey(pk.buffer);
      return { privateKey: dSk, publicKey: dPk };
    } catch (e) {
      throw new DeriveKeyPairError(e);
    }
  }
  /**
   * Derives a key pair from the input keying material.
   *
   * @param {ArrayBuffer} ikm The input keying material.
   * @returns {Promise<CryptoKeyPair>} A promise that resolves with a new key pair.
   * @throws {DeriveKeyPairError} Thrown if the key pair cannot be derived.
   * @throws {InvalidParamError} Thrown if the length of the IKM is not 32 bytes.
   */
  async deriveKeyPair(ikm) {
    await this._setup();
    try {
      const rawIkm = toArrayBuffer(ikm);
      const sk = shake2562.create({ dkLen: 32 }).update(new Uint8Array(rawIkm)).digest();
      const [_sk, pk] = await this._generateKeyPairDerand(sk);
      const dSk = await this.deserializePrivateKey(sk.buffer);
      const dPk = await this.deserializePublicKey(pk.buffer);
      return { privateKey: dSk, publicKey: dPk };
    } catch (e) {
      throw new DeriveKeyPairError(e);
    }
  }
  /**
   * Imports a key from the input.
   * @param format The format of the key. "raw" or "jwk" can be specified.
   * @param key The key to import. If the format is "raw", the key must be an ArrayBuffer. If the format is "jwk", the key must be a JsonWebKey.
   * @param isPublic A boolean indicating whether the key is public or not. The default is true.
   * @returns {Promise<CryptoKey>} A promise that resolves with the imported key.
   * @throws {DeserializeError} Thrown if the key cannot be imported.
   */
  async importKey(format, key, isPublic = true) {
    await this._setup();
    try {
      let ret;
      if (format === "jwk") {
        if (key instanceof ArrayBuffer || key instanceof Uint8Array) {
          throw new Error("Invalid jwk key format");
        }
        ret = await this._importJWK(key, isPublic);
      } else {
        if (key instanceof ArrayBuffer) {
          ret = new Uint8Array(key);
        } else if (key instanceof Uint8Array) {
          ret = key;
        } else {
          throw new Error("Invalid key format");
        }
      }
      if (isPublic && ret.byteLength !== this.publicKeySize) {
        throw new Error("Invalid length of the key");
      }
      if (!isPublic && ret.byteLength !== this.privateKeySize) {
        throw new Error("Invalid length of the key");
      }
      return new XCryptoKey(ALG_NAME2, ret, isPublic ? "public" : "private", isPublic ? [] : KEM_USAGES);
    } catch (e) {
      throw new DeserializeError(e);
    }
  }
  /**
   * Encapsulates the shared secret and the `ct` (ciphertext) as `enc`.
   * @param params The parameters for encapsulation.
   * @returns {Promise<{ sharedSecret: ArrayBuffer; enc: ArrayBuffer }>} A promise that resolves with the `ss` (shared secret) as `sharedSecret` and the `ct` (ciphertext) as `enc`.
   * @throws {InvalidParamError} Thrown if the length of the `ekm` is not 64 bytes.
   * @throws {EncapError} Thrown if the shared secret cannot be encapsulated.
   */
  async encap(params) {
    let ekm = void 0;
    if (params.ekm !== void 0 && !isCryptoKeyPair(params.ekm)) {
      ekm = toArrayBuffer(params.ekm);
      if (ekm.byteLength !== 64) {
        throw new InvalidParamError("ekm must be 64 bytes in length");
      }
    }
    await this._setup();
    let ekM = void 0;
    let ekX;
    if (ekm !== void 0) {
      const ek = new Uint8Array(ekm);
      ekM = ek.subarray(0, 32);
      ekX = ek.subarray(32, 64);
    } else {
      ekX = new Uint8Array(32);
      try {
        this._api.getRandomValues(ekX);
      } catch (e) {
        throw new NotSupportedError(e);
      }
    }
    const pk = new Uint8Array(await this.serializePublicKey(params.recipientPublicKey));
    if (pk.byteLength !== 1216) {
      throw new InvalidParamError("Invalid length of recipientPublicKey");
    }
    try {
      const pkM = pk.subarray(0, 1184);
      const pkX = pk.subarray(1184, 1216);
      const ctX = await this._x25519.derive(ekX, X25519_BASE);
      const ssX = await this._x25519.derive(ekX, pkX);
      const [ctM, ssM] = await this._m.encap(pkM, ekM);
      return {
        sharedSecret: combiner(ssM, ssX, ctX, pkX).buffer,
        enc: concat2(ctM, ctX).buffer
      };
    } catch (e) {
      throw new EncapError(e);
    }
  }
  /**
   * Decapsulates the `ss` (shared secret) from the `enc` and the recipient's private key.
   * The `enc` is the same as the `ct` (ciphertext) resulting from `X-Wing::Encapsulate(),
   * which is executed under the `encap()`.
   * @param params The parameters for decapsulation.
   * @returns {Promise<ArrayBuffer>} A promise that resolves with the shared secret.
   * @throws {InvalidParamError} Thrown if the length of the `enc` is not 1120 bytes.
   * @throws {DecapError} Thrown if the shared secret cannot be decapsulated.
   */
  async decap(params) {
    const enc = toArrayBuffer(params.enc);
    const rSk = isCryptoKeyPair(params.recipientKey) ? params.recipientKey.privateKey : params.recipientKey;
    if (enc.byteLength !== 1120) {
      throw new InvalidParamError("Invalid length of enc");
    }
    const sk = new Uint8Array(await this.serializePrivateKey(rSk));
    if (sk.byteLength !== 32) {
      throw new InvalidParamError("Invalid length of recipientKey");
    }
    await this._setup();
    try {
      const [skM, skX, _pkM, pkX] = await this._expandDecapsulationKey(sk);
      const ct = new Uint8Array(enc);
      const ctM = ct.subarray(0, 1088);
      const ctX = ct.subarray(1088);
      const ssM = await this._m.decap(ctM, skM);
      const ssX = await this._x25519.derive(skX, ctX);
      return combiner(ssM, ssX, ctX, pkX).buffer;
    } catch (e) {
      throw new DecapError(e);
    }
  }
  /**
   * Sets up the MlKemBase instance by loading the necessary crypto library.
   * If the crypto library is already loaded, this method does nothing.
   * @returns {Promise<void>} A promise that resolves when the setup is complete.
   */
  async _setup() {
    if (this._api !== void 0) {
      return;
    }
    this._api = await loadCrypto();
  }
  /**
   * Generates a key pair from the secret key.
   * @param sk The secret key.
   * @returns {Promise<[Uint8Array, Uint8Array]>} A promise that resolves with the key pair derived from the secret key.
   */
  async _generateKeyPairDerand(sk) {
    const [_skM, _skX, pkM, pkX] = await this._expandDecapsulationKey(sk);
    return [sk, concat2(pkM, pkX)];
  }
  /**
   * Expands the decapsulation key.
   * @param sk The secret key.
   * @returns {Promise<[Uint8Array, Uint8Array, Uint8Array, Uint8Array]>} A promise that resolves with the keys derived by expanding the secret key.
   */
  async _expandDecapsulationKey(sk) {
    const expanded = shake2562.create({ dkLen: 96 }).update(sk).digest();
    const [pkM, skM] = await this._m.deriveKeyPair(expanded.subarray(0, 64));
    const skX = expanded.subarray(64, 96);
    const pkX = await this._x25519.derive(skX, X25519_BASE);
    return [skM, skX, pkM, pkX];
  }
  _serializePublicKey(k) {
    return new Promise((resolve, reject) => {
      if (k.type !== "public") {
        reject(new Error("Not public key"));
      }
      if (k.algorithm.name !== this.name) {
        reject(new Error(`Invalid algorithm name: ${k.algorithm.name}`));
      }
      if (k.key.byteLength !== this.publicKeySize) {
        reject(new Error(`Invalid key length: ${k.key.byteLength}`));
      }
      resolve(k.key.buffer);
    });
  }
  _deserializePublicKey(k) {
    return new Promise((resolve, reject) => {
      if (k.byteLength !== this.publicKeySize) {
        reject(new Error(`Invalid key length: ${k.byteLength}`));
      }
      resolve(new XCryptoKey(this.name, new Uint8Array(k), "public"));
    });
  }
  _serializePrivateKey(k) {
    return new Promise((resolve, reject) => {
      if (k.type !== "private") {
        reject(new Error("Not private key"));
      }
      if (k.algorithm.name !== this.name) {
        reject(new Error(`Invalid algorithm name: ${k.algorithm.name}`));
      }
      if (k.key.byteLength !== this.privateKeySize) {
        reject(new Error(`Invalid key length: ${k.key.byteLength}`));
      }
      resolve(k.key.buffer);
    });
  }
  _deserializePrivateKey(k) {
    return new Promise((resolve, reject) => {
      if (k.byteLength !== this.privateKeySize) {
        reject(new Error(`Invalid key length: ${k.byteLength}`));
      }
      resolve(new XCryptoKey(this.name, new Uint8Array(k), "private", ["deriveBits"]));
    });
  }
  _importJWK(key, isPublic) {
    return new Promise((resolve, reject) => {
      if (typeof key.kty === "undefined" || key.kty !== "AKP") {
        reject(new Error(`Invalid kty: ${key.kty}`));
      }
      if (typeof key.alg === "undefined" || key.alg !== ALG_NAME2) {
        reject(new Error(`Invalid alg: ${key.alg}`));
      }
      if (!isPublic) {
        if (typeof key.priv === "undefined") {
          reject(new Error("Invalid key: `priv` not found"));
        }
        if (typeof key.key_ops !== "undefined" && (key.key_ops.length !== 1 || key.key_ops[0] !== "deriveBits")) {
          reject(new Error("Invalid key: `key_ops` should be ['deriveBits']"));
        }
        resolve(base64UrlToBytes(key.priv));
      }
      if (typeof key.priv !== "undefined") {
        reject(new Error("Invalid key: `priv` should not be set"));
      }
      if (typeof key.pub === "undefined") {
        reject(new Error("Invalid key: `pub` not found"));
      }
      if (typeof key.key_ops !== "undefined" && key.key_ops.length > 0) {
        reject(new Error("Invalid key: `key_ops` should not be set"));
      }
      resolve(base64UrlToBytes(key.pub));
    });
  }
};

// src/ohttp.ts
var REQUEST_MEDIA_TYPE = "message/ohttp-req";
var RESPONSE_MEDIA_TYPE = "message/ohttp-res";
var REQUEST_LABEL = utf8("message/bhttp request");
var RESPONSE_LABEL = utf8("message/bhttp response");
var NONCE_BYTES = 12;
async function encapsulate(config, request, { ephemeral } = {}) {
  const {
    keyId,
    kem,
    publicKey: publicKey2,
    aeads: [aead]
  } = config;
  const header = concat(uint(keyId, 1), uint(kem.id, 2), uint(KDF_HKDF_SHA256, 2), uint(aead.id, 2));
  const suite = cipherSuite(kem, aead);
  await checkPlatform2(kem);
  try {
    const context = await suite.createSenderContext({
      recipientPublicKey: await suite.kem.deserializePublicKey(publicKey2),
      info: requestInfo(header),
      ...ephemeral && { ekm: ephemeral }
    });
    const enc = new Uint8Array(context.enc);
    const sealed = concat(header, enc, new Uint8Array(await context.seal(request)));
    const secret = await context.export(RESPONSE_LABEL, responseNonceBytes(aead));
    return { sealed, opener: new ResponseOpener(aead, enc, new Uint8Array(secret)) };
  } catch {
    throw cannotOpen();
  }
}
function requestInfo(header) {
  return concat(REQUEST_LABEL, Uint8Array.of(0), header);
}
function cipherSuite(kem, { keyBytes }) {
  return new CipherSuite({
    kem: kem === MLKEM768_X25519 ? new XWing() : new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: keyBytes === 16 ? new Aes128Gcm() : new Aes256Gcm()
  });
}
var ResponseOpener = class {
  #aead;
  #enc;
  #secret;
  constructor(aead, enc, secret) {
    this.#aead = aead;
    this.#enc = enc;
    this.#secret = secret;
  }
  /** Open a `message/ohttp-res` to its binary HTTP response. Throws `SealingError` (`cannot_open`). */
  async open(response) {
    const nonceBytes = responseNonceBytes(this.#aead);
    const keys = await responseKeys(this.#aead, this.#enc, this.#secret, response.subarray(0, nonceBytes));
    try {
      const algorithm = { name: "AES-GCM", iv: keys.nonce };
      return new Uint8Array(await subtle().decrypt(algorithm, keys.key, response.subarray(nonceBytes)));
    } catch {
      throw cannotOpen();
    }
  }
};
async function responseKeys(aead, enc, secret, responseNonce) {
  const api = subtle();
  const prk = await api.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const derive = async (info, bytes) => {
    const algorithm = { name: "HKDF", hash: "SHA-256", salt: concat(enc, responseNonce), info: utf8(info) };
    return new Uint8Array(await api.deriveBits(algorithm, prk, 8 * bytes));
  };
  const rawKey = await derive("key", aead.keyBytes);
  const key = await api.importKey("raw", rawKey, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { key, nonce: await derive("nonce", NONCE_BYTES) };
}
function responseNonceBytes({ keyBytes }) {
  return Math.max(NONCE_BYTES, keyBytes);
}
async function checkPlatform2(kem) {
  const api = subtle();
  if (kem !== X25519_HKDF_SHA256) return;
  try {
    await api.generateKey("X25519", false, ["deriveBits"]);
  } catch {
    throw refusal("unsupported_platform", "This browser cannot do the key exchange that the enclave offers.");
  }
}
function cannotOpen() {
  return refusal("cannot_open", "The sealed message cannot be opened, or not be sealed, with this key.");
}

// src/padding.ts
var KIB = 1024;
var MIB = 1024 * KIB;
var SMALLEST_REQUEST = 32 * KIB;
function requestLength(length) {
  if (length > MIB) return Math.ceil(length / MIB) * MIB;
  let size = SMALLEST_REQUEST;
  while (size < length) size *= 2;
  return size;
}
function padded(message) {
  const whole = new Uint8Array(requestLength(message.length));
  whole.set(message);
  return whole;
}

// src/problems.ts
var MEDIA_TYPE = "application/problem+json";
var OHTTP_KEY_TYPE = "https://iana.org/assignments/http-problem-types#ohttp-key";
var USE_IMAGE = "Choose a JPEG, PNG or WebP file.";
var REPORT = "Tell the operator: this client and the service do not understand each other.";
var WAIT = "Wait as long as the message says, or ask the operator for a higher limit.";
var LATER = "Try again in a few seconds.";
var CATALOGUE = {
  bad_request: { title: "The request is malformed", nextStep: REPORT },
  empty_body: { title: "The image is missing or empty", nextStep: USE_IMAGE },
  bad_multipart: { title: "The multipart form cannot be read", nextStep: REPORT },
  bad_json: { title: "The JSON body cannot be read", nextStep: REPORT },
  date: {
    title: "The request's date is missing or too far from the enclave's",
    nextStep: "Set this machine's clock, then try again."
  },
  unsupported_version: {
    title: "The enclave does not know the request's version",
    nextStep: "Use the client or page of the enclave's release."
  },
  unauthenticated: { title: "An API token is needed", nextStep: "Enter a valid API token of this service." },
  cross_origin: {
    title: "The request comes from a page of another origin",
    nextStep: "Open the service's own page, or the single file."
  },
  not_found: { title: "This resource does not exist", nextStep: "Check the address of the service." },
  method_not_allowed: { title: "This method is not allowed here", nextStep: REPORT },
  request_timeout: { title: "The request body did not arrive in time", nextStep: LATER, retry: true },
  replayed: { title: "The enclave has already answered this message", nextStep: "Classify the image again, sealed anew." },
  image_too_large: { title: "The image has too many bytes", nextStep: "Choose a smaller file." },
  unsupported_media_type: { title: "This media type is not supported", nextStep: REPORT },
  unknown_host: {
    title: "The request's host name is not one of this service",
    nextStep: "Check the address of the service."
  },
  not_an_image: { title: "The body is not an image", nextStep: USE_IMAGE },
  truncated_image: { title: "The image is truncated or damaged", nextStep: "Choose an undamaged file." },
  too_many_pixels: { title: "The image has too many pixels", nextStep: "Choose a smaller picture." },
  too_many_images: { title: "The batch has too many images", nextStep: "Send fewer images at a time." },
  cannot_decrypt: { title: "The ciphertext cannot be decrypted here", nextStep: USE_IMAGE },
  ohttp_key: {
    title: "The message is encrypted to a key that the enclave does not have",
    nextStep: "Verify the enclave again, then try again."
  },
  invalid_tensor: { title: "The tensor does not match the model's input", nextStep: USE_IMAGE },
  invalid_top_k: { title: "top_k is out of range", nextStep: "Ask for fewer classes." },
  invalid_parameter: { title: "A parameter is invalid", nextStep: REPORT },
  rate_limited: { title: "The caller has made too many requests", nextStep: WAIT, retry: true },
  quota_exceeded: { title: "The caller's quota of images is used up", nextStep: WAIT },
  internal: { title: "An internal error occurred", nextStep: "Tell the operator if the error persists." },
  overloaded: { title: "The service is at its capacity", nextStep: LATER, retry: true },
  draining: { title: "The service is shutting down", nextStep: LATER, retry: true },
  worker_lost: { title: "The worker ended while it processed this image", nextStep: LATER, retry: true },
  enclave_unavailable: { title: "The enclave cannot be reached", nextStep: LATER, retry: true },
  evidence_refused: { title: "The enclave's evidence was refused", nextStep: LATER, retry: true },
  deadline_exceeded: { title: "The answer did not arrive in time", nextStep: LATER, retry: true }
};
var GATEWAYS_OWN = /* @__PURE__ */ new Set([
  "bad_request",
  "unauthenticated",
  "cross_origin",
  "not_found",
  "method_not_allowed",
  "request_timeout",
  "image_too_large",
  "unsupported_media_type",
  "unknown_host",
  "invalid_parameter",
  "rate_limited",
  "quota_exceeded",
  "internal",
  "overloaded",
  "draining",
  "enclave_unavailable",
  "evidence_refused",
  "deadline_exceeded"
]);
var Problem = class extends BlindsightError {
  name = "Problem";
  #retryable;
  /** Seconds to wait before the request can succeed, if the answer states them. */
  retryAfter;
  constructor(code, detail, { nextStep, retry = false }, retryAfter) {
    super(code, detail, nextStep);
    this.#retryable = retry;
    this.retryAfter = retryAfter;
  }
  get retryable() {
    return this.#retryable;
  }
};
var GatewayProblem = class extends Problem {
  name = "GatewayProblem";
};
function parseProblem(content, kindOf) {
  const { code, detail } = content;
  const kind = typeof code === "string" && Object.hasOwn(CATALOGUE, code) ? CATALOGUE[code] : void 0;
  if (typeof code !== "string" || !kind) return void 0;
  const message = typeof detail === "string" && detail ? detail : `${kind.title}.`;
  const { retry_after: seconds2 } = content;
  const stated = typeof seconds2 === "number" && Number.isSafeInteger(seconds2) && seconds2 >= 0;
  return new kindOf(code, message, kind, stated ? seconds2 : void 0);
}

// src/receipts.ts
var receipts_exports = {};
__export(receipts_exports, {
  EVIDENCE_FIELD: () => EVIDENCE_FIELD,
  SCHEMA: () => SCHEMA2,
  archive: () => archive,
  checkReceipt: () => checkReceipt,
  verify: () => verify4
});
var SCHEMA2 = "blindsight-receipt/1";
var EVIDENCE_FIELD = "receipt-evidence";
var SIGNED_MEMBERS = ["image", "model", "predictions"];
var TYPE = "blindsight-receipt+jws";
var DIGEST = /^[0-9a-f]{64}$/;
var DIGEST_MEMBERS = [
  "input_sha256",
  "output_sha256",
  "func_checksum",
  "model_sha256",
  "weights_sha256",
  "evidence_sha256"
];
var MAX_IAT = 2 ** 33;
var BEFORE_EVIDENCE = 60 * 1e3;
var AFTER_EVIDENCE = 24 * 3600 * 1e3;
async function checkReceipt(answer, { document, verified, manifest }, image) {
  const claims = claimsOf(verified);
  const receipt = claimsIn(await checkedPayload(answer["receipt"], claims));
  if (receipt.evidence_sha256 !== hex(await sha256(document))) {
    throw refusal("receipt_evidence_mismatch", "The receipt was made for another attestation document.");
  }
  if (receipt.func_checksum !== hex(claims.funcChecksum)) {
    throw refusal("receipt_function_mismatch", "The receipt names another function than the evidence.");
  }
  const onnx = manifest["onnx"];
  const weights = isObject(onnx) ? onnx["sha256"] : void 0;
  if (receipt.model_sha256 !== hex(claims.modelSha256) || receipt.weights_sha256 !== weights) {
    throw refusal("receipt_model_mismatch", "The receipt names another model than the evidence.");
  }
  if (receipt.output_sha256 !== await outputDigest(answer)) {
    throw refusal("receipt_output_mismatch", "The answer is not the one that was signed.");
  }
  if (image && receipt.input_sha256 !== hex(await sha256(image))) {
    throw refusal("receipt_input_mismatch", "The receipt is for another image.");
  }
  const after = 1e3 * receipt.iat - verified.document.timestamp.getTime();
  if (after < -BEFORE_EVIDENCE || after > AFTER_EVIDENCE) {
    throw refusal("receipt_time_implausible", "The receipt's time does not fit its evidence.");
  }
  return receipt;
}
function archive(answer, { document, manifest }) {
  return `${JSON.stringify({ ...answer, evidence: { document: base64(document), model: manifest } }, null, 2)}
`;
}
async function verify4(kept2, { policy, image = null }) {
  const answer = answerIn(kept2);
  const evidence = answer["evidence"];
  const text3 = isObject(evidence) ? evidence["document"] : void 0;
  const document = typeof text3 === "string" ? fromBase64(text3) : void 0;
  if (!isObject(evidence) || !document || !isObject(evidence["model"])) {
    throw malformed2("The answer was saved without evidence, or with one that cannot be read.");
  }
  digestible(evidence["model"], "The answer's evidence cannot be read.");
  const verified = await verifyArchived(document, policy);
  const manifest = await checkModel(verified, evidence["model"]);
  const receipt = await checkReceipt(answer, { document, verified, manifest }, image);
  return { receipt, report: verified.report, imageChecked: image !== null };
}
function answerIn(text3) {
  let value = null;
  try {
    value = parseJson(text3);
  } catch {
    throw malformed2("What was kept is not JSON.");
  }
  if (!isObject(value)) throw malformed2("What was kept is not a JSON object.");
  return value;
}
async function checkedPayload(text3, claims) {
  const parts = typeof text3 === "string" ? text3.split(".") : [];
  const [header, payload, encodedSignature] = parts;
  if (parts.length !== 3 || header === void 0 || payload === void 0) {
    throw malformed2("The answer has no receipt in compact JWS form.");
  }
  const { alg, typ, jwk, ...others } = object(header);
  const members = object(payload);
  const signature = decoded(encodedSignature);
  if (alg !== "ES256" || typ !== TYPE || jwk === void 0 || Object.keys(others).length) {
    throw malformed2("The receipt's header is not that of a receipt.");
  }
  if (signature.length !== 2 * P256.bytes) throw malformed2("The receipt's signature has the wrong length.");
  const key = await publicKey(jwk);
  if (!equal(await sha256(digestible(jwk, "The receipt's key is not on P-256.")), claims.receiptKeySha256)) {
    throw refusal("receipt_key_mismatch", "The receipt is signed with another key than the attested one.");
  }
  if (!await ecdsaVerify(key, P256, signature, utf8(`${header}.${payload}`))) {
    throw refusal("receipt_signature_invalid", "The receipt's signature does not hold.");
  }
  return members;
}
async function publicKey(jwk) {
  const { crv, kty, x, y, ...others } = isObject(jwk) ? jwk : {};
  if (crv === "P-256" && kty === "EC" && !Object.keys(others).length) {
    const coordinates = [decoded(x), decoded(y)];
    if (coordinates.every(({ length }) => length === P256.bytes)) {
      const key = await ecdsaKey(concat(Uint8Array.of(4), ...coordinates), P256);
      if (key) return key;
    }
  }
  throw malformed2("The receipt's key is not on P-256.");
}
function claimsIn(payload) {
  const { schema, iat, ...digests2 } = payload;
  const wellFormed = schema === SCHEMA2 && typeof iat === "number" && iat > 0 && iat < MAX_IAT && Object.keys(digests2).length === DIGEST_MEMBERS.length && DIGEST_MEMBERS.every((name) => typeof digests2[name] === "string" && DIGEST.test(digests2[name]));
  if (!wellFormed) throw malformed2("A member of the receipt is missing, unknown or not of its form.");
  return { ...digests2, schema, iat };
}
async function outputDigest(answer) {
  const missing = "The answer lacks what a receipt is about.";
  const signed2 = {};
  for (const name of SIGNED_MEMBERS) {
    const value = answer[name];
    if (value === void 0) throw malformed2(missing);
    signed2[name] = value;
  }
  return hex(await sha256(digestible(signed2, missing)));
}
function object(part) {
  const bytes = decoded(part);
  const text3 = fromUtf8(bytes);
  let value = null;
  try {
    value = parseJson(text3 ?? "", { integersOnly: true });
  } catch {
    throw malformed2("A part of the receipt is not JSON.");
  }
  const canonicalObject = isObject(value) && equal(digestible(value, "A part of the receipt has no canonical form."), bytes);
  if (!isObject(value) || !canonicalObject) {
    throw malformed2("A part of the receipt is not a canonical JSON object.");
  }
  return value;
}
function decoded(part) {
  const bytes = typeof part === "string" ? fromBase64url(part) : void 0;
  if (!bytes) throw malformed2("A part of the receipt is not base64url.");
  return bytes;
}
function digestible(value, message) {
  try {
    return canonical(value);
  } catch {
    throw malformed2(message);
  }
}
function malformed2(message) {
  return refusal("malformed_receipt", message);
}

// src/transport.ts
var MAX_REPLY_BYTES = 1024 * 1024;
var DEFAULT_TIMEOUT = 6e4;
var MAX_TIMEOUT = 2 ** 31 - 1;
async function exchange(call, { fetch, timeout, signal }) {
  checkAborted(signal);
  const limit = new AbortController();
  const stop = () => limit.abort();
  const timer = setTimeout(stop, timeout);
  signal?.addEventListener("abort", stop);
  try {
    return await exchanged(fetch, call, limit.signal);
  } catch (error) {
    checkAborted(signal);
    throw limit.signal.aborted ? caused(late(), error) : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
var Shared = class {
  #promise;
  #limit = new AbortController();
  #waiting = 0;
  constructor(work) {
    this.#promise = work(this.#limit.signal);
  }
  /** Whether no caller waits any more: with the result, or because all have given up. */
  get isOver() {
    return this.#limit.signal.aborted;
  }
  /** The result. Throws the work's error, or the reason of a `signal` that the caller has aborted. */
  async awaited(signal) {
    this.#waiting += 1;
    try {
      return await awaited(this.#promise, signal);
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#limit.abort();
    }
  }
};
async function awaited(promise, signal) {
  if (!signal) return await promise;
  return await new Promise((resolve, reject) => {
    const stop = () => reject(stopped(signal));
    signal.addEventListener("abort", stop);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
function checkAborted(signal) {
  if (signal?.aborted) throw stopped(signal);
}
function stopped({ reason }) {
  return reason instanceof DOMException && reason.name === "TimeoutError" ? caused(late(), reason) : reason;
}
function late() {
  return refusal("timed_out", "The gateway's answer did not come whole in time.");
}
function caused(error, cause) {
  error.cause = cause;
  return error;
}
async function exchanged(fetch, call, signal) {
  let response;
  try {
    response = await fetch(call.url, {
      method: call.method,
      headers: call.headers,
      ...call.body && { body: call.body },
      // Nothing of the browser's goes along, nothing is kept, and no redirect is followed.
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal
    });
  } catch (error) {
    throw caused(refusal("unreachable", "The gateway cannot be reached."), error);
  }
  try {
    const mediaType = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
    return { status: response.status, mediaType, content: await bodyOf(response) };
  } catch (error) {
    if (error instanceof BlindsightError) throw error;
    throw caused(refusal("connection_lost", "The connection to the gateway was lost."), error);
  }
}
async function bodyOf(response) {
  const reader = response.body?.getReader();
  const chunks = [];
  let length = 0;
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length > MAX_REPLY_BYTES) {
      await reader.cancel();
      throw refusal("unexpected_answer", `The gateway's answer has more than ${MAX_REPLY_BYTES} bytes.`);
    }
  }
  return concat(...chunks);
}

// src/client.ts
var DEFAULT_EVIDENCE_AGE = 12e4;
var NONCE_BYTES2 = 32;
var MAX_NONCE_BYTES = 512;
var MOST_ENCLAVES = 64;
var DEFAULT_TOP_K = 5;
var SHOWN_BYTES = 48;
var Client = class {
  #gateway;
  #policy;
  #authorization;
  #fetch;
  #now;
  #timeout;
  #maxAge;
  #accepted;
  #renewing;
  /**
   * Throws `PolicyError`, and `TypeError` if `policy` is not a policy: no value accepts every enclave. Throws
   * `TransportError` for an invalid address, and `PlatformError` without WebCrypto.
   */
  constructor(url, { policy, apiToken, timeout = DEFAULT_TIMEOUT, maxEvidenceAge = DEFAULT_EVIDENCE_AGE, fetch, now }) {
    checkPlatform();
    this.#policy = typeof policy === "string" ? Policy.fromJson(policy) : policy;
    if (!(this.#policy instanceof Policy)) throw new TypeError("policy must be a Policy or the text of a policy file");
    if (!(timeout > 0 && timeout <= MAX_TIMEOUT)) throw new RangeError(`timeout: 1 to ${MAX_TIMEOUT} milliseconds`);
    this.#gateway = addressOf(url);
    this.#authorization = apiToken ? { authorization: `Bearer ${apiToken}` } : {};
    this.#fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.#now = now ?? (() => /* @__PURE__ */ new Date());
    this.#timeout = timeout;
    this.#maxAge = maxEvidenceAge;
  }
  /** The verified enclave; undefined before verification, and when its evidence is too old. */
  get recipient() {
    return this.#current()?.recipient;
  }
  /** Verify the enclave now. Discards the previous result, whatever the outcome. */
  async verify({ nonce, signal } = {}) {
    if (nonce && (nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES)) {
      throw new RangeError(`a nonce has ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`);
    }
    return (await this.#verify(nonce ? owned(nonce) : randomBytes(NONCE_BYTES2), signal)).recipient.report;
  }
  /**
   * Classify one JPEG, PNG or WebP file, or one float32 tensor; the enclave detects which from the content. Verifies the
   * enclave first, unless its evidence is recent enough; if the enclave's keys have changed, verifies and sends once
   * more.
   */
  async classify(image, { topK, withReceipt = false, signal } = {}) {
    if (topK !== void 0 && !Number.isSafeInteger(topK)) throw new RangeError("topK: not a whole number");
    const question = { image: bytesOf(image), topK, withReceipt, signal };
    const accepted = this.#current() ?? await this.#renewed(void 0, signal);
    const answer = await this.#exchange(question, accepted.recipient);
    if (answer) return answer;
    const second2 = await this.#exchange(question, (await this.#renewed(accepted, signal)).recipient);
    if (second2) return second2;
    throw refusal("unknown_key", "The enclave's keys keep changing, says the gateway.");
  }
  /** The last verified enclave, if its evidence is recent enough, and policy and release have not expired. */
  #current() {
    const accepted = this.#accepted;
    if (!accepted) return void 0;
    const now = this.#now();
    const age = now.getTime() - accepted.since.getTime();
    const { until } = accepted.recipient.verified;
    return age >= 0 && age <= this.#maxAge && (!until || now < until) ? accepted : void 0;
  }
  /** A replacement for `outdated`: the result of another call that has verified since, or is verifying, is used. */
  async #renewed(outdated, signal) {
    const current = this.#current();
    if (current && current !== outdated) return current;
    checkAborted(signal);
    if (!this.#renewing || this.#renewing.isOver) {
      this.#renewing = new Shared((ending) => this.#verify(randomBytes(NONCE_BYTES2), ending));
    }
    return await this.#renewing.awaited(signal);
  }
  /**
   * A gateway may have several enclaves, while a release is rolled out also of two measurements. If the policy does not
   * accept the one that the gateway offers, the others that it lists are asked for.
   */
  async #verify(nonce, signal) {
    this.#accepted = void 0;
    const since = this.#now();
    const fields = await this.#evidence(nonce, "", signal);
    try {
      return await this.#accept(fields, nonce, since);
    } catch (first2) {
      if (!(first2 instanceof EvidenceError)) throw first2;
      for (const id of otherEnclaves(fields)) {
        try {
          const asked = this.#now();
          return await this.#accept(await this.#evidence(nonce, `&enclave=${id}`, signal), nonce, asked);
        } catch (error) {
          if (!(error instanceof EvidenceError || error instanceof GatewayProblem)) throw error;
        }
      }
      throw first2;
    }
  }
  async #evidence(nonce, which, signal) {
    const url = `${this.#gateway}/attestation?nonce=${hex(nonce)}${which}`;
    const reply = await this.#send({ method: "GET", url, headers: { accept: "application/json" } }, signal);
    if (reply.status !== 200) throw refused(reply) ?? statusOf(reply);
    return jsonObject2(reply.content);
  }
  async #accept(fields, nonce, since) {
    checkFormat(fields);
    const evidence = {
      document: decodedMember(fields, "document"),
      keyConfigs: decodedMember(fields, "key_configs"),
      model: fields["model"] ?? null
    };
    const recipient = await verifyRecipient(evidence, { policy: this.#policy, nonce, now: this.#now() });
    this.#accepted = { recipient, since };
    return this.#accepted;
  }
  /** Encapsulate, send, decapsulate, check. Undefined if the gateway reports that the enclave's keys have changed. */
  async #exchange(question, recipient) {
    const { sealed, opener } = await encapsulate(recipient.config, await this.#request(question, recipient));
    const url = `${this.#gateway}/ohttp`;
    const headers = { "content-type": REQUEST_MEDIA_TYPE, accept: RESPONSE_MEDIA_TYPE, ...this.#authorization };
    const reply = await this.#send({ method: "POST", url, headers, body: sealed }, question.signal);
    if (reply.status !== 200) {
      if (keysChanged(reply)) return void 0;
      throw refused(reply) ?? statusOf(reply);
    }
    if (reply.mediaType !== RESPONSE_MEDIA_TYPE) {
      throw refusal("not_sealed", "The gateway answered in the enclave's place, unsealed.");
    }
    const response = await opener.open(reply.content).then(decodeResponse).catch(notGenuine);
    const content = jsonObject2(response.content);
    if (response.status !== 200) throw parseProblem(content, Problem) ?? unknownForm();
    const receipt = question.withReceipt ? await checkReceipt(content, recipient, question.image) : null;
    const answer = answerOf(content);
    if (!answer) throw unknownForm();
    return {
      ...answer,
      recipient,
      report: recipient.report,
      notices: recipient.notices,
      multiLabel: isMultiLabel(recipient.manifest),
      precision: precisionOf(recipient.manifest),
      receipt,
      archive: receipt && archive(content, recipient),
      traffic: trafficOf(sealed, reply, url)
    };
  }
  /** The padded binary HTTP request for one image. */
  async #request({ image, topK, withReceipt }, recipient) {
    const top = topK ?? Math.min(DEFAULT_TOP_K, recipient.classes ?? DEFAULT_TOP_K);
    const fields = [
      ["content-type", "application/octet-stream"],
      // The form of RFC 9110, section 5.6.7.
      ["date", this.#now().toUTCString()]
    ];
    if (withReceipt) fields.push([EVIDENCE_FIELD, hex(await sha256(recipient.document))]);
    return padded(encodeRequest({ method: "POST", path: `/classify?top_k=${top}`, fields, content: image }));
  }
  async #send(call, signal) {
    return await exchange(call, { fetch: this.#fetch, timeout: this.#timeout, signal });
  }
};
function addressOf(url) {
  const { protocol, username, password, origin, pathname, search, hash: hash2 } = parsed2(String(url));
  if (!["http:", "https:"].includes(protocol) || username || password || search || hash2) throw noAddress();
  return `${origin}${pathname}`.replace(/\/+$/, "");
}
function parsed2(url) {
  try {
    return new URL(url);
  } catch {
    throw noAddress();
  }
}
function noAddress() {
  return refusal("unreachable", "The gateway's address is not of the form https://HOST or https://HOST/PATH.");
}
function bytesOf(image) {
  if (image instanceof Uint8Array) return owned(image);
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  throw new TypeError("image must be a Uint8Array or an ArrayBuffer");
}
function trafficOf(sealed, reply, url) {
  return {
    sentBytes: sealed.length,
    sentStart: sealed.slice(0, SHOWN_BYTES),
    receivedBytes: reply.content.length,
    receivedStart: reply.content.slice(0, SHOWN_BYTES),
    url
  };
}
function keysChanged(reply) {
  const isProblem = reply.status === 422 && reply.mediaType === MEDIA_TYPE;
  return isProblem && jsonObject2(reply.content)["type"] === OHTTP_KEY_TYPE;
}
function refused(reply) {
  if (reply.mediaType !== MEDIA_TYPE) return void 0;
  const content = jsonObject2(reply.content);
  const problem = parseProblem(content, GatewayProblem);
  if (!problem || GATEWAYS_OWN.has(problem.code)) return problem;
  return refusal("not_sealed", "The gateway refused in the enclave's place, unsealed.");
}
function statusOf({ status }) {
  const code = [502, 503, 504].includes(status) ? "unavailable" : "unexpected_answer";
  return refusal(code, `The gateway answered with status ${status}.`);
}
function notGenuine(error) {
  if (!(error instanceof SealingError)) throw error;
  throw refusal("answer_not_genuine", "The answer is not the enclave's to this request.");
}
function otherEnclaves({ enclaves, enclave_id: offered }) {
  const ids = Array.isArray(enclaves) ? enclaves.filter((each) => typeof each === "string") : [];
  return ids.filter((id) => /^[0-9a-f]{16}$/.test(id) && id !== offered).slice(0, MOST_ENCLAVES);
}
function jsonObject2(content) {
  let value = null;
  try {
    value = parseJson(fromUtf8(content) ?? "");
  } catch {
    throw refusal("unexpected_answer", "The answer is not JSON.");
  }
  if (!isObject(value)) throw refusal("unexpected_answer", "The answer is not a JSON object.");
  return value;
}
function decodedMember(fields, name) {
  const text3 = fields[name];
  const decoded2 = typeof text3 === "string" ? fromBase64(text3) : void 0;
  if (!decoded2) throw refusal("unexpected_answer", `The gateway's evidence has no usable ${name}.`);
  return decoded2;
}
function unknownForm() {
  return refusal("unexpected_answer", "The enclave's answer is of a form that is not known here.");
}
export {
  BlindsightError,
  Client,
  EvidenceChainError,
  EvidenceClaimsError,
  EvidenceDebugError,
  EvidenceError,
  EvidenceFormatError,
  EvidenceFreshnessError,
  EvidenceMeasurementError,
  EvidenceSignatureError,
  GatewayProblem,
  PlatformError,
  Policy,
  PolicyError,
  Problem,
  ReceiptError,
  SealingError,
  TransportError,
  attestation_exports as attestation,
  checkPlatform,
  receipts_exports as receipts
};
/*! Bundled license information:

@hpke/common/esm/src/curve/modular.js:
@hpke/common/esm/src/curve/montgomery.js:
@hpke/dhkem-x25519/esm/src/primitives/x25519.js:
  (*! noble-curves - MIT License (c) 2022 Paul Miller (paulmillr.com) *)

mlkem/esm/src/sha3/utils.js:
  (*! noble-hashes - MIT License (c) 2022 Paul Miller (paulmillr.com) *)
*/
