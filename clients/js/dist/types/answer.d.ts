/** The content of an answer, of which nothing is taken for granted: the enclave is ours, its version perhaps not. */
import { type JsonObject } from "./json.js";
/** One class; `rank` 1 is the best. `score`, 0..1: softmax, or independent of others (`Classification.multiLabel`). */
export interface Prediction {
    readonly rank: number;
    readonly classId: number;
    readonly label: string;
    readonly score: number;
}
/** What an enclave answered. */
export interface Answer {
    readonly predictions: readonly Prediction[];
    /** The model's name, version and more, in the members of the API's answer. */
    readonly model: Readonly<Record<string, unknown>>;
    /** The upright picture's size in pixels; null for a tensor. */
    readonly image: {
        readonly width: number;
        readonly height: number;
    } | null;
    /** The enclave's time by stage, in milliseconds. */
    readonly timingsMs: Readonly<Record<string, number>>;
}
/** Whether each class has an independent score (sigmoid), according to the attested manifest. */
export declare function isMultiLabel(manifest: JsonObject): boolean;
/**
 * The arithmetic of the model according to its attested manifest: "float32" if it has no precision, "unknown" if that has
 * no name.
 */
export declare function precisionOf({ precision }: JsonObject): string;
/** Undefined if a member of `content` is missing, or of another type or range. */
export declare function answerOf(content: JsonObject): Answer | undefined;
