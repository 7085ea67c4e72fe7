/** The client against a gateway that does what it may, and one that does what it may not. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { base64, equal, hex, utf8, type Bytes } from "../src/protocol/bytes.ts";
import { canonical } from "../src/protocol/canonical.ts";
import { Client, type ClientOptions } from "../src/protocol/client.ts";
import { parseJson, type JsonObject } from "../src/protocol/json.ts";
import { MLKEM768_X25519, X25519_HKDF_SHA256 } from "../src/protocol/keyconfig.ts";
import { parsePolicy } from "../src/protocol/policy.ts";
import { verifyArchive } from "../src/protocol/receipt.ts";
import { ANSWER, decapsulate, decodeRequest, encodeResponse, Enclave, newKey, type Question } from "./enclave.ts";
import { NOW } from "./forge.ts";
import { at, flipped, refused, unhex } from "./support.ts";

const IMAGE = utf8("a photograph");
const enclave = await Enclave.start();
const policy = await enclave.policy();

type Init = RequestInit & { headers: Record<string, string> };

/** A gateway that is honest, unless what it does is replaced. */
class Gateway {
  readonly requests: { url: string; init: Init }[] = [];
  readonly questions: Question[] = [];
  clock = NOW;
  enclave = enclave;

  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = String(input);
    this.requests.push({ url, init: init as Init });
    if (url.includes("/attestation?nonce=")) return await this.attestation(unhex(at(url.split("nonce="), 1)));
    if (url.endsWith("/ohttp")) return await this.ohttp(init?.body as Bytes);
    return new Response(null, { status: 404 });
  };

  attestation = async (nonce: Bytes): Promise<Response> => json(await this.enclave.evidence(nonce, this.clock));
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
    return new Client({
      gateway: "https://photos.example/",
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

function json(value: JsonObject, status = 200, mediaType = "application/json"): Response {
  return new Response(canonical(value), { status, headers: { "content-type": mediaType } });
}

function problem(status: number, code: string, more: JsonObject = {}): Response {
  return json({ code, status, title: "t", detail: "d", ...more }, status, "application/problem+json; charset=utf-8");
}

function ohttpResponse(content: Bytes): Response {
  return new Response(content, { headers: { "content-type": "message/ohttp-res" } });
}

const KEY_PROBLEM = { type: "https://iana.org/assignments/http-problem-types#ohttp-key" };

test("an enclave is verified, in eleven steps", async () => {
  const found = await new Gateway().client().verify();
  assert.deepEqual(
    found.steps.map(({ number }) => number),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  );
  assert.deepEqual(found.steps[10], {
    number: 11,
    name: "Binding",
    checked: "key configurations and model manifest",
    against: "their attested digests",
    result: "passed",
  });
  assert.equal(found.kind, "simulated");
  assert.equal(found.kem, "MLKEM768-X25519");
  assert.deepEqual(found.at, NOW);
  assert.deepEqual(Object.keys(found.pcrs), ["0", "1", "2", "16"]);
  assert.equal(found.model["name"], "resnet50");
  assert.match(found.notices.join(), /SIMULATED/);
  assert.equal(found.functionChecksum.length, 64);
});

test("an envelope of another version is refused, and one that states none is not", async () => {
  for (const format of ["blindsight-attestation/2", "blindsight-attestation", 1, null]) {
    const gateway = new Gateway();
    const { attestation } = gateway;
    gateway.attestation = async (nonce) => json({ ...((await (await attestation(nonce)).json()) as JsonObject), format });
    await assert.rejects(gateway.client().verify(), { code: "unsupported_envelope", step: 1 });
  }
  const gateway = new Gateway();
  const { attestation } = gateway;
  for (const more of [{ format: "blindsight-attestation/1" }, { later: {} }]) {
    gateway.attestation = async (nonce) => json({ ...((await (await attestation(nonce)).json()) as JsonObject), ...more });
    await gateway.client().verify();
  }
});

test("an image is classified: sealed, answered, signed, and kept", async () => {
  const gateway = new Gateway();
  const found = await gateway.client({ token: "bs_token" }).classify(IMAGE, 1);
  assert.deepEqual(found.predictions, [{ rank: 1, class_id: 207, label: "golden retriever", score: 0.8123 }]);
  assert.deepEqual(found.image, { width: 640, height: 480 });
  assert.deepEqual(found.timings_ms, { decode: 3.5, run: 20 });
  assert.equal(found.model["name"], "resnet50");
  assert.equal(found.receipt.iat, NOW.getTime() / 1000);

  const question = at(gateway.questions, 0);
  assert.deepEqual(
    [question.method, question.scheme, question.authority, question.path],
    ["POST", "https", "", "/classify?top_k=1"],
  );
  assert.equal(question.fields["date"], "Sun, 01 Nov 2026 12:00:00 GMT");
  assert.equal(question.fields["receipt-evidence"], found.receipt.evidence_sha256);
  assert.ok(equal(question.content, IMAGE));

  const { url, init } = at(gateway.requests, 1);
  const sent = init.body as Bytes;
  assert.equal(url, "https://photos.example/ohttp");
  assert.deepEqual(
    { ...found.traffic },
    {
      sentBytes: 7 + 1120 + 32 * 1024 + 16,
      sentStart: sent.slice(0, 48),
      receivedBytes: 32 + 8192 + 16,
      receivedStart: found.traffic.receivedStart,
      url,
    },
  );
  assert.equal(found.traffic.receivedStart.length, 48);
  const kept = parseJson(found.archive) as JsonObject;
  await verifyArchive(kept, { policy: parsePolicy(policy), image: IMAGE });
  assert.equal((kept["evidence"] as JsonObject)["document"], base64(found.enclave.document));
});

test("requests carry nothing of the browser's, and the token only what is sealed", async () => {
  const gateway = new Gateway();
  await gateway.client({ token: "bs_token" }).classify(IMAGE);
  for (const { init } of gateway.requests) {
    const { credentials, cache, redirect, referrerPolicy } = init;
    assert.deepEqual(
      { credentials, cache, redirect, referrerPolicy },
      { credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" },
    );
  }
  assert.equal(at(gateway.requests, 0).init.headers["authorization"], undefined);
  assert.equal(at(gateway.requests, 1).init.headers["authorization"], "Bearer bs_token");
  assert.equal(at(gateway.requests, 1).init.headers["content-type"], "message/ohttp-req");
  const without = new Gateway();
  await without.client({ gateway: "" }).classify(IMAGE);
  assert.equal(at(without.requests, 1).url, "/ohttp");
  assert.equal(at(without.requests, 1).init.headers["authorization"], undefined);
});

test("the photo and the answer are nowhere in what is sent and received", async () => {
  const gateway = new Gateway();
  const seen: string[] = [];
  const { ohttp } = gateway;
  gateway.ohttp = async (sealed) => {
    const response = await ohttp(sealed);
    seen.push(hex(sealed), hex(new Uint8Array(await response.clone().arrayBuffer())));
    return response;
  };
  await gateway.client().classify(IMAGE);
  assert.equal(seen.length, 2);
  for (const text of seen) assert.ok(!text.includes(hex(IMAGE)) && !text.includes(hex(utf8("golden retriever"))));
});

test("evidence is relied on for two minutes, and each nonce is new", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await client.verify();
  gateway.clock = new Date(NOW.getTime() + 120_000);
  await client.classify(IMAGE);
  assert.equal(gateway.count("/attestation"), 1);
  gateway.clock = new Date(NOW.getTime() + 120_001);
  await client.classify(IMAGE);
  assert.equal(gateway.count("/attestation"), 2);
  gateway.clock = NOW;
  await client.classify(IMAGE);
  assert.equal(gateway.count("/attestation"), 3);
  const nonces = new Set(gateway.requests.map(({ url }) => url).filter((url) => url.includes("nonce=")));
  assert.equal(nonces.size, 3);
});

test("many at once verify once", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await Promise.all(Array.from({ length: 5 }, () => client.classify(IMAGE)));
  assert.equal(gateway.count("/attestation"), 1);
  assert.equal(gateway.count("/ohttp"), 5);
});

test("replaced keys: new evidence, sealed anew, once", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await client.verify();
  gateway.enclave = new Enclave([await newKey(9, MLKEM768_X25519)], enclave.receiptKey);
  const { ohttp } = gateway;
  gateway.ohttp = async (sealed) => (sealed[0] === 9 ? await ohttp(sealed) : problem(422, "ohttp_key", KEY_PROBLEM));
  const { predictions } = await client.classify(IMAGE);
  assert.equal(predictions.length, 1);
  assert.equal(gateway.count("/attestation"), 2);
  gateway.ohttp = async () => problem(422, "ohttp_key", KEY_PROBLEM);
  await refused(() => client.classify(IMAGE), "unknown_key");
  assert.equal(gateway.count("/attestation"), 3);
  assert.equal(gateway.count("/ohttp"), 4);
});

