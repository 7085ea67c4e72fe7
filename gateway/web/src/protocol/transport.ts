/** One exchange with the gateway, within limits of size and time. Nothing of what it answers is believed here. */

import { concat, type Bytes } from "./bytes.ts";
import { refusal, Refusal } from "./errors.ts";

/** Evidence has some ten kilobytes, an answer with a thousand classes eighty. */
export const MAX_REPLY_BYTES = 1024 * 1024;

/** Milliseconds from the request to the end of the reply. */
export const DEFAULT_TIMEOUT = 60_000;

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

/** Throws `Refusal` (`unreachable`, `connection_lost`, `timed_out`, `unexpected_answer`). */
export async function exchange(fetch: typeof globalThis.fetch, call: Call, timeout: number): Promise<Reply> {
  const signal = AbortSignal.timeout(timeout);
  const late = (): Refusal => refusal("timed_out", "The gateway's answer did not come whole in time.");
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
  } catch {
    throw signal.aborted ? late() : refusal("unreachable", "The gateway cannot be reached.");
  }
  try {
    const mediaType = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
    return { status: response.status, mediaType, content: await bodyOf(response) };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw signal.aborted ? late() : refusal("connection_lost", "The connection to the gateway was lost.");
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
