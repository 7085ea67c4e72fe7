/** Problems (RFC 9457) that gateway and enclave answer with, by their stable codes: blindsight/problems.py. */

import { BlindsightError } from "./errors.ts";
import type { JsonObject } from "./json.ts";

export const MEDIA_TYPE = "application/problem+json";

/** The registered type of a message that was sealed to keys which the enclave does not have. */
export const OHTTP_KEY_TYPE = "https://iana.org/assignments/http-problem-types#ohttp-key";

interface ProblemKind {
  readonly title: string;
  readonly nextStep: string;
  /** The same request may succeed later. */
  readonly retry?: true;
}

const USE_IMAGE = "Choose a JPEG, PNG or WebP file.";
const REPORT = "Tell the operator: this client and the service do not understand each other.";
const WAIT = "Wait as long as the message says, or ask the operator for a higher limit.";
const LATER = "Try again in a few seconds.";

const CATALOGUE: Readonly<Record<string, ProblemKind>> = {
  bad_request: { title: "The request is malformed", nextStep: REPORT },
  empty_body: { title: "The image is missing or empty", nextStep: USE_IMAGE },
  bad_multipart: { title: "The multipart form cannot be read", nextStep: REPORT },
  bad_json: { title: "The JSON body cannot be read", nextStep: REPORT },
  date: {
    title: "The request's date is missing or too far from the enclave's",
    nextStep: "Set this machine's clock, then try again.",
  },
  unsupported_version: {
    title: "The enclave does not know the request's version",
    nextStep: "Use the client or page of the enclave's release.",
  },
  unauthenticated: { title: "An API token is needed", nextStep: "Enter a valid API token of this service." },
  cross_origin: {
    title: "The request comes from a page of another origin",
    nextStep: "Open the service's own page, or the single file.",
  },
  not_found: { title: "This resource does not exist", nextStep: "Check the address of the service." },
  method_not_allowed: { title: "This method is not allowed here", nextStep: REPORT },
  request_timeout: { title: "The request body did not arrive in time", nextStep: LATER, retry: true },
  replayed: { title: "The enclave has already answered this message", nextStep: "Classify the image again, sealed anew." },
  image_too_large: { title: "The image has too many bytes", nextStep: "Choose a smaller file." },
  unsupported_media_type: { title: "This media type is not supported", nextStep: REPORT },
  unknown_host: {
    title: "The request's host name is not one of this service",
    nextStep: "Check the address of the service.",
  },
  not_an_image: { title: "The body is not an image", nextStep: USE_IMAGE },
  truncated_image: { title: "The image is truncated or damaged", nextStep: "Choose an undamaged file." },
  too_many_pixels: { title: "The image has too many pixels", nextStep: "Choose a smaller picture." },
  too_many_images: { title: "The batch has too many images", nextStep: "Send fewer images at a time." },
  cannot_decrypt: { title: "The ciphertext cannot be decrypted here", nextStep: USE_IMAGE },
  ohttp_key: {
    title: "The message is encrypted to a key that the enclave does not have",
    nextStep: "Verify the enclave again, then try again.",
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
  deadline_exceeded: { title: "The answer did not arrive in time", nextStep: LATER, retry: true },
};

/** Problems that a gateway can have with a message that it cannot read. Any other is the enclave's to state, sealed. */
export const GATEWAYS_OWN: ReadonlySet<unknown> = new Set([
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
  "deadline_exceeded",
]);

/** A problem document's: the enclave's own, from inside the envelope, unless it is a `GatewayProblem`. */
export class Problem extends BlindsightError {
  override readonly name: string = "Problem";
  readonly #retryable: boolean;
  /** Seconds to wait before the request can succeed, if the answer states them. */
  readonly retryAfter: number | undefined;

  constructor(
    code: string,
    detail: string,
    { nextStep, retry = false }: { nextStep: string; retry?: boolean },
    retryAfter?: number,
  ) {
    super(code, detail, nextStep);
    this.#retryable = retry;
    this.retryAfter = retryAfter;
  }

  override get retryable(): boolean {
    return this.#retryable;
  }
}

/** A refusal that came unsealed. The gateway may have written it, or any party between. */
export class GatewayProblem extends Problem {
  override readonly name = "GatewayProblem";
}

/** What the problem document `content` states; undefined if its code is not known here. */
export function parseProblem(content: JsonObject, kindOf: typeof Problem): Problem | undefined {
  const { code, detail } = content;
  const kind = typeof code === "string" && Object.hasOwn(CATALOGUE, code) ? CATALOGUE[code] : undefined;
  if (typeof code !== "string" || !kind) return undefined;
  const message = typeof detail === "string" && detail ? detail : `${kind.title}.`;
  const { retry_after: seconds } = content;
  const stated = typeof seconds === "number" && Number.isSafeInteger(seconds) && seconds >= 0;
  return new kindOf(code, message, kind, stated ? seconds : undefined);
}

/** Every code, with its title and whether the same request may succeed later. */
export function titles(): Readonly<Record<string, { title: string; retryable: boolean }>> {
  const kinds = Object.entries(CATALOGUE);
  return Object.fromEntries(kinds.map(([code, { title, retry = false }]) => [code, { title, retryable: retry }]));
}
