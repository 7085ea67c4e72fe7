/**
 * The caller's side of the sealed lane: verify an enclave, seal to it, open what it answers (docs/protocol.md).
 *
 *     const client = new Client("https://photos.example", { policy: await readFile("policy.json", "utf8") });
 *     console.log((await client.verify()).render());
 *     const { predictions } = await client.classify(await readFile("dog.jpeg"));
 *
 * Nothing is sealed, and no token sent, to an enclave whose evidence the policy does not accept. What comes back is
 * believed only if it opens: the gateway can refuse to serve, and can do nothing else.
 *
 * Throws, besides `PolicyError` when it is made or when its policy has expired:
 *
 *     EvidenceError     the enclave is not one that the policy accepts; nothing was sent
 *     Problem           the enclave's refusal of this image or request, from inside the envelope
 *     GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
 *     SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
 *     ReceiptError      the receipt that was asked for does not vouch for the answer
 *     TransportError    the gateway was not reached or speaks something else
 *     PlatformError     this browser or runtime has no cryptography (WebCrypto), or not all that is needed
 *
 * A call whose `signal` was aborted throws the signal's reason, like `fetch`.
 */
import { type Answer } from "./answer.js";
import { Policy } from "./policy.js";
import { type Receipt } from "./receipts.js";
import { type Recipient } from "./recipient.js";
import type { VerificationReport } from "./report.js";
/** What went over the wire, as any party between saw it (inside TLS); the starts are 48 bytes long. */
export interface Traffic {
    readonly sentBytes: number;
    readonly sentStart: Uint8Array;
    readonly receivedBytes: number;
    readonly receivedStart: Uint8Array;
    readonly url: string;
}
/** An answer that only the verified enclave can have sealed. */
export interface Classification extends Answer {
    /** Who answered. */
    readonly recipient: Recipient;
    /** How the enclave was verified, step by step. */
    readonly report: VerificationReport;
    /** What to know before relying on it. */
    readonly notices: readonly string[];
    /** Whether each class is scored by itself, so that several can be right; otherwise all scores sum to 1. */
    readonly multiLabel: boolean;
    /** What the receipt says, once it was checked; null if none was asked for. */
    readonly receipt: Receipt | null;
    /** JSON text to keep, if a receipt was asked for: `blindsight receipt verify` and `receipts.verify` take it. */
    readonly archive: string | null;
    readonly traffic: Traffic;
}
export interface ClientOptions {
    /** Which enclaves are accepted: a `Policy`, or the text of a policy file. */
    readonly policy: Policy | string;
    /** Goes with sealed messages only. */
    readonly apiToken?: string | undefined;
    /** Milliseconds for one exchange with the gateway, 60 000 unless given; a call makes up to four. */
    readonly timeout?: number | undefined;
    /** Milliseconds for which verified evidence is relied on, 120 000 unless given. */
    readonly maxEvidenceAge?: number | undefined;
    /** In the place of the global one. */
    readonly fetch?: typeof globalThis.fetch | undefined;
    /** In the place of the machine's clock: for tests. */
    readonly now?: (() => Date) | undefined;
}
export interface VerifyOptions {
    /**
     * For a caller who needs a document with that very nonce, 16 to 512 bytes. It must be one that no party could know
     * before, such as a digest of what was only just found; without, it is random.
     */
    readonly nonce?: Uint8Array | undefined;
    readonly signal?: AbortSignal | undefined;
}
export interface ClassifyOptions {
    /** Without, five classes, or all that the model has. */
    readonly topK?: number | undefined;
    /** The answer's `archive` is what to keep; its receipt has been checked. */
    readonly withReceipt?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
}
/** Verifies the enclave behind the gateway at `url` and seals images to it. The head of this file says what it throws. */
export declare class Client {
    #private;
    /**
     * Throws `PolicyError`, and `TypeError` for what is no policy: there is no way to accept just anything. Throws
     * `TransportError` for an address that is none, and `PlatformError` where there is no WebCrypto.
     */
    constructor(url: string | URL, { policy, apiToken, timeout, maxEvidenceAge, fetch, now }: ClientOptions);
    /** The enclave that images are sealed to now; undefined before it is verified, and when its evidence is too old. */
    get recipient(): Recipient | undefined;
    /** Verify the enclave now. What was accepted before counts no more, whatever the outcome. */
    verify({ nonce, signal }?: VerifyOptions): Promise<VerificationReport>;
    /**
     * Classify one JPEG, PNG or WebP file, or one tensor of float32; its content decides which. Verifies the enclave
     * first, unless that was done in the last two minutes; once more, with new evidence, if the enclave's keys have
     * changed.
     */
    classify(image: Uint8Array | ArrayBuffer, { topK, withReceipt, signal }?: ClassifyOptions): Promise<Classification>;
}