test("nothing is sealed to an enclave that the policy does not accept", async () => {
  const gateway = new Gateway();
  const client = gateway.client({ policy: await enclave.policy({ function_checksums: ["1".repeat(64)] }) });
  await refused(() => client.verify(), "function_not_accepted", 9);
  await refused(() => client.classify(IMAGE), "function_not_accepted", 9);
  assert.equal(gateway.count("/ohttp"), 0);
});

test("the release is named, and what it leaves open comes first of all that is to be known", async () => {
  const found = await new Gateway().client().verify();
  assert.deepEqual([found.release, found.leftOpen, found.until], ["forged", [], null]);
  assert.doesNotMatch(found.notices.join(), /LEAVES OPEN/);
  const open = { pcrs: undefined, function_checksums: undefined, any_code: true, any_function: true, name: undefined };
  const client = new Gateway().client({ policy: await enclave.policy(open) });
  const { release, leftOpen, notices } = (await client.classify(IMAGE)).enclave;
  assert.deepEqual([release, leftOpen], [null, ["code", "function"]]);
  assert.deepEqual(notices.slice(0, 2), [
    "POLICY LEAVES OPEN: the code. Any program that the host starts is accepted, whatever it claims.",
    "POLICY LEAVES OPEN: the function. Any bundle that the host puts into the enclave is accepted.",
  ]);
  assert.match(notices[2] ?? "", /^SIMULATED/);
});

