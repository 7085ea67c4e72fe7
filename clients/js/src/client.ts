/**
 * The caller's side of the sealed lane: verify an enclave, seal to it, open what it answers (docs/protocol.md).
 *
 *     const client = new Client("https://photos.example", { policy: await readFile("policy.json", "utf8") });
 *     console.log((await client.verify()).render());
 *     const { predictions } = await client.classify(await readFile("dog.jpeg"));
 *
 * Nothing is sealed, and no token sent, to an enclave whose evidence the policy does not accept. What comes back is
 * believed only if it opens: the gateway can refuse to serve, and can do nothing else.
 *
 * Throws, besides `PolicyError` when it is made or when its policy has expired:
 *
 *     EvidenceError     the enclave is not one that the policy accepts; nothing was sent
 *     Problem           the enclave's refusal of this image or request, from inside the envelope
 *     GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
 *     SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
 *     ReceiptError      the receipt that was asked for does not vouch for the answer
 *     TransportError    the gateway was not reached or speaks something else
 *     PlatformError     this browser or runtime has no cryptography (WebCrypto), or not all that is needed
 *
 * A call whose `signal` was aborted throws the signal's reason, like `fetch`.
 */

import { answerOf, type Answer } from "./answer.ts";
import { decodeResponse, encodeRequest } from "./bhttp.ts";
import { fromBase64, fromUtf8, hex, owned, type Bytes } from "./bytes.ts";
import { checkFormat } from "./envelope.ts";
import { refusal, SealingError, type BlindsightError } from "./errors.ts";
import { isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import { encapsulate, REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE } from "./ohttp.ts";
import { padded } from "./padding.ts";
import { Policy } from "./policy.ts";
import * as problems from "./problems.ts";
import { archive, checkReceipt, EVIDENCE_FIELD, type Receipt } from "./receipts.ts";
import { verifyRecipient, type Recipient } from "./recipient.ts";
import type { VerificationReport } from "./report.ts";
import { awaited, DEFAULT_TIMEOUT, exchange, MAX_TIMEOUT, type Call, type Reply } from "./transport.ts";
import { MIN_NONCE_BYTES } from "./verify.ts";
import { checkPlatform, randomBytes, sha256 } from "./webcrypto.ts";

/** Milliseconds for which verified evidence is relied on: what the gateway itself does. */
const DEFAULT_EVIDENCE_AGE = 120_000;

const NONCE_BYTES = 32;

/** What the gateway takes, and the enclave's device signs. */
const MAX_NONCE_BYTES = 512;

/** Classes in an answer, unless the call says otherwise or the model has fewer. */
const DEFAULT_TOP_K = 5;

/** How much of a message `Traffic` shows. */
const SHOWN_BYTES = 48;

/** What went over the wire, as any party between saw it (inside TLS); the starts are 48 bytes long. */
export interface Traffic {
  readonly sentBytes: number;
  readonly sentStart: Uint8Array;
  readonly receivedBytes: number;
  readonly receivedStart: Uint8Array;
  readonly url: string;
}

/** An answer that only the verified enclave can have sealed. */
export interface Classification extends Answer {
  /** Who answered. */
  readonly recipient: Recipient;
  /** How the enclave was verified, step by step. */
  readonly report: VerificationReport;
  /** What to know before relying on it. */
  readonly notices: readonly string[];
  /** What the receipt says, once it was checked; null if none was asked for. */
  readonly receipt: Receipt | null;
  /** JSON text to keep, if a receipt was asked for: `blindsight receipt verify` and `receipts.verify` take it. */
  readonly archive: string | null;
  readonly traffic: Traffic;
}

export interface ClientOptions {
  /** Which enclaves are accepted: a `Policy`, or the text of a policy file. */
  readonly policy: Policy | string;
  /** Goes with sealed messages only. */
  readonly apiToken?: string | undefined;
  /** Milliseconds for one exchange with the gateway, 60 000 unless given; a call makes up to four. */
  readonly timeout?: number | undefined;
  /** Milliseconds for which verified evidence is relied on, 120 000 unless given. */
  readonly maxEvidenceAge?: number | undefined;
  /** In the place of the global one. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** In the place of the machine's clock: for tests. */
  readonly now?: (() => Date) | undefined;
}

export interface VerifyOptions {
  /**
   * For a caller who needs a document with that very nonce, 16 to 512 bytes. It must be one that no party could know
   * before, such as a digest of what was only just found; without, it is random.
   */
  readonly nonce?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ClassifyOptions {
  /** Without, five classes, or all that the model has. */
  readonly topK?: number | undefined;
  /** The answer's `archive` is what to keep; its receipt has been checked. */
  readonly withReceipt?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Accepted {
  readonly recipient: Recipient;
  /** When its evidence was asked for. */
  readonly since: Date;
}

interface Question {
  readonly image: Bytes;
  readonly topK: number | undefined;
  readonly withReceipt: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Verifies the enclave behind the gateway at `url` and seals images to it. The head of this file says what it throws. */
export class Client {
  readonly #gateway: string;
  readonly #policy: Policy;
  readonly #authorization: Readonly<Record<string, string>>;
  readonly #fetch: typeof globalThis.fetch;
  readonly #now: () => Date;
  readonly #timeout: number;
  readonly #maxAge: number;
  #accepted: Accepted | undefined;
  #renewing: Promise<Accepted> | undefined;

  /**
   * Throws `PolicyError`, and `TypeError` for what is not a policy: there is no way to accept just anything. Throws
   * `TransportError` for an address that is none, and `PlatformError` where there is no WebCrypto.
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

  /** The enclave that images are sealed to now; undefined before it is verified, and when its evidence is too old. */
  get recipient(): Recipient | undefined {
    return this.#current()?.recipient;
  }

  /** Verify the enclave now. What was accepted before counts no more, whatever the outcome. */
  async verify({ nonce, signal }: VerifyOptions = {}): Promise<VerificationReport> {
    if (nonce && (nonce.length < MIN_NONCE_BYTES || nonce.length > MAX_NONCE_BYTES)) {
      throw new RangeError(`a nonce has ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes`);
    }
    return (await this.#verify(nonce ? owned(nonce) : randomBytes(NONCE_BYTES), signal)).recipient.report;
  }

  /**
   * Classify one JPEG, PNG or WebP file, or one tensor of float32; its content decides which. Verifies the enclave
   * first, unless that was done in the last two minutes; once more, with new evidence, if the enclave's keys have
   * changed.
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

  /** What was verified last, if its evidence is young enough to rely on, and policy and release are in force. */
  #current(): Accepted | undefined {
    const accepted = this.#accepted;
    if (!accepted) return undefined;
    const now = this.#now();
    const age = now.getTime() - accepted.since.getTime();
    const { until } = accepted.recipient.verified;
    // A clock that was set back tells no age.
    return age >= 0 && age <= this.#maxAge && (!until || now < until) ? accepted : undefined;
  }

  /** An enclave in the place of `outdated`: what another call has verified since, or verifies just now, will do. */
  async #renewed(outdated: Accepted | undefined, signal: AbortSignal | undefined): Promise<Accepted> {
    const current = this.#current();
    if (current && current !== outdated) return current;
    // Others may wait for it, so that no single caller's signal ends it.
    this.#renewing ??= this.#verify(randomBytes(NONCE_BYTES)).finally(() => (this.#renewing = undefined));
    return await awaited(this.#renewing, signal);
  }

  async #verify(nonce: Bytes, signal?: AbortSignal): Promise<Accepted> {
    this.#accepted = undefined;
    const since = this.#now();
    const url = `${this.#gateway}/attestation?nonce=${hex(nonce)}`;
    const reply = await this.#send({ method: "GET", url, headers: { accept: "application/json" } }, signal);
    // Evidence is asked for without keys, so they cannot have changed.
    if (reply.status !== 200) throw refused(reply) ?? statusOf(reply);
    const fields = jsonObject(reply.content);
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

  /** Seal, send, open, check. Undefined if the enclave's keys have changed, says the gateway. */
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

/** What an unsealed problem means, of which nothing is authenticated; undefined if it is no problem of ours. */
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
