/**
 * The caller's side of the sealed lane: verify an enclave, seal to it, open what it answers (docs/protocol.md).
 *
 *     const client = new Client({ gateway: "", policy: await (await fetch("/policy.json")).text() });
 *     const enclave = await client.verify();
 *     const { predictions } = await client.classify(new Uint8Array(await file.arrayBuffer()));
 *
 * Nothing is sealed, and no token sent, to an enclave whose evidence the policy does not accept. What comes back is
 * believed only if it opens and its receipt holds: the gateway can refuse to serve, and can do nothing else.
 */

import { answerOf, type Answer } from "./answer.ts";
import { decodeResponse, encodeRequest } from "./bhttp.ts";
import { fromBase64, fromUtf8, hex, type Bytes } from "./bytes.ts";
import { refusal, Refusal } from "./errors.ts";
import { isObject, parseJson, type Json, type JsonObject } from "./json.ts";
import { encapsulate, REQUEST_MEDIA_TYPE, RESPONSE_MEDIA_TYPE } from "./ohttp.ts";
import { padded } from "./padding.ts";
import { parsePolicy, type Policy } from "./policy.ts";
import * as problems from "./problems.ts";
import { archive, checkReceipt, EVIDENCE_FIELD, type ReceiptClaims } from "./receipt.ts";
import { measurements, notices, verifyRecipient, type Recipient } from "./recipient.ts";
import type { Part } from "./release.ts";
import type { EvidenceKind } from "./roots.ts";
import { DEFAULT_TIMEOUT, exchange, type Call, type Reply } from "./transport.ts";
import type { Step } from "./verify.ts";
import { randomBytes, sha256, subtle } from "./webcrypto.ts";

export type { Prediction } from "./answer.ts";
export { Refusal } from "./errors.ts";
export type { ReceiptClaims } from "./receipt.ts";
export type { Step } from "./verify.ts";

/** Milliseconds for which verified evidence is relied on: what the gateway itself does. */
const MAX_EVIDENCE_AGE = 120_000;

const NONCE_BYTES = 32;

/** The version of what `GET /attestation` answers; members may be added within it. */
export const ENVELOPE_FORMAT = "blindsight-attestation/1";

/** How much of a message `Traffic` shows. */
const SHOWN_BYTES = 48;

/** What went over the wire, as any party between saw it (inside TLS). */
export interface Traffic {
  readonly sentBytes: number;
  readonly sentStart: Uint8Array;
  readonly receivedBytes: number;
  readonly receivedStart: Uint8Array;
  readonly url: string;
}

/** An enclave that the policy accepts. `pcrs` maps index to hex, without those that nothing was measured into. */
export interface Enclave {
  readonly kind: EvidenceKind;
  /** Its release's name in the policy, if it has one. */
  readonly release: string | null;
  /** What the policy accepts any of; `notices` say so, too. */
  readonly leftOpen: readonly Part[];
  /** When policy or release end. */
  readonly until: Date | null;
  readonly steps: Step[];
  readonly pcrs: Readonly<Record<string, string>>;
  readonly functionChecksum: string;
  readonly modelDigest: string;
  readonly model: Readonly<Record<string, unknown>>;
  /** What to know before relying on an answer. */
  readonly notices: string[];
  readonly kem: "MLKEM768-X25519" | "X25519";
  readonly document: Uint8Array;
  readonly at: Date;
}

/** An answer that only the verified enclave can have sealed, and whose receipt holds. */
export interface Classified extends Answer {
  readonly receipt: ReceiptClaims;
  /** JSON to keep: the answer with its evidence. `blindsight receipt verify` takes it. */
  readonly archive: string;
  readonly traffic: Traffic;
  readonly enclave: Enclave;
}

