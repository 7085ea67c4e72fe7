/**
 * The client of the sealed lane: it verifies an enclave, encrypts requests to it, and decrypts its answers
 * (docs/protocol.md).
 *
 *     const client = new Client("https://photos.example", { policy: await readFile("policy.json", "utf8") });
 *     console.log((await client.verify()).render());
 *     const { predictions } = await client.classify(await readFile("dog.jpeg"));
 *
 * The client sends no image and no token before the policy has accepted the enclave's evidence. It accepts only answers
 * that decrypt with the request's keys, so the gateway can refuse to serve, but cannot forge an answer.
 *
 * Throws, besides `PolicyError` at construction or when the policy has expired:
 *
 *     EvidenceError     the policy does not accept the enclave; nothing was sent
 *     Problem           the enclave's refusal of this image or request, from inside the sealed answer
 *     GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
 *     SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
 *     ReceiptError      the requested receipt does not match the answer
 *     TransportError    the gateway was not reached or does not follow the protocol
 *     PlatformError     this browser or runtime has no WebCrypto, or lacks an algorithm
 *
 * A call whose `signal` was aborted throws the signal's reason, like `fetch`.
 */

import { answerOf, isMultiLabel, precisionOf, type Answer } from "./answer.ts";
import { decodeResponse, encodeRequest } from "./bhttp.ts";
import { fromBase64, fromUtf8, hex, owned, type Bytes } from "./bytes.ts";
import { checkFormat } from "./envelope.ts";
import { EvidenceError, refusal, SealingError, type BlindsightError } from "./errors.ts";
import { isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import { encapsulate, REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE } from "./ohttp.ts";
import { padded } from "./padding.ts";
import { Policy } from "./policy.ts";
import * as problems from "./problems.ts";
import { archive, checkReceipt, EVIDENCE_FIELD, type Receipt } from "./receipts.ts";
import { verifyRecipient, type Recipient } from "./recipient.ts";
import type { VerificationReport } from "./report.ts";
import { checkAborted, DEFAULT_TIMEOUT, exchange, MAX_TIMEOUT, Shared, type Call, type Reply } from "./transport.ts";
import { MIN_NONCE_BYTES } from "./verify.ts";
import { checkPlatform, randomBytes, sha256 } from "./webcrypto.ts";

/** Milliseconds for which the client relies on verified evidence; the gateway uses the same interval. */
const DEFAULT_EVIDENCE_AGE = 120_000;

const NONCE_BYTES = 32;

/** Limit of the gateway and of the enclave's security module. */
const MAX_NONCE_BYTES = 512;

/** Of one gateway that are asked for evidence. */
const MOST_ENCLAVES = 64;

/** Number of classes in an answer, unless the call states another or the model has fewer. */
const DEFAULT_TOP_K = 5;

/** Number of bytes of a message that `Traffic` contains. */
const SHOWN_BYTES = 48;

/** The transmitted messages, as a party between sees them (inside TLS); the starts have 48 bytes. */
export interface Traffic {
  readonly sentBytes: number;
  readonly sentStart: Uint8Array;
  readonly receivedBytes: number;
  readonly receivedStart: Uint8Array;
  readonly url: string;
}

/** An authenticated answer of the verified enclave. */
export interface Classification extends Answer {
  /** The enclave. */
  readonly recipient: Recipient;
  /** The verification report of the enclave. */
  readonly report: VerificationReport;
  /** Statements to show with the answer, such as that the evidence is simulated. */
  readonly notices: readonly string[];
  /** Whether the model scores each class independently; otherwise all scores sum to 1. */
  readonly multiLabel: boolean;
  /** The arithmetic of the model according to its attested manifest: "float32", or "int8". */
  readonly precision: string;
  /** The verified receipt; null if none was requested. */
  readonly receipt: Receipt | null;
  /** JSON text to store, if a receipt was requested; `blindsight receipt verify` and `receipts.verify` verify it. */
  readonly archive: string | null;
  readonly traffic: Traffic;
}

export interface ClientOptions {
  /** The accepted enclaves: a `Policy`, or the text of a policy file. */
  readonly policy: Policy | string;
  /** API token of the gateway; sent only with sealed messages. */
  readonly apiToken?: string | undefined;
  /** Timeout of one exchange with the gateway in milliseconds, by default 60 000; a call makes up to four exchanges. */
  readonly timeout?: number | undefined;
  /** Milliseconds for which the client relies on verified evidence, by default 120 000. */
  readonly maxEvidenceAge?: number | undefined;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Replaces the machine's clock, for tests. */
  readonly now?: (() => Date) | undefined;
}

export interface VerifyOptions {
  /**
   * For callers who need a document with a particular nonce, 16 to 512 bytes. No party may have been able to know it
   * before, such as a digest of new data. By default the nonce is random.
   */
  readonly nonce?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ClassifyOptions {
  /** Number of classes; by default five, or all if the model has fewer. */
  readonly topK?: number | undefined;
  /** Request and verify a receipt; the answer's `archive` is the text to store. */
  readonly withReceipt?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Accepted {
  readonly recipient: Recipient;
  /** Time of the request for its evidence. */
  readonly since: Date;
}

interface Question {
  readonly image: Bytes;
  readonly topK: number | undefined;
  readonly withReceipt: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Verifies the enclave behind the gateway at `url` and encrypts images to it. See the head of this file for errors. */
export class Client {
  readonly #gateway: string;
  readonly #policy: Policy;
  readonly #authorization: Readonly<Record<string, string>>;
  readonly #fetch: typeof globalThis.fetch;
  readonly #now: () => Date;
  readonly #timeout: number;
  readonly #maxAge: number;
  #accepted: Accepted | undefined;
  #renewing: Shared<Accepted> | undefined;

  /**
   * Throws `PolicyError`, and `TypeError` if `policy` is not a policy: no value accepts every enclave. Throws
   * `TransportError` for an invalid address, and `PlatformError` without WebCrypto.
   */
  constructor(
    url: string | URL,
    { policy, apiToken, timeout = DEFAULT_TIMEOUT, maxEvidenceAge = DEFAULT_EVIDENCE_AGE, fetch, now }: ClientOptions,
  ) {
    checkPlatform();
    this.#policy = typeof policy === "string" ? Policy.fromJson(policy) : policy;
    if (!(this.#policy instanceof Policy)) throw new TypeError("policy must be a Policy or the text of a policy file");
    if (!(timeout > 0 && timeout <= MAX_TIMEOUT)) throw new RangeError(`timeout: 1 to ${MAX_TIMEOUT} milliseconds`);
    this.#gateway = addressOf(url);
    this.#authorization = apiToken ? { authorization: `Bearer ${apiToken}` } : {};
    this.#fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.#now = now ?? ((): Date => new Date());
    this.#timeout = timeout;
    this.#maxAge = maxEvidenceAge;
  }

  /** The verified enclave; undefined before verification, and when its evidence is too old. */
  get recipient(): Recipient | undefined {
    return this.#current()?.recipient;
  }

  /** Verify the enclave now. Discards the previous result, whatever the outcome. */
  async verify({ nonce, signal }: VerifyOptions = {}): Promise<VerificationReport> {
    if (nonce && (nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES)) {
      throw new RangeError(`a nonce has ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`);
    }
    return (await this.#verify(nonce ? owned(nonce) : randomBytes(NONCE_BYTES), signal)).recipient.report;
  }

  /**
   * Classify one JPEG, PNG or WebP file, or one float32 tensor; the enclave detects which from the content. Verifies the
   * enclave first, unless its evidence is recent enough; if the enclave's keys have changed, verifies and sends once
   * more.
   */
  async classify(
    image: Uint8Array | ArrayBuffer,
    { topK, withReceipt = false, signal }: ClassifyOptions = {},
  ): Promise<Classification> {
    if (topK !== undefined && !Number.isSafeInteger(topK)) throw new RangeError("topK: not a whole number");
    const question = { image: bytesOf(image), topK, withReceipt, signal };
    const accepted = this.#current() ?? (await this.#renewed(undefined, signal));
    const answer = await this.#exchange(question, accepted.recipient);
    if (answer) return answer;
    const second = await this.#exchange(question, (await this.#renewed(accepted, signal)).recipient);
    if (second) return second;
    throw refusal("unknown_key", "The enclave's keys keep changing, says the gateway.");
  }

  /** The last verified enclave, if its evidence is recent enough, and policy and release have not expired. */
  #current(): Accepted | undefined {
    const accepted = this.#accepted;
    if (!accepted) return undefined;
    const now = this.#now();
    const age = now.getTime() - accepted.since.getTime();
    const { until } = accepted.recipient.verified;
    // If the clock was set back, the age is unknown.
    return age >= 0 && age <= this.#maxAge && (!until || now < until) ? accepted : undefined;
  }

  /** A replacement for `outdated`: the result of another call that has verified since, or is verifying, is used. */
  async #renewed(outdated: Accepted | undefined, signal: AbortSignal | undefined): Promise<Accepted> {
    const current = this.#current();
    if (current && current !== outdated) return current;
    checkAborted(signal);
    if (!this.#renewing || this.#renewing.isOver) {
      this.#renewing = new Shared((ending) => this.#verify(randomBytes(NONCE_BYTES), ending));
    }
    return await this.#renewing.awaited(signal);
  }

  /**
   * A gateway may have several enclaves, while a release is rolled out also of two measurements. If the policy does not
   * accept the one that the gateway offers, the others that it lists are asked for.
   */
  async #verify(nonce: Bytes, signal?: AbortSignal): Promise<Accepted> {
    this.#accepted = undefined;
    const since = this.#now();
    const fields = await this.#evidence(nonce, "", signal);
    try {
      return await this.#accept(fields, nonce, since);
    } catch (first) {
      if (!(first instanceof EvidenceError)) throw first;
      for (const id of otherEnclaves(fields)) {
        try {
          const asked = this.#now();
          return await this.#accept(await this.#evidence(nonce, `&enclave=${id}`, signal), nonce, asked);
        } catch (error) {
          if (!(error instanceof EvidenceError || error instanceof problems.GatewayProblem)) throw error;
        }
      }
      throw first;
    }
  }

  async #evidence(nonce: Bytes, which: string, signal: AbortSignal | undefined): Promise<JsonObject> {
    const url = `${this.#gateway}/attestation?nonce=${hex(nonce)}${which}`;
    const reply = await this.#send({ method: "GET", url, headers: { accept: "application/json" } }, signal);
    // A request for evidence uses no keys, so the answer cannot be that they have changed.
    if (reply.status !== 200) throw refused(reply) ?? statusOf(reply);
    return jsonObject(reply.content);
  }

  async #accept(fields: JsonObject, nonce: Bytes, since: Date): Promise<Accepted> {
    checkFormat(fields);
    const evidence = {
      document: decodedMember(fields, "document"),
      keyConfigs: decodedMember(fields, "key_configs"),
      model: fields["model"] ?? null,
    };
    const recipient = await verifyRecipient(evidence, { policy: this.#policy, nonce, now: this.#now() });
    this.#accepted = { recipient, since };
    return this.#accepted;
  }

  /** Encapsulate, send, decapsulate, check. Undefined if the gateway reports that the enclave's keys have changed. */
  async #exchange(question: Question, recipient: Recipient): Promise<Classification | undefined> {
    const { sealed, opener } = await encapsulate(recipient.config, await this.#request(question, recipient));
    const url = `${this.#gateway}/ohttp`;
    const headers = { "content-type": REQUEST_MEDIA_TYPE, accept: RESPONSE_MEDIA_TYPE, ...this.#authorization };
    const reply = await this.#send({ method: "POST", url, headers, body: sealed }, question.signal);
    if (reply.status !== 200) {
      if (keysChanged(reply)) return undefined;
      throw refused(reply) ?? statusOf(reply);
    }
    if (reply.mediaType !== RESPONSE_MEDIA_TYPE) {
      throw refusal("not_sealed", "The gateway answered in the enclave's place, unsealed.");
    }
    const response = await opener.open(reply.content).then(decodeResponse).catch(notGenuine);
    const content = jsonObject(response.content);
    if (response.status !== 200) throw problems.parseProblem(content, problems.Problem) ?? unknownForm();
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
      traffic: trafficOf(sealed, reply, url),
    };
  }

  /** The padded binary HTTP request for one image. */
  async #request({ image, topK, withReceipt }: Question, recipient: Recipient): Promise<Bytes> {
    const top = topK ?? Math.min(DEFAULT_TOP_K, recipient.classes ?? DEFAULT_TOP_K);
    const fields: [string, string][] = [
      ["content-type", "application/octet-stream"],
      // The form of RFC 9110, section 5.6.7.
      ["date", this.#now().toUTCString()],
    ];
    if (withReceipt) fields.push([EVIDENCE_FIELD, hex(await sha256(recipient.document))]);
    return padded(encodeRequest({ method: "POST", path: `/classify?top_k=${top}`, fields, content: image }));
  }

  async #send(call: Call, signal: AbortSignal | undefined): Promise<Reply> {
    return await exchange(call, { fetch: this.#fetch, timeout: this.#timeout, signal });
  }
}

/** Without its last slash. Throws `TransportError` (`unreachable`). */
function addressOf(url: string | URL): string {
  const { protocol, username, password, origin, pathname, search, hash } = parsed(String(url));
  if (!["http:", "https:"].includes(protocol) || username || password || search || hash) throw noAddress();
  return `${origin}${pathname}`.replace(/\/+$/, "");
}

function parsed(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw noAddress();
  }
}

function noAddress(): BlindsightError {
  return refusal("unreachable", "The gateway's address is not of the form https://HOST or https://HOST/PATH.");
}

function bytesOf(image: unknown): Bytes {
  if (image instanceof Uint8Array) return owned(image);
  if (image instanceof ArrayBuffer) return new Uint8Array(image);
  throw new TypeError("image must be a Uint8Array or an ArrayBuffer");
}

function trafficOf(sealed: Bytes, reply: Reply, url: string): Traffic {
  return {
    sentBytes: sealed.length,
    sentStart: sealed.slice(0, SHOWN_BYTES),
    receivedBytes: reply.content.length,
    receivedStart: reply.content.slice(0, SHOWN_BYTES),
    url,
  };
}

function keysChanged(reply: Reply): boolean {
  const isProblem = reply.status === 422 && reply.mediaType === problems.MEDIA_TYPE;
  return isProblem && jsonObject(reply.content)["type"] === problems.OHTTP_KEY_TYPE;
}

/** The error for an unauthenticated problem; undefined if it is not one of the catalogue. */
function refused(reply: Reply): BlindsightError | undefined {
  if (reply.mediaType !== problems.MEDIA_TYPE) return undefined;
  const content = jsonObject(reply.content);
  const problem = problems.parseProblem(content, problems.GatewayProblem);
  if (!problem || problems.GATEWAYS_OWN.has(problem.code)) return problem;
  return refusal("not_sealed", "The gateway refused in the enclave's place, unsealed.");
}

function statusOf({ status }: Reply): BlindsightError {
  const code = [502, 503, 504].includes(status) ? "unavailable" : "unexpected_answer";
  return refusal(code, `The gateway answered with status ${status}.`);
}

function notGenuine(error: unknown): never {
  if (!(error instanceof SealingError)) throw error;
  throw refusal("answer_not_genuine", "The answer is not the enclave's to this request.");
}

/** The ids of the gateway's other enclaves, which are not authenticated; none from a gateway that lists none. */
function otherEnclaves({ enclaves, enclave_id: offered }: JsonObject): string[] {
  const ids = Array.isArray(enclaves) ? enclaves.filter((each): each is string => typeof each === "string") : [];
  return ids.filter((id) => /^[0-9a-f]{16}$/.test(id) && id !== offered).slice(0, MOST_ENCLAVES);
}

function jsonObject(content: Bytes): JsonObject {
  let value: Json = null;
  try {
    value = parseJson(fromUtf8(content) ?? "");
  } catch {
    throw refusal("unexpected_answer", "The answer is not JSON.");
  }
  if (!isObject(value)) throw refusal("unexpected_answer", "The answer is not a JSON object.");
  return value;
}

function decodedMember(fields: JsonObject, name: string): Bytes {
  const text = fields[name];
  const decoded = typeof text === "string" ? fromBase64(text) : undefined;
  if (!decoded) throw refusal("unexpected_answer", `The gateway's evidence has no usable ${name}.`);
  return decoded;
}

function unknownForm(): BlindsightError {
  return refusal("unexpected_answer", "The enclave's answer is of a form that is not known here.");
}
