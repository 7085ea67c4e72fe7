/** Limits of the built client: what it takes, how long it waits, and how its caller ends a call. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Policy, TransportError, type ClientOptions } from "blindsight-client";

import { Gateway, IMAGE, policy } from "./gateway.ts";
import { at, outcome, refused } from "./support.ts";

test("limits: size, time, and connections that fail", async () => {
  const gateway = new Gateway();
  gateway.attestation = async () => new Response(new Uint8Array((1 << 20) + 1));
  await refused(() => gateway.client().verify(), "unexpected_answer");
  const failing = (reason: unknown) => async (): Promise<Response> => Promise.reject(reason as Error);
  gateway.attestation = failing(new TypeError("fetch failed"));
  await refused(() => gateway.client().verify(), "unreachable");
  gateway.attestation = async () =>
    new Response(new ReadableStream({ start: (controller) => controller.error(new TypeError("reset")) }));
  await refused(() => gateway.client().verify(), "connection_lost");

  await refused(() => gateway.client({ fetch: waiting, timeout: 20 }).verify(), "timed_out");
  const stalling = async (_: unknown, init?: RequestInit): Promise<Response> =>
    new Response(
      new ReadableStream({
        start: (controller) => init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason)),
      }),
    );
  await refused(() => gateway.client({ fetch: stalling, timeout: 20 }).verify(), "timed_out");
});

/** Never answers, and fails when it is told to stop, as `fetch` does. */
const waiting = (_: unknown, init?: RequestInit): Promise<Response> =>
  new Promise((_, reject) => {
    const { signal } = init ?? {};
    const stop = (): void => reject(signal?.reason as Error);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
  });

test("policies that must not be used, and pages without cryptography", async (context) => {
  await refused(() => new Gateway().client({ policy: "{}" }), "invalid_policy");
  context.mock.getter(globalThis.crypto, "subtle", () => undefined);
  await refused(() => new Gateway().client(), "no_webcrypto");
});

test("a caller ends its call, and gets its own reason", { timeout: 10_000 }, async () => {
  const gateway = new Gateway();
  const client = gateway.client({ timeout: 30_000 });
  await client.verify();
  const ending = new AbortController();
  const reason = new Error("the user closed the window");
  let told: AbortSignal | null | undefined;
  gateway.ohttp = async () => {
    told = at(gateway.requests, 1).init.signal;
    ending.abort(reason);
    return await waiting(undefined, at(gateway.requests, 1).init);
  };
  assert.equal(await outcome(() => client.classify(IMAGE, { signal: ending.signal })), reason);
  assert.equal(told?.aborted, true);
  const before = gateway.requests.length;
  assert.equal(await outcome(() => client.classify(IMAGE, { signal: ending.signal })), reason);
  assert.equal(await outcome(() => client.verify({ signal: ending.signal })), reason);
  assert.equal(gateway.requests.length, before);
});

test("a time of the caller's that runs out is one like the client's own", async () => {
  const gateway = new Gateway();
  const keepAlive = setTimeout(() => undefined, 60_000);
  const client = gateway.client({ fetch: waiting, timeout: 30_000 });
  const error = await refused(() => client.verify({ signal: AbortSignal.timeout(20) }), "timed_out");
  assert.ok(error instanceof TransportError && error.retryable);
  await refused(() => client.classify(IMAGE, { signal: AbortSignal.timeout(20) }), "timed_out");
  clearTimeout(keepAlive);
});

test("a caller that gives up takes nothing from others who wait for the same evidence", async () => {
  const gateway = new Gateway();
  const { attestation } = gateway;
  const ending = new AbortController();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  gateway.attestation = async (nonce) => {
    await held;
    return await attestation(nonce);
  };
  const client = gateway.client();
  const first = outcome(() => client.classify(IMAGE, { signal: ending.signal }));
  const second = client.classify(IMAGE);
  ending.abort();
  assert.equal(await first, ending.signal.reason);
  release();
  assert.equal((await second).predictions.length, 1);
  assert.equal(gateway.count("/attestation"), 1);
});