for (const [what, code] of [["policy", "policy_expired"], ["release", "release_expired"]] as const) {
  test(`verified evidence is not relied on beyond the end of its ${what}`, async () => {
    const gateway = new Gateway();
    const end = new Date(NOW.getTime() + 5000);
    const ending = { expires: end.toISOString().replace(".000", "") };
    const client = gateway.client({
      policy: await (what === "policy" ? enclave.policy({}, ending) : enclave.policy(ending)),
    });
    assert.deepEqual((await client.verify()).until, end);
    gateway.clock = new Date(end.getTime() - 1);
    await client.classify(IMAGE);
    assert.deepEqual([gateway.count("/attestation"), gateway.count("/ohttp")], [1, 1]);
    gateway.clock = end;
    await refused(() => client.classify(IMAGE), code);
    assert.equal(gateway.count("/ohttp"), 1);
  });
}

test("a failed verification takes back what was accepted before", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  await client.verify();
  const { attestation } = gateway;
  gateway.attestation = async () => problem(503, "enclave_unavailable");
  await refused(() => client.verify(), "enclave_unavailable");
  await refused(() => client.classify(IMAGE), "enclave_unavailable");
  assert.equal(gateway.count("/ohttp"), 0);
  gateway.attestation = attestation;
  await client.classify(IMAGE);
});

