/** The built client against a gateway that does what it may, and one that does what it may not. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GatewayProblem, Policy, Problem, receipts, type Classification } from "blindsight-client";

import { isMultiLabel, precisionOf } from "../src/answer.ts";
import { base64, equal, hex, utf8, type Bytes } from "../src/bytes.ts";
import { canonical } from "../src/canonical.ts";
import { parseJson, type JsonObject } from "../src/json.ts";
import { MLKEM768_X25519, X25519_HKDF_SHA256 } from "../src/keyconfig.ts";
import { ANSWER, encodeResponse, Enclave, newKey } from "./enclave.ts";
import { NOW } from "./forge.ts";
import { enclave, Gateway, IMAGE, json, ohttpResponse, policy, problem } from "./gateway.ts";
import { at, flipped, refused } from "./support.ts";

function archiveOf({ archive }: Classification): string {
  return archive ?? assert.fail("nothing to keep");
}

const KEY_PROBLEM = { type: "https://iana.org/assignments/http-problem-types#ohttp-key" };

test("an enclave is verified, in eleven steps", async () => {
  const client = new Gateway().client();
  const before = client.recipient;
  assert.equal(before, undefined);
  const found = await client.verify();
  const recipient = client.recipient ?? assert.fail();
  assert.equal(recipient.report, found);
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
  assert.deepEqual([found.at, found.archived], [NOW, false]);
  assert.equal(recipient.config.kem.name, "MLKEM768-X25519");
  assert.deepEqual(Object.keys(recipient.measurements), ["0", "1", "2", "16"]);
  assert.equal(recipient.manifest["name"], "resnet50");
  assert.match(recipient.notice ?? "", /SIMULATED/);
  assert.equal(recipient.functionChecksum.length, 64);
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
  const found = await gateway.client({ apiToken: "bs_token" }).classify(IMAGE, { topK: 1, withReceipt: true });
  assert.deepEqual(found.predictions, [{ rank: 1, classId: 207, label: "golden retriever", score: 0.8123 }]);
  assert.deepEqual(found.image, { width: 640, height: 480 });
  assert.deepEqual(found.timingsMs, { decode: 3.5, run: 20 });
  assert.equal(found.model["name"], "resnet50");
  assert.equal(found.multiLabel, false);
  assert.equal(found.precision, "float32");
  assert.equal(found.receipt?.iat, NOW.getTime() / 1000);

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
  await receipts.verify(archiveOf(found), { policy: Policy.fromJson(policy), image: IMAGE });
  const kept = parseJson(archiveOf(found)) as JsonObject;
  assert.equal((kept["evidence"] as JsonObject)["document"], base64(found.recipient.document));
});

test("without a receipt there is nothing to keep", async () => {
  const gateway = new Gateway();
  const { receipt, archive } = await gateway.client().classify(IMAGE);
  assert.deepEqual([receipt, archive], [null, null]);
  assert.equal(at(gateway.questions, 0).fields["receipt-evidence"], undefined);
});

test("requests carry nothing of the browser's, and the token only what is sealed", async () => {
  const gateway = new Gateway();
  await gateway.client({ apiToken: "bs_token" }).classify(IMAGE);
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
  await without.client().classify(IMAGE);
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

test("a model is multi-label where its manifest says that scores are of a sigmoid", () => {
  assert.equal(isMultiLabel({ output: { activation: "sigmoid" } }), true);
  for (const output of [{ activation: "softmax" }, {}, "sigmoid", ["sigmoid"], null]) {
    assert.equal(isMultiLabel({ output }), false);
  }
  assert.equal(isMultiLabel({}), false);
});

test("a model's precision is that of its manifest, and float32 without one", () => {
  assert.equal(precisionOf({}), "float32");
  assert.equal(precisionOf({ precision: { name: "int8", of: "00" } }), "int8");
  for (const precision of [null, "int8", {}, { name: 8 }, ["int8"]]) {
    assert.equal(precisionOf({ precision }), "unknown");
  }
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
  const { report, recipient, notices: few } = await new Gateway().client().classify(IMAGE);
  assert.deepEqual([report.release, report.leftOpen, recipient.verified.until], ["forged", [], null]);
  assert.doesNotMatch(few.join(), /LEAVES OPEN/);
  const open = { pcrs: undefined, function_checksums: undefined, any_code: true, any_function: true, name: undefined };
  const client = new Gateway().client({ policy: await enclave.policy(open) });
  const { report: found, notices } = await client.classify(IMAGE);
  assert.deepEqual([found.release, found.leftOpen], [null, ["code", "function"]]);
  assert.deepEqual(found.warnings, notices.slice(0, 2));
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
    await client.verify();
    assert.deepEqual(client.recipient?.verified.until, end);
    gateway.clock = new Date(end.getTime() - 1);
    await client.classify(IMAGE);
    assert.deepEqual([gateway.count("/attestation"), gateway.count("/ohttp")], [1, 1]);
    gateway.clock = end;
    assert.equal(client.recipient, undefined);
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

const [OFFERED, AWAY, ACCEPTED] = ["0".repeat(16), "1".repeat(16), "2".repeat(16)];

/** Evidence with another manifest than it attests, from a gateway that lists these enclaves. */
async function refusable(nonce: Bytes, listed: JsonObject): Promise<Response> {
  return json({ ...(await enclave.evidence(nonce)), model: { name: "other" }, ...listed });
}

