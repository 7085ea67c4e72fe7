/** One exchange with the gateway, within limits of size and time. Nothing of what it answers is believed here. */

import { concat, type Bytes } from "./bytes.ts";
import { refusal, BlindsightError } from "./errors.ts";

/** Evidence has some ten kilobytes, an answer with a thousand classes eighty. */
export const MAX_REPLY_BYTES = 1024 * 1024;

/** Milliseconds from the request to the end of the reply. */
export const DEFAULT_TIMEOUT = 60_000;

/** What a timer takes, in milliseconds: 24 days. */
export const MAX_TIMEOUT = 2 ** 31 - 1;

export interface Call {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Bytes;
}

export interface Reply {
  readonly status: number;
  /** In lower case, without parameters. */
  readonly mediaType: string;
  readonly content: Bytes;
}

/** How calls are sent: with which `fetch`, in how many milliseconds, and until when its caller waits. */
export interface Way {
  readonly fetch: typeof globalThis.fetch;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Throws `TransportError` (`unreachable`, `connection_lost`, `timed_out`, `unexpected_answer`), or the reason of a
 * `signal` that the caller has aborted.
 */
export async function exchange(call: Call, { fetch, timeout, signal }: Way): Promise<Reply> {
  checkAborted(signal);
  const limit = new AbortController();
  const stop = (): void => limit.abort();
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

/** Work whose result several callers wait for, each with a signal of its own. It is aborted when the last has gone. */
export class Shared<T> {
  readonly #promise: Promise<T>;
  readonly #limit = new AbortController();
  #waiting = 0;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#promise = work(this.#limit.signal);
  }

  /** Whether no caller waits any more: with the result, or because all have given up. */
  get isOver(): boolean {
    return this.#limit.signal.aborted;
  }

  /** The result. Throws the work's error, or the reason of a `signal` that the caller has aborted. */
  async awaited(signal: AbortSignal | undefined): Promise<T> {
    this.#waiting += 1;
    try {
      return await awaited(this.#promise, signal);
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#limit.abort();
    }
  }
}

async function awaited<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  return await new Promise((resolve, reject) => {
    const stop = (): void => reject(stopped(signal));
    signal.addEventListener("abort", stop);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Throws the reason of a `signal` that has been aborted. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw stopped(signal);
}

/** What an aborted call throws: `AbortSignal.timeout` is a time that has run out like our own, else the reason. */
function stopped({ reason }: AbortSignal): unknown {
  return reason instanceof DOMException && reason.name === "TimeoutError" ? caused(late(), reason) : reason;
}

function late(): BlindsightError {
  return refusal("timed_out", "The gateway's answer did not come whole in time.");
}

function caused(error: BlindsightError, cause: unknown): BlindsightError {
  error.cause = cause;
  return error;
}

async function exchanged(fetch: typeof globalThis.fetch, call: Call, signal: AbortSignal): Promise<Reply> {
  let response: Response;
  try {
    response = await fetch(call.url, {
      method: call.method,
      headers: call.headers,
      ...(call.body && { body: call.body }),
      // Nothing of the browser's goes along, nothing is kept, and no redirect is followed.
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal,
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

/** The whole body, which is read no further than the limit. */
async function bodyOf(response: Response): Promise<Bytes> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
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
