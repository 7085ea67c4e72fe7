/**
 * The client of the sealed lane: it verifies an enclave, encrypts requests to it, and decrypts its answers
 * (docs/protocol.md).
 *
 *     const client = new Client("https://photos.example", { policy: await readFile("policy.json", "utf8") });
 *     console.log((await client.verify()).render());
 *     const { predictions } = await client.classify(await readFile("dog.jpeg"));
 *
 * The client sends no image and no token before the policy has accepted the enclave's evidence. It accepts only answers
 * that decrypt with the request's keys, so the gateway can refuse to serve, but cannot forge an answer.
 *
 * Throws, besides `PolicyError` at construction or when the policy has expired:
 *
 *     EvidenceError     the policy does not accept the enclave; nothing was sent
 *     Problem           the enclave's refusal of this image or request, from inside the sealed answer
 *     GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
 *     SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
 *     ReceiptError      the requested receipt does not match the answer
 *     TransportError    the gateway was not reached or does not follow the protocol
 *     PlatformError     this browser or runtime has no WebCrypto, or lacks an algorithm
 *
 * A call whose `signal` was aborted throws the signal's reason, like `fetch`.
 */
import { type Answer } from "./answer.js";
import { Policy } from "./policy.js";
import { type Receipt } from "./receipts.js";
import { type Recipient } from "./recipient.js";
import type { VerificationReport } from "./report.js";
/** The transmitted messages, as a party between sees them (inside TLS); the starts have 48 bytes. */
export interface Traffic {
    readonly sentBytes: number;
    readonly sentStart: Uint8Array;
    readonly receivedBytes: number;
    readonly receivedStart: Uint8Array;
    readonly url: string;
}
/** An authenticated answer of the verified enclave. */
export interface Classification extends Answer {
    /** The enclave. */
    readonly recipient: Recipient;
    /** The verification report of the enclave. */
    readonly report: VerificationReport;
    /** Statements to show with the answer, such as that the evidence is simulated. */
    readonly notices: readonly string[];
    /** Whether the model scores each class independently; otherwise all scores sum to 1. */
    readonly multiLabel: boolean;
    /** The arithmetic of the model according to its attested manifest: "float32", or "int8". */
    readonly precision: string;
    /** The verified receipt; null if none was requested. */
    readonly receipt: Receipt | null;
    /** JSON text to store, if a receipt was requested; `blindsight receipt verify` and `receipts.verify` verify it. */
    readonly archive: string | null;
    readonly traffic: Traffic;
}
export interface ClientOptions {
    /** The accepted enclaves: a `Policy`, or the text of a policy file. */
    readonly policy: Policy | string;
    /** API token of the gateway; sent only with sealed messages. */
    readonly apiToken?: string | undefined;
    /** Timeout of one exchange with the gateway in milliseconds, by default 60 000; a call makes up to four exchanges. */
    readonly timeout?: number | undefined;
    /** Milliseconds for which the client relies on verified evidence, by default 120 000. */
    readonly maxEvidenceAge?: number | undefined;
    /** Replaces the global `fetch`. */
    readonly fetch?: typeof globalThis.fetch | undefined;
    /** Replaces the machine's clock, for tests. */
    readonly now?: (() => Date) | undefined;
}
export interface VerifyOptions {
    /**
     * For callers who need a document with a particular nonce, 16 to 512 bytes. No party may have been able to know it
     * before, such as a digest of new data. By default the nonce is random.
     */
    readonly nonce?: Uint8Array | undefined;
    readonly signal?: AbortSignal | undefined;
}
export interface ClassifyOptions {
    /** Number of classes; by default five, or all if the model has fewer. */
    readonly topK?: number | undefined;
    /** Request and verify a receipt; the answer's `archive` is the text to store. */
    readonly withReceipt?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
}
/** Verifies the enclave behind the gateway at `url` and encrypts images to it. See the head of this file for errors. */
export declare class Client {
    #private;
    /**
     * Throws `PolicyError`, and `TypeError` if `policy` is not a policy: no value accepts every enclave. Throws
     * `TransportError` for an invalid address, and `PlatformError` without WebCrypto.
     */
    constructor(url: string | URL, { policy, apiToken, timeout, maxEvidenceAge, fetch, now }: ClientOptions);
    /** The verified enclave; undefined before verification, and when its evidence is too old. */
    get recipient(): Recipient | undefined;
    /** Verify the enclave now. Discards the previous result, whatever the outcome. */
    verify({ nonce, signal }?: VerifyOptions): Promise<VerificationReport>;
    /**
     * Classify one JPEG, PNG or WebP file, or one float32 tensor; the enclave detects which from the content. Verifies the
     * enclave first, unless its evidence is recent enough; if the enclave's keys have changed, verifies and sends once
     * more.
     */
    classify(image: Uint8Array | ArrayBuffer, { topK, withReceipt, signal }?: ClassifyOptions): Promise<Classification>;
}
