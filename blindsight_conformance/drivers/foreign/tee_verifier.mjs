// @0xsequence/tee-verifier 0.1.2: the checks of its `createAttestationVerifyingFetch`, in their order, but for the
// content of an HTTP answer. The pinned root is the question's.

import { createInterface } from "node:readline";

// It is made for browsers, and so is what it takes certificates apart with.
globalThis.window ??= globalThis;
globalThis.self ??= globalThis;
const { SignedAttestation } = await import("@0xsequence/tee-verifier");

async function accepted({ document, nonce, pcrs, roots, time }) {
  const attestation = SignedAttestation.fromDocument(document);
  // Its nonces are base64 text, compared as text.
  if (nonce !== null && attestation.nonce !== new TextDecoder().decode(Buffer.from(nonce, "hex"))) {
    throw new Error("Invalid nonce");
  }
  for (const [index, values] of Object.entries(pcrs)) {
    const actual = attestation.pcrs.get(Number(index));
    if (!actual) throw new Error(`Missing PCR${index}`);
    if (!values.includes(actual)) throw new Error(`Invalid PCR${index}`);
  }
  if (!(await attestation.verifyRootOfTrust(new Date(time)))) throw new Error("Invalid root of trust");
  if ((await attestation.rootCertFingerprint()) !== roots[0].sha256) throw new Error("Invalid root fingerprint");
  if (!(await attestation.verifySignature())) throw new Error("Invalid signature");
}

async function judge(asked) {
  if (asked.mode === "archived") return { unsupported: "no mode for archived documents" };
  if (asked.roots.length !== 1) return { unsupported: "one root" };
  try {
    await accepted(asked);
    return { accepted: true };
  } catch (error) {
    return { accepted: false, reason: String(error).slice(0, 200) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ id: asked.id, ...(await judge(asked)) })}\n`);
}
