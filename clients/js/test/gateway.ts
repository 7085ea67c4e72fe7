/** A gateway for the built client, honest unless what it does is replaced, with an enclave behind it. */

import { Client, type ClientOptions } from "blindsight-client";

import { utf8, type Bytes } from "../src/bytes.ts";
import { canonical } from "../src/canonical.ts";
import type { JsonObject } from "../src/json.ts";
import { decapsulate, decodeRequest, encodeResponse, Enclave, type Question } from "./enclave.ts";
import { NOW } from "./forge.ts";
import { unhex } from "./support.ts";

export const IMAGE = utf8("a photograph");
export const enclave = await Enclave.start();
export const policy = await enclave.policy();

export type Init = RequestInit & { headers: Record<string, string> };

export class Gateway {
  readonly requests: { url: string; init: Init }[] = [];
  readonly questions: Question[] = [];
  clock = NOW;
  enclave = enclave;

  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = String(input);
    this.requests.push({ url, init: init as Init });
    if (url.includes("/attestation?nonce=")) {
      const asked = new URL(url).searchParams;
      return await this.attestation(unhex(asked.get("nonce") ?? ""), asked.get("enclave"));
    }
    if (url.endsWith("/ohttp")) return await this.ohttp(init?.body as Bytes);
    return new Response(null, { status: 404 });
  };

  attestation = async (nonce: Bytes, _id?: string | null): Promise<Response> =>
    json(await this.enclave.evidence(nonce, this.clock));
  ohttp = async (sealed: Bytes): Promise<Response> => await this.sealed(sealed, (question) => this.respond(question));

  respond = async (question: Question): Promise<Bytes> =>
    encodeResponse(200, "application/json", canonical(await this.enclave.answer(question, this.clock)));

  /** What the enclave answers to a sealed request, sealed. */
  async sealed(sealed: Bytes, respond: (question: Question) => Promise<Bytes>): Promise<Response> {
    const opened = await decapsulate(this.enclave.keys, sealed);
    const question = decodeRequest(opened.inner);
    this.questions.push(question);
    const answer = new Uint8Array(8192);
    answer.set(await respond(question));
    return ohttpResponse(await opened.seal(answer));
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return new Client("https://photos.example/", {
      policy,
      fetch: this.fetch,
      now: () => this.clock,
      ...options,
    });
  }

  count(path: string): number {
    return this.requests.filter(({ url }) => url.includes(path)).length;
  }
}

export function json(value: JsonObject, status = 200, mediaType = "application/json"): Response {
  return new Response(canonical(value), { status, headers: { "content-type": mediaType } });
}

export function problem(status: number, code: string, more: JsonObject = {}): Response {
  return json({ code, status, title: "t", detail: "d", ...more }, status, "application/problem+json; charset=utf-8");
}

export function ohttpResponse(content: Bytes): Response {
  return new Response(content, { headers: { "content-type": "message/ohttp-res" } });
}
