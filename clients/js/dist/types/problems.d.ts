/** Problems (RFC 9457) that gateway and enclave answer with, by their stable codes: blindsight/problems.py. */
import { BlindsightError } from "./errors.js";
import type { JsonObject } from "./json.js";
export declare const MEDIA_TYPE = "application/problem+json";
/** The registered type of a message that was sealed to keys which the enclave does not have. */
export declare const OHTTP_KEY_TYPE = "https://iana.org/assignments/http-problem-types#ohttp-key";
/** Problems that a gateway can have with a message that it cannot read. Any other is the enclave's to state, sealed. */
export declare const GATEWAYS_OWN: ReadonlySet<unknown>;
/** A problem document's: the enclave's own, from inside the envelope, unless it is a `GatewayProblem`. */
export declare class Problem extends BlindsightError {
    #private;
    readonly name: string;
    /** Seconds to wait before the request can succeed, if the answer states them. */
    readonly retryAfter: number | undefined;
    constructor(code: string, detail: string, { nextStep, retry }: {
        nextStep: string;
        retry?: boolean;
    }, retryAfter?: number);
    get retryable(): boolean;
}
/** A refusal that came unsealed. The gateway may have written it, or any party between. */
export declare class GatewayProblem extends Problem {
    readonly name = "GatewayProblem";
}
/** What the problem document `content` states; undefined if its code is not known here. */
export declare function parseProblem(content: JsonObject, kindOf: typeof Problem): Problem | undefined;
/** Every code, with its title and whether the same request may succeed later. */
export declare function titles(): Readonly<Record<string, {
    title: string;
    retryable: boolean;
}>>;