export interface ClientOptions {
  /** Base URL; empty for the page's own origin. */
  readonly gateway: string;
  /** The policy file's text. */
  readonly policy: string;
  readonly token?: string;
  readonly fetch?: typeof globalThis.fetch;
  readonly now?: () => Date;
  /** Milliseconds for one exchange. */
  readonly timeout?: number;
}

interface Accepted {
  readonly recipient: Recipient;
  readonly enclave: Enclave;
  /** When its evidence was asked for. */
  readonly since: Date;
}

interface Question {
  readonly image: Uint8Array;
  readonly topK: number;
}

/** Verifies the enclave behind a gateway and seals images to it. Every method throws `Refusal`. */
export class Client {
  readonly #gateway: string;
  readonly #policy: Policy;
  readonly #authorization: Readonly<Record<string, string>>;
  readonly #fetch: typeof globalThis.fetch;
  readonly #now: () => Date;
  readonly #timeout: number;
  #accepted: Accepted | undefined;
  #renewing: Promise<Accepted> | undefined;

  /** Throws `Refusal` for a policy that must not be used, and where there is no WebCrypto. */
  constructor({ gateway, policy, token, fetch, now, timeout }: ClientOptions) {
    subtle();
    this.#gateway = gateway.replace(/\/+$/, "");
    this.#policy = parsePolicy(policy);
    this.#authorization = token ? { authorization: `Bearer ${token}` } : {};
    this.#fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.#now = now ?? ((): Date => new Date());
    this.#timeout = timeout ?? DEFAULT_TIMEOUT;
  }

  /** Verify the enclave now, with a fresh nonce. What was accepted before counts no more, whatever the outcome. */
  async verify(): Promise<Enclave> {
    return (await this.#verify()).enclave;
  }

  /**
   * Classify one JPEG, PNG or WebP file; its content decides which. Verifies the enclave first, unless that was done
   * in the last two minutes; once more, with new evidence, if the enclave's keys have changed.
   */
  async classify(image: Uint8Array, topK = 5): Promise<Classified> {
    const question = { image, topK };
    const accepted = this.#current() ?? (await this.#renewed(undefined));
    const answer = await this.#exchange(question, accepted);
    if (answer) return answer;
    const second = await this.#exchange(question, await this.#renewed(accepted));
    if (second) return second;
    throw refusal("unknown_key", "The enclave's keys keep changing, says the gateway.");
  }

  /** What was verified last, if its evidence is young enough to rely on, and policy and release are in force. */
  #current(): Accepted | undefined {
    const accepted = this.#accepted;
    if (!accepted) return undefined;
    const now = this.#now();
    const age = now.getTime() - accepted.since.getTime();
    const { until } = accepted.enclave;
    // A clock that was set back tells no age.
    return age >= 0 && age <= MAX_EVIDENCE_AGE && (!until || now < until) ? accepted : undefined;
  }

