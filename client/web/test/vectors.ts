/** What both clients are held to: tests/vectors, written by Python (tests/web/vectors.py). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Bytes } from "../src/bytes.ts";
import { VisardError } from "../src/errors.ts";
import { type Request, RequestSchema } from "../src/gen/visard/v1/common_pb.js";

/** A file of the vectors, in the shape that its test expects. */
export function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, "../../../tests/vectors", `${name}.json`), "utf8")) as T;
}

/** Bytes out of base64. */
export function decoded(text: string): Bytes {
  return new Uint8Array(Buffer.from(text, "base64"));
}

/** A request out of the JSON of protobuf. */
export function asked(json: JsonValue): Request {
  return fromJson(RequestSchema, json);
}

/** An error as the vectors have it: its name and its text. */
export type Failure = [name: string, message: string];

/** What work gives, or its error as the vectors have it; other errors are a test's failure. */
export async function outcome(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof VisardError) return [error.name, error.message] satisfies Failure;
    throw error;
  }
}
