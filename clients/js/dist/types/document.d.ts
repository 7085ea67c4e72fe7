/**
 * The payload of a Nitro attestation document, parsed strictly and without trusting it.
 *
 * Source: AWS Nitro Enclaves NSM API, docs/attestation_process.md, sections 3.1 (format) and 3.2.2 (field checks), and
 * what genuine documents carry where the two differ: CBOR null for optional fields, more than 512 bytes of user data,
 * and since July 2025 an outer map of indefinite length. Both forms of that map are taken; what it holds is definite.
 */
import type { Bytes } from "./bytes.js";
import type { CborKey } from "./cbor.js";
/** AWS's limit for the payload, taken here for the whole message. Genuine documents have 4.4 to 5.2 kB. */
export declare const MAX_DOCUMENT_BYTES: number;
/** SHA-384. AWS allows 32 and 64 for digests that no Nitro system uses. */
export declare const PCR_BYTES = 48;
export declare const MAX_PCRS = 32;
/**
 * The fields of an attestation document. Nothing in it is trustworthy before `verify` has returned it.
 *
 * `pcrs` maps index to 48 bytes; `certificate` and `cabundle` are DER, the bundle from the root to the issuer of
 * `certificate`, never empty.
 */
export interface AttestationDocument {
    readonly moduleId: string;
    readonly timestamp: Date;
    readonly pcrs: ReadonlyMap<number, Bytes>;
    readonly certificate: Bytes;
    readonly cabundle: readonly [Bytes, ...Bytes[]];
    readonly publicKey: Bytes | null;
    readonly userData: Bytes | null;
    readonly nonce: Bytes | null;
    /** Keys of the payload that this parser skipped: they are signed, and no check depends on what they hold. */
    readonly unknownFields: readonly CborKey[];
}
/** Parse the payload of a COSE_Sign1 message. Throws `EvidenceError`, marked with `step`. */
export declare function parseDocument(payload: Bytes, step: number): AttestationDocument;