test("evidence for another caller, with other keys, or with another manifest", async () => {
  const gateway = new Gateway();
  gateway.attestation = async () => json(await enclave.evidence(new Uint8Array(32)));
  await refused(() => gateway.client().verify(), "nonce_mismatch", 10);
  const other = await Enclave.start();
  gateway.attestation = async (nonce) => {
    const [ours, theirs] = [await enclave.evidence(nonce), await other.evidence(nonce)];
    return json({ ...ours, key_configs: theirs["key_configs"] ?? "" });
  };
  await refused(() => gateway.client().verify(), "key_configs_mismatch", 11);
  gateway.attestation = async (nonce) => json({ ...(await enclave.evidence(nonce)), model: { name: "other" } });
  await refused(() => gateway.client().verify(), "model_mismatch", 11);
  gateway.attestation = async (nonce) => {
    const { model: _, ...others } = await enclave.evidence(nonce);
    return json(others);
  };
  await refused(() => gateway.client().verify(), "model_mismatch", 11);
});

test("an enclave with none of the known ciphers, and one with X25519 alone", async () => {
  const gateway = new Gateway();
  gateway.enclave = new Enclave([await newKey(1, MLKEM768_X25519, [3])], enclave.receiptKey);
  await refused(() => gateway.client().verify(), "unsupported_suite");
  gateway.enclave = new Enclave([await newKey(1, X25519_HKDF_SHA256)], enclave.receiptKey);
  const { enclave: found } = await gateway.client().classify(IMAGE);
  assert.equal(found.kem, "X25519");
});

const UNUSABLE: [string, () => Response, string][] = [
  ["not JSON", () => new Response("<html>"), "unexpected_answer"],
  ["a list", () => new Response("[]"), "unexpected_answer"],
  ["no document", () => json({ key_configs: "", model: {} }), "unexpected_answer"],
  ["no base64", () => json({ document: "?", key_configs: "", model: {} }), "unexpected_answer"],
  ["an empty document", () => json({ document: "", key_configs: "", model: {} }), "malformed_cbor"],
  ["status 500 without a problem", () => new Response("", { status: 500 }), "unexpected_answer"],
  ["status 503 without a problem", () => new Response("", { status: 503 }), "unavailable"],
];

for (const [what, response, code] of UNUSABLE) {
  test(`unusable evidence: ${what}`, async () => {
    const gateway = new Gateway();
    gateway.attestation = async () => response();
    await refused(() => gateway.client().verify(), code);
  });
}

test("a gateway's own refusals, as such", async () => {
  const gateway = new Gateway();
  for (const [status, code, retryable] of [
    [401, "unauthenticated", false],
    [503, "overloaded", true],
    [413, "image_too_large", false],
  ] as const) {
    gateway.ohttp = async () => problem(status, code);
    const error = await refused(() => gateway.client().classify(IMAGE), code);
    assert.deepEqual(
      [error.fromGateway, error.fromEnclave, error.retryable, error.message],
      [true, false, retryable, "d"],
    );
  }
});

const FORGED: [string, () => Response, string][] = [
  ["a problem that only the enclave can know of", () => problem(422, "not_an_image"), "not_sealed"],
  ["ohttp_key under another type", () => problem(422, "ohttp_key"), "not_sealed"],
  ["an answer in the clear", () => json(ANSWER), "not_sealed"],
  ["a page", () => new Response("<html>", { headers: { "content-type": "text/html" } }), "not_sealed"],
  ["an unknown problem", () => problem(418, "teapot"), "unexpected_answer"],
  ["an unknown problem, 503", () => problem(503, "teapot"), "unavailable"],
  ["status 404", () => new Response(null, { status: 404 }), "unexpected_answer"],
  ["status 502", () => new Response("", { status: 502 }), "unavailable"],
  ["an empty sealed answer", () => ohttpResponse(new Uint8Array()), "answer_not_genuine"],
  ["a random sealed answer", () => ohttpResponse(crypto.getRandomValues(new Uint8Array(8240))), "answer_not_genuine"],
];

for (const [what, response, code] of FORGED) {
  test(`not the enclave's: ${what}`, async () => {
    const gateway = new Gateway();
    gateway.ohttp = async () => response();
    const error = await refused(() => gateway.client().classify(IMAGE), code);
    assert.deepEqual([error.fromGateway, error.fromEnclave], [false, false]);
    assert.equal(gateway.count("/ohttp"), 1);
    assert.equal(gateway.count("/classify"), 0);
  });
}

