/**
 * Receipts: the enclave's signature over digests of image, answer, model and function (docs/protocol.md, section 6).
 *
 * A receipt is a compact JWS (RFC 7515, ES256). Its header contains the key, whose thumbprint (RFC 7638) must be in the
 * evidence. A holder of receipt, answer and evidence can verify them offline.
 */
import { type Bytes } from "./bytes.js";
import { type JsonObject } from "./json.js";
import type { Policy } from "./policy.js";
import type { VerificationReport } from "./report.js";
import { type Verified } from "./verify.js";
export declare const SCHEMA = "blindsight-receipt/1";
/** Header field of the inner request that asks for a receipt: SHA-256, in hex, of the document that is relied on. */
export declare const EVIDENCE_FIELD = "receipt-evidence";
declare const DIGEST_MEMBERS: readonly ["input_sha256", "output_sha256", "func_checksum", "model_sha256", "weights_sha256", "evidence_sha256"];
/** The contents of a receipt. Digests are SHA-256 in lower-case hexadecimal, `iat` is in whole seconds since 1970. */
export type Receipt = Readonly<Record<(typeof DIGEST_MEMBERS)[number], string>> & {
    readonly schema: typeof SCHEMA;
    readonly iat: number;
};
/** Evidence that the caller has verified: the document, what it claims and when it was made, the attested manifest. */
export interface Attested {
    readonly document: Bytes;
    readonly verified: Verified;
    readonly manifest: JsonObject;
}
/**
 * Check a receipt against its `answer`, the evidence that it is for, and the image if it is at hand.
 *
 * Throws `ReceiptError` (`malformed_receipt`, or one of the codes that begin with `receipt_`).
 */
export declare function checkReceipt(answer: JsonObject, { document, verified, manifest }: Attested, image: Uint8Array | null): Promise<Receipt>;
/** The answer with the evidence of its receipt, as JSON text to store. */
export declare function archive(answer: JsonObject, { document, manifest }: Pick<Attested, "document" | "manifest">): string;
/** A valid receipt with the report of its evidence. `imageChecked`: the image was available and compared. */
export interface VerifiedReceipt {
    readonly receipt: Receipt;
    readonly report: VerificationReport;
    readonly imageChecked: boolean;
}
/**
 * Verify the text of an answer's `archive` with its receipt and its evidence, offline. Without `image`, the image is not
 * compared.
 *
 * The evidence is judged at its own time, under `policy`. Throws `ReceiptError`, `EvidenceError` or `PolicyError`.
 */
export declare function verify(kept: string, { policy, image }: {
    policy: Policy;
    image?: Uint8Array | null;
}): Promise<VerifiedReceipt>;
export {};
