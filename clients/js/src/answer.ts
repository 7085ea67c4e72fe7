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

/** Undefined if `content` is of another shape. */
export function answerOf(content: JsonObject): Answer | undefined {
  const { predictions, model, image, timings_ms: timings } = content;
  const classes = Array.isArray(predictions) ? predictions.map(predictionOf) : [undefined];
  const size = image === null ? null : sizeOf(image);
  if (!classes.every((each) => each !== undefined) || size === undefined) return undefined;
  if (!isObject(model) || !isObject(timings) || !isPlain(content)) return undefined;
  const stages = Object.entries(timings).filter((stage): stage is [string, number] => typeof stage[1] === "number");
  if (stages.length !== Object.keys(timings).length) return undefined;
  return { predictions: classes, model, image: size, timingsMs: Object.fromEntries(stages) };
}

function predictionOf(each: Json): Prediction | undefined {
  if (!isObject(each)) return undefined;
  const { rank, class_id: classId, label, score } = each;
  const known = typeof rank === "number" && typeof classId === "number" && typeof score === "number";
  return known && typeof label === "string" ? { rank, classId, label, score } : undefined;
}

function sizeOf(image: Json | undefined): { width: number; height: number } | undefined {
  const { width, height } = isObject(image) ? image : {};
  return typeof width === "number" && typeof height === "number" ? { width, height } : undefined;
}

/** Whether the value can be written as JSON again, number for number. */
function isPlain(value: Json): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "bigint";
  return Object.values(value).every(isPlain);
}