test("a damaged answer, and the answer to an earlier request", async () => {
  const gateway = new Gateway();
  const client = gateway.client();
  const answers: Bytes[] = [];
  const { ohttp } = gateway;
  gateway.ohttp = async (sealed) => {
    const answer = new Uint8Array(await (await ohttp(sealed)).arrayBuffer());
    answers.push(answer);
    return ohttpResponse(flipped(answer, 8 * 100));
  };
  await refused(() => client.classify(IMAGE), "answer_not_genuine");
  gateway.ohttp = async () => ohttpResponse(at(answers, 0));
  await refused(() => client.classify(IMAGE), "answer_not_genuine");
});

test("sealed content that is no binary HTTP", async () => {
  const gateway = new Gateway();
  gateway.respond = async () => utf8("not binary HTTP");
  await refused(() => gateway.client().classify(IMAGE), "answer_not_genuine");
});

test("the enclave's own refusals, as such", async () => {
  const gateway = new Gateway();
  const sealedProblem = (content: JsonObject): void => {
    gateway.respond = async () => encodeResponse(422, "application/problem+json", canonical(content));
  };
  sealedProblem({ code: "not_an_image", detail: "No decoder knows it." });
  const error = await refused(() => gateway.client().classify(IMAGE), "not_an_image");
  assert.deepEqual([error.fromEnclave, error.fromGateway, error.message], [true, false, "No decoder knows it."]);
  sealedProblem({ code: "not_an_image" });
  assert.equal(
    (await refused(() => gateway.client().classify(IMAGE), "not_an_image")).message,
    "The body is not an image.",
  );
  sealedProblem({ code: "constructor" });
  await refused(() => gateway.client().classify(IMAGE), "unexpected_answer");
});

test("answers of an unknown form, though signed", async () => {
  const forms: JsonObject[] = [
    { ...ANSWER, predictions: {} },
    { ...ANSWER, predictions: [{ rank: 1 }] },
    { ...ANSWER, image: {} },
    { ...ANSWER, model: [] },
    { ...ANSWER, timings_ms: { run: "fast" } },
  ];
  for (const form of forms) {
    const gateway = new Gateway();
    gateway.respond = async (question) => {
      const payload = await enclave.receiptPayload(form, question.content, question.fields["receipt-evidence"] ?? "");
      return encodeResponse(
        200,
        "application/json",
        canonical({ ...form, receipt: await enclave.receiptKey.sign(payload) }),
      );
    };
    await refused(() => gateway.client().classify(IMAGE), "unexpected_answer");
  }
});

test("answers whose receipt does not hold", async () => {
  const gateway = new Gateway();
  gateway.respond = async () => encodeResponse(200, "application/json", canonical(ANSWER));
  await refused(() => gateway.client().classify(IMAGE), "malformed_receipt");
  gateway.respond = async (question) => {
    const answer = await enclave.answer({ ...question, content: utf8("another photograph") });
    return encodeResponse(200, "application/json", canonical(answer));
  };
  await refused(() => gateway.client().classify(IMAGE), "receipt_input_mismatch");
});

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

  const waiting = (_: unknown, init?: RequestInit): Promise<Response> =>
    new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error)));
  const keepAlive = setTimeout(() => undefined, 10_000);
  await refused(() => gateway.client({ fetch: waiting, timeout: 20 }).verify(), "timed_out");
  const stalling = async (_: unknown, init?: RequestInit): Promise<Response> =>
    new Response(
      new ReadableStream({
        start: (controller) => init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason)),
      }),
    );
  await refused(() => gateway.client({ fetch: stalling, timeout: 20 }).verify(), "timed_out");
  clearTimeout(keepAlive);
});

test("policies that must not be used, and pages without cryptography", async (context) => {
  await refused(() => new Gateway().client({ policy: "{}" }), "invalid_policy");
  context.mock.getter(globalThis.crypto, "subtle", () => undefined);
  await refused(() => new Gateway().client(), "no_webcrypto");
});