  /** An enclave in the place of `outdated`: what another call has verified since, or verifies just now, will do. */
  async #renewed(outdated: Accepted | undefined): Promise<Accepted> {
    const current = this.#current();
    if (current && current !== outdated) return current;
    this.#renewing ??= this.#verify().finally(() => (this.#renewing = undefined));
    return await this.#renewing;
  }

  async #verify(): Promise<Accepted> {
    this.#accepted = undefined;
    const nonce = randomBytes(NONCE_BYTES);
    const since = this.#now();
    const reply = await this.#send({
      method: "GET",
      url: `${this.#gateway}/attestation?nonce=${hex(nonce)}`,
      headers: { accept: "application/json" },
    });
    // Evidence is asked for without keys, so they cannot have changed.
    if (reply.status !== 200) throw refused(reply) ?? statusOf(reply);
    const fields = jsonObject(reply.content);
    // Releases before 0.2.0 stated none.
    const { format = ENVELOPE_FORMAT } = fields;
    if (format !== ENVELOPE_FORMAT) {
      throw refusal("unsupported_envelope", "The evidence came in an envelope of another version.", 1);
    }
    const evidence = {
      document: decodedMember(fields, "document"),
      keyConfigs: decodedMember(fields, "key_configs"),
      model: fields["model"] ?? null,
    };
    const recipient = await verifyRecipient(evidence, { policy: this.#policy, nonce, now: this.#now() });
    this.#accepted = { recipient, enclave: enclaveOf(recipient), since };
    return this.#accepted;
  }

  /** Seal, send, open, check. Undefined if the enclave's keys have changed, says the gateway. */
  async #exchange(question: Question, accepted: Accepted): Promise<Classified | undefined> {
    const { recipient, enclave } = accepted;
    const { sealed, opener } = await encapsulate(recipient.config, await this.#request(question, recipient));
    const url = `${this.#gateway}/ohttp`;
    const headers = { "content-type": REQUEST_MEDIA_TYPE, accept: RESPONSE_MEDIA_TYPE, ...this.#authorization };
    const reply = await this.#send({ method: "POST", url, headers, body: sealed });
    if (reply.status !== 200) {
      if (keysChanged(reply)) return undefined;
      throw refused(reply) ?? statusOf(reply);
    }
    if (reply.mediaType !== RESPONSE_MEDIA_TYPE) {
      throw refusal("not_sealed", "The gateway answered in the enclave's place, unsealed.");
    }
    const response = await opener.open(reply.content).then(decodeResponse).catch(notGenuine);
    const content = jsonObject(response.content);
    if (response.status !== 200) throw problems.parseProblem(content, "enclave") ?? unknownForm();
    const attested = { document: recipient.document, verified: recipient.verified, manifest: recipient.manifest };
    const receipt = await checkReceipt(content, attested, question.image);
    const answer = answerOf(content);
    if (!answer) throw unknownForm();
    return { ...answer, receipt, archive: archive(content, attested), traffic: trafficOf(sealed, reply, url), enclave };
  }

  /** The padded binary HTTP request for one image. */
  async #request({ image, topK }: Question, { document }: Recipient): Promise<Bytes> {
    const fields = [
      ["content-type", "application/octet-stream"],
      // The form of RFC 9110, section 5.6.7.
      ["date", this.#now().toUTCString()],
      [EVIDENCE_FIELD, hex(await sha256(document))],
    ] as const;
    return padded(encodeRequest({ method: "POST", path: `/classify?top_k=${topK}`, fields, content: image }));
  }

  async #send(call: Call): Promise<Reply> {
    return await exchange(this.#fetch, call, this.#timeout);
  }
}

function enclaveOf(recipient: Recipient): Enclave {
  const { verified, claims, steps, config, document, manifest } = recipient;
  return {
    kind: verified.kind,
    release: verified.release,
    leftOpen: verified.leftOpen,
    until: verified.until,
    steps: [...steps],
    pcrs: measurements(verified),
    functionChecksum: hex(claims.funcChecksum),
    modelDigest: hex(claims.modelSha256),
    model: manifest,
    notices: notices(recipient),
    kem: config.kem.name,
    document,
    at: verified.at,
  };
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
function refused(reply: Reply): Refusal | undefined {
  if (reply.mediaType !== problems.MEDIA_TYPE) return undefined;
  const content = jsonObject(reply.content);
  const problem = problems.parseProblem(content, "gateway");
  if (!problem || problems.GATEWAYS_OWN.has(problem.code)) return problem;
  return refusal("not_sealed", "The gateway refused in the enclave's place, unsealed.");
}

function statusOf({ status }: Reply): Refusal {
  const code = [502, 503, 504].includes(status) ? "unavailable" : "unexpected_answer";
  return refusal(code, `The gateway answered with status ${status}.`);
}

function notGenuine(error: unknown): never {
  if (!(error instanceof Refusal)) throw error;
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

function unknownForm(): Refusal {
  return refusal("unexpected_answer", "The enclave's answer is of a form that is not known here.");
}