test("evidence that every caller has given up on is no longer asked for", { timeout: 10_000 }, async () => {
  const gateway = new Gateway();
  const asked: AbortSignal[] = [];
  let isSlow = true;
  const client = gateway.client({
    timeout: 30_000,
    fetch: async (url, init) => {
      asked.push(init?.signal ?? assert.fail());
      return isSlow ? await waiting(url, init) : await gateway.fetch(url, init);
    },
  });
  const [first, second, late] = [new AbortController(), new AbortController(), new AbortController()];
  const outcomes = [first, second].map(({ signal }) => outcome(() => client.classify(IMAGE, { signal })));
  first.abort();
  assert.equal(await outcomes[0], first.signal.reason);
  assert.equal(at(asked, 0).aborted, false, "the second caller waits for it");
  second.abort();
  assert.equal(await outcomes[1], second.signal.reason);
  assert.equal(at(asked, 0).aborted, true);
  isSlow = false;
  assert.equal((await client.classify(IMAGE)).predictions.length, 1);
  assert.equal(gateway.count("/attestation"), 1);

  const before = asked.length;
  late.abort();
  const other = gateway.client({ fetch: (...call) => gateway.fetch(...call) });
  assert.equal(await outcome(() => other.classify(IMAGE, { signal: late.signal })), late.signal.reason);
  assert.deepEqual([asked.length, gateway.count("/attestation")], [before, 1], "nothing is sent for a call that is over");
});

test("a signal keeps no listener of a call that has ended", async (context) => {
  const { signal } = new AbortController();
  const added = context.mock.method(signal, "addEventListener");
  const removed = context.mock.method(signal, "removeEventListener");
  await new Gateway().client().classify(IMAGE, { signal });
  // For the evidence that is awaited, and for the exchange; finally() runs after what it was chained to.
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(added.mock.callCount(), 2);
  assert.equal(removed.mock.callCount(), 2);
});

test("a nonce of the caller's goes into the evidence, if it is long enough", async () => {
  const gateway = new Gateway();
  const nonce = crypto.getRandomValues(new Uint8Array(20));
  const client = gateway.client();
  await client.verify({ nonce });
  assert.deepEqual(client.recipient?.verified.document.nonce, nonce);
  for (const bytes of [0, 15, 513]) {
    await assert.rejects(() => client.verify({ nonce: new Uint8Array(bytes) }), RangeError);
  }
  assert.equal(gateway.count("/attestation"), 1);
});

test("images as ArrayBuffer, as a part of one, and as what they are not", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await client.classify(IMAGE.buffer.slice(0, 5));
  await client.classify(IMAGE.subarray(2, 7));
  await client.classify(new Uint8Array(new SharedArrayBuffer(3)));
  assert.deepEqual(
    gateway.questions.map(({ content }) => content),
    [IMAGE.slice(0, 5), IMAGE.slice(2, 7), new Uint8Array(3)],
  );
  for (const wrong of ["photo", [1, 2], null, new Blob([IMAGE])]) {
    await assert.rejects(() => client.classify(wrong as unknown as Uint8Array), TypeError);
  }
});

test("top_k is five, or all that the model has, or what is asked for", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await client.classify(IMAGE);
  await client.classify(IMAGE, { topK: 1000 });
  assert.deepEqual(
    gateway.questions.map(({ path }) => path),
    ["/classify?top_k=3", "/classify?top_k=1000"],
  );
  for (const wrong of [1.5, NaN, "5&receipt=true"]) {
    await assert.rejects(() => client.classify(IMAGE, { topK: wrong as number }), RangeError);
  }
});

test("addresses: a path is kept, and what is none is refused before anything is sent", async () => {
  const sent: string[] = [];
  const fetch = async (url: unknown): Promise<Response> => {
    sent.push(String(url).split("?")[0] ?? "");
    return new Response(null, { status: 404 });
  };
  for (const url of ["https://photos.example", "https://photos.example/ml/", new URL("http://[::1]:8000/")]) {
    await refused(() => new Client(url, { policy, fetch }).verify(), "unexpected_answer");
  }
  assert.deepEqual(sent, [
    "https://photos.example/attestation",
    "https://photos.example/ml/attestation",
    "http://[::1]:8000/attestation",
  ]);
  for (const url of ["", "photos.example", "localhost:8000", "ftp://photos.example", "https://me:secret@photos.example", "https://photos.example/?a=b"]) {
    await refused(() => new Client(url, { policy, fetch }), "unreachable");
  }
});

test("a policy is one, or the text of one", () => {
  new Client("https://photos.example", { policy: Policy.fromJson(policy) });
  for (const wrong of [undefined, null, {}, { ...Policy.fromJson(policy) }, JSON.parse(policy) as unknown]) {
    assert.throws(() => new Client("https://photos.example", { policy: wrong as Policy }), TypeError);
  }
  for (const timeout of [0, -1, NaN, Infinity]) {
    const options: ClientOptions = { policy, timeout };
    assert.throws(() => new Client("https://photos.example", options), RangeError);
  }
});

test("evidence is relied on for as long as the caller says", async () => {
  const gateway = new Gateway();
  const client = gateway.client({ maxEvidenceAge: 1000 });
  await client.classify(IMAGE);
  gateway.clock = new Date(gateway.clock.getTime() + 1001);
  assert.equal(client.recipient, undefined);
  await client.classify(IMAGE);
  assert.equal(gateway.count("/attestation"), 2);
});
