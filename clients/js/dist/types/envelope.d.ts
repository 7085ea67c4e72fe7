/**
 * The envelope that evidence travels in to callers: the JSON of `GET /attestation` (docs/protocol.md, section 1).
 *
 * Nothing in it is authenticated but what the document in it vouches for.
 */
import { type Bytes } from "./bytes.js";
import { type JsonObject } from "./json.js";
/** The version of the envelope; members may be added within it. */
export declare const FORMAT = "blindsight-attestation/1";
/** Refuse another version. Releases before 0.2.0 stated none. Throws `EvidenceError` (`unsupported_envelope`). */
export declare function checkFormat({ format }: JsonObject): void;
/** The attestation document in a kept file: its bytes, or an envelope's member. Throws `EvidenceError`. */
export declare function documentIn(kept: Uint8Array): Bytes;