test("of several enclaves, the one that the policy accepts is used", async () => {
  const gateway = new Gateway();
  const { attestation } = gateway;
  gateway.attestation = async (nonce, id) => {
    if (id === AWAY) return problem(503, "enclave_unavailable");
    if (id === ACCEPTED) return await attestation(nonce, id);
    assert.equal(id, null);
    return await refusable(nonce, { enclave_id: OFFERED, enclaves: [OFFERED, AWAY, ACCEPTED] });
  };
  await gateway.client().classify(IMAGE);
  assert.deepEqual([gateway.count("/attestation"), gateway.count("/ohttp")], [3, 1]);
});

test("of several enclaves that the policy refuses, the first refusal is told, and each is asked once", async () => {
  const many = Array.from({ length: 1000 }, (_, index) => index.toString(16).padStart(16, "0"));
  for (const [listed, asked] of [
    [{ enclave_id: OFFERED, enclaves: [OFFERED, AWAY, ACCEPTED] }, 3],
    [{ enclave_id: OFFERED, enclaves: [OFFERED] }, 1],
    [{ enclaves: ["../x", 1, null, {}, "0".repeat(17), `${AWAY}&`] }, 1],
    [{ enclaves: {} }, 1],
    [{}, 1],
    [{ enclaves: many }, 65],
  ] as [JsonObject, number][]) {
    const gateway = new Gateway();
    gateway.attestation = async (nonce) => await refusable(nonce, listed);
    await refused(() => gateway.client().verify(), "model_mismatch", 11);
    assert.equal(gateway.count("/attestation"), asked);
  }
});

test("an enclave with none of the known ciphers, and one with X25519 alone", async () => {
  const gateway = new Gateway();
  gateway.enclave = new Enclave([await newKey(1, MLKEM768_X25519, [3])], enclave.receiptKey);
  await refused(() => gateway.client().verify(), "unsupported_suite");
  gateway.enclave = new Enclave([await newKey(1, X25519_HKDF_SHA256)], enclave.receiptKey);
  const { recipient } = await gateway.client().classify(IMAGE);
  assert.equal(recipient.config.kem.name, "X25519");
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
    assert.ok(error instanceof GatewayProblem);
    assert.deepEqual([error.name, error.retryable, error.message], ["GatewayProblem", retryable, "d"]);
  }
});

test("a limit of the caller, with the time to wait", async () => {
  const gateway = new Gateway();
  for (const [code, retryable, stated, retryAfter] of [
    ["rate_limited", true, 7, 7],
    ["quota_exceeded", false, 86400, 86400],
    ["rate_limited", true, -1, undefined],
    ["rate_limited", true, "7", undefined],
    ["rate_limited", true, 0.5, undefined],
    ["rate_limited", true, undefined, undefined],
  ] as const) {
    gateway.ohttp = async () => problem(429, code, stated === undefined ? {} : { retry_after: stated });
    const error = await refused(() => gateway.client().classify(IMAGE), code);
    assert.ok(error instanceof GatewayProblem);
    assert.deepEqual([error.retryable, error.retryAfter], [retryable, retryAfter]);
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
    assert.ok(!(error instanceof Problem));
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

test("sealed content that is not binary HTTP", async () => {
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
  assert.ok(error instanceof Problem && !(error instanceof GatewayProblem));
  assert.deepEqual([error.name, error.message, error.retryable], ["Problem", "No decoder knows it.", false]);
  sealedProblem({ code: "not_an_image" });
  assert.equal(
    (await refused(() => gateway.client().classify(IMAGE), "not_an_image")).message,
    "The body is not an image.",
  );
  sealedProblem({ code: "constructor" });
  await refused(() => gateway.client().classify(IMAGE), "unexpected_answer");
});

/** An answer in which a member of the class has another type or is out of range. */
function prediction(change: JsonObject): JsonObject {
  const [first] = ANSWER["predictions"] as JsonObject[];
  return { ...ANSWER, predictions: [{ ...first, ...change }] };
}

test("answers of an unknown form, though signed", async () => {
  const forms: JsonObject[] = [
    { ...ANSWER, predictions: {} },
    { ...ANSWER, predictions: [{ rank: 1 }] },
    { ...ANSWER, image: {} },
    { ...ANSWER, model: [] },
    { ...ANSWER, timings_ms: { run: "fast" } },
    { ...ANSWER, timings_ms: { run: null } },
    { ...ANSWER, predictions: [] },
    { ...ANSWER, predictions: [null] },
    ...[{ rank: 0 }, { rank: 1.5 }, { rank: true }, { rank: 2 ** 53 }, { class_id: -1 }, { class_id: "207" }].map(prediction),
    ...[{ score: 1.1 }, { score: -0.1 }, { score: true }, { score: null }, { label: 1 }].map(prediction),
    ...[{ width: 0, height: 3 }, { width: 4.5, height: 3 }, { width: true, height: 3 }].map((image) => ({
      ...ANSWER,
      image,
    })),
    ...[{ name: 1 }, { trained: "true" }, { precision: 8 }, { multi_label: "yes" }, { digest: null }].map((change) => ({
      ...ANSWER,
      model: { ...(ANSWER["model"] as JsonObject), ...change },
    })),
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
  await gateway.client().classify(IMAGE);
  await refused(() => gateway.client().classify(IMAGE, { withReceipt: true }), "malformed_receipt");
  gateway.respond = async (question) => {
    const answer = await enclave.answer({ ...question, content: utf8("another photograph") });
    return encodeResponse(200, "application/json", canonical(answer));
  };
  await refused(() => gateway.client().classify(IMAGE, { withReceipt: true }), "receipt_input_mismatch");
});
