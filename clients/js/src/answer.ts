/** The content of an answer, of which nothing is taken for granted: the enclave is ours, its version perhaps not. */

import { isObject, type Json, type JsonObject } from "./json.ts";

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
  readonly image: { readonly width: number; readonly height: number } | null;
  /** The enclave's time by stage, in milliseconds. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

/** Whether each class has an independent score (sigmoid), according to the attested manifest. */
export function isMultiLabel(manifest: JsonObject): boolean {
  const { output } = manifest;
  return isObject(output) && output["activation"] === "sigmoid";
}

/**
 * The arithmetic of the model according to its attested manifest: "float32" if it has no precision, "unknown" if that has
 * no name.
 */
export function precisionOf({ precision }: JsonObject): string {
  if (precision === undefined) return "float32";
  const name = isObject(precision) ? precision["name"] : undefined;
  return typeof name === "string" ? name : "unknown";
}

/** Types of the known members of `model`. Answers of older versions lack the last two; the last may be null. */
const MODEL_MEMBERS: Readonly<Record<string, string>> = {
  name: "string",
  version: "string",
  digest: "string",
  trained: "boolean",
  precision: "string",
  multi_label: "boolean",
};

/** Undefined if a member of `content` is missing, or of another type or range. */
export function answerOf(content: JsonObject): Answer | undefined {
  const { predictions, model, image, timings_ms: timings } = content;
  const listed = Array.isArray(predictions) && predictions.length > 0 ? predictions : [null];
  const classes = listed.map(predictionOf);
  const size = image === null ? null : sizeOf(image);
  if (!classes.every((each) => each !== undefined) || size === undefined) return undefined;
  if (!isModel(model) || !isObject(timings) || !isPlain(content)) return undefined;
  const stages = Object.entries(timings).filter((stage): stage is [string, number] => Number.isFinite(stage[1]));
  if (stages.length !== Object.keys(timings).length) return undefined;
  return { predictions: classes, model, image: size, timingsMs: Object.fromEntries(stages) };
}

function predictionOf(each: Json): Prediction | undefined {
  if (!isObject(each)) return undefined;
  const { rank, class_id: classId, label, score } = each;
  if (!isWhole(rank, 1) || !isWhole(classId, 0) || typeof label !== "string") return undefined;
  return typeof score === "number" && score >= 0 && score <= 1 ? { rank, classId, label, score } : undefined;
}

function isModel(model: Json | undefined): model is JsonObject {
  return (
    isObject(model) &&
    Object.entries(MODEL_MEMBERS).every(([name, kind]) => {
      const value = model[name];
      return value === undefined || typeof value === kind || (name === "multi_label" && value === null);
    })
  );
}

function isWhole(value: Json | undefined, least: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least;
}

function sizeOf(image: Json | undefined): { width: number; height: number } | undefined {
  const { width, height } = isObject(image) ? image : {};
  return isWhole(width, 1) && isWhole(height, 1) ? { width, height } : undefined;
}

/** Whether the value can be written as JSON again, number for number. */
function isPlain(value: Json): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  return Object.values(value).every(isPlain);
}
