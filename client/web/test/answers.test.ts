/** Of what three parties answer only what all of them vouch for is believed, as in Python. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { hashKeys, peeled } from "../src/cells.ts";
import type { Outcomes } from "../src/combining.ts";
import { Context } from "../src/context.ts";
import { SealedResultSchema } from "../src/gen/visard/v1/common_pb.js";
import * as opening from "../src/opening.ts";
import { Secret } from "../src/secret.ts";
import { asked, decoded, type Failure, outcome, read } from "./vectors.ts";

interface Cells {
  room: number;
  seed: string;
  table: string;
  labels: [string, string][] | null;
}

interface Answers {
  request: JsonValue;
  reply_keys: string[];
  cases: { name: string; ask: string; results: JsonValue[]; answer?: unknown; error?: Failure }[];
}

const ANSWERS = read<Answers>("answers");

for (const { room, seed, table, labels } of read<Cells[]>("cells")) {
  test(`table of room ${room} should tell who stands in it: ${labels?.length ?? "too many"}`, () => {
    const found = peeled(decoded(table), hashKeys(decoded(seed), room));
    const named = found?.map(({ referenceId, subject }) => [referenceId, subject]).sort() ?? null;
    assert.deepEqual(named, labels);
  });
}

for (const { name, ask, results, answer, error } of ANSWERS.cases) {
  test(`answer should be what the parties say or an error: ${name}`, async () => {
    const keys = ANSWERS.reply_keys.map((key) => new Secret(decoded(key)));
    const sealed = results.map((one) => fromJson(SealedResultSchema, one));
    const context = await Context.of(asked(ANSWERS.request));
    const told = await outcome(async () => understood(ask, await opening.openAll(sealed, context, keys)));
    assert.deepEqual(told, error ?? answer);
  });
}

function understood(ask: string, outcomes: Outcomes): unknown {
  switch (ask.split(" ")[0]) {
    case "match":
      return [opening.matchBit(outcomes), opening.operatingPoint(outcomes)];
    case "candidates":
      return candidates(outcomes, Number(ask.split(" ")[1]));
    case "others":
      return others(outcomes, Number(ask.split(" ")[1]));
    case "nearest":
      return opening.matchedSubject(outcomes).then((subject) => subject ?? null);
    case "references":
      return opening.referenceIds(outcomes);
    case "changed":
      return opening.changed(outcomes);
    default:
      return output(outcomes, Number(ask.split(" ")[1]));
  }
}

function candidates(outcomes: Outcomes, images: number): unknown {
  return opening.candidates(outcomes, images).map(({ found, more }) => {
    const named = found.map((one) => [one.referenceId, one.subject, one.operatingPoint]);
    return { found: named, more, subject: opening.onlySubject(found) ?? null };
  });
}

function others(outcomes: Outcomes, images: number): unknown {
  const { found, more } = opening.others(outcomes, images);
  return [found.map((one) => [one.referenceId, one.subject, one.operatingPoint]), more];
}

function output(outcomes: Outcomes, q: number): unknown {
  const { values, shape, scale } = opening.output(outcomes, q);
  return [Array.from(values), shape, scale];
}
