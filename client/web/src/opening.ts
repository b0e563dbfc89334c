/** How the parties' sealed answers become one: opened, compared, put together. Whatever does not fit is no answer (visard.opening). */

import { equal } from "./bytes.ts";
import { CELLS, cellBytes, hashKeys, type Label, MOST, peeled, ROOMS } from "./cells.ts";
import { bitAt, combine, combineBits, type Outcomes } from "./combining.ts";
import type { Context } from "./context.ts";
import { ofRowTable } from "./digests.ts";
import { InconsistentAnswer } from "./errors.ts";
import { fieldOf } from "./fields.ts";
import type { Outcome, SealedResult } from "./gen/visard/v1/common_pb.js";
import { PARTIES } from "./limits.ts";
import type { Candidate } from "./results.ts";
import { openResult } from "./sealing.ts";
import type { Secret } from "./secret.ts";

const MAX_SCALE = 60; // fractional bits of an output

/** Open the three sealed answers, in party order; raises SealError and InconsistentAnswer. */
export async function openAll(
  sealed: readonly SealedResult[],
  context: Context,
  keys: readonly Secret[],
): Promise<Outcomes> {
  if (sealed.length !== PARTIES || keys.length !== PARTIES || sealed.some((one, party) => one.party !== party)) {
    throw new InconsistentAnswer("the answers of three parties are needed, in order");
  }
  const opened = sealed.map((one, party) => openResult(keys[party] as Secret, context, party, one));
  return (await Promise.all(opened)) as unknown as Outcomes;
}

/** How many references a write names, as all three parties say; raises InconsistentAnswer. */
export function changed(outcomes: Outcomes): number {
  return agreed(outcomes, (outcome) => outcome.referencesChanged, "the parties changed different references");
}

/** The stored references; raises InconsistentAnswer. */
export function referenceIds(outcomes: Outcomes): readonly string[] {
  return agreed(outcomes, (outcome) => outcome.referenceIds, "the parties stored different references");
}

/** The point that decided, as all three parties say; raises InconsistentAnswer. */
export function operatingPoint(outcomes: Outcomes): string {
  return agreed(outcomes, (outcome) => outcome.operatingPoint, "the parties decided at different operating points");
}

/** The one bit of a verification; raises InconsistentAnswer. */
export function matchBit(outcomes: Outcomes): boolean {
  const { count, bits } = combineBits(outcomes);
  if (count !== 1) throw new InconsistentAnswer("one bit is the answer to this question");
  return bitAt(bits, 0);
}

/** What a search has found for one image: references, those of the strictest points first, and whether there are more. */
export interface Found {
  readonly found: readonly Candidate[];
  readonly more: boolean;
}

/** For each image what a search has found; raises InconsistentAnswer. */
export function candidates(outcomes: Outcomes, images: number): Found[] {
  const points = agreed(outcomes, (outcome) => outcome.points, "the parties searched at different points");
  const all = tables(outcomes, images * points.length);
  return Array.from({ length: images }, (_, image) =>
    ofImage(all.slice(image * points.length, (image + 1) * points.length), points),
  );
}

/**
 * Whom else the photos of an enrolment may show: the candidates of all of them, and whether there are, or may be, more; raises
 * InconsistentAnswer.
 */
export function others(outcomes: Outcomes, images: number): Found {
  if (!outcomes.every((outcome) => outcome.compared)) return { found: [], more: true };
  if (!outcomes.some((outcome) => outcome.points.length)) return { found: [], more: false };
  const all = candidates(outcomes, images);
  const named = new Map<string, Candidate>();
  // as in Python: who is first named by a later photo stands first, at the point that the earliest photo gives
  for (const { found } of [...all].reverse()) for (const one of found) named.set(one.referenceId, one);
  return { found: [...named.values()], more: all.some(({ more }) => more) };
}

/** Of the labels that an image's table for each point tells; undefined where not all of a table can be told. */
function ofImage(labels: readonly (Label[] | undefined)[], points: readonly string[]): Found {
  const told = labels.findIndex((one) => one !== undefined && new Set(one.map((label) => label.subject)).size <= MOST);
  const strictness = new Map<string, number>();
  labels.forEach((found, k) => {
    for (const label of found ?? []) strictness.set(key(label), k);
  });
  const ranked = (labels[told] ?? []).map((label) => ({ label, point: strictness.get(key(label)) ?? 0 }));
  ranked.sort((a, b) => b.point - a.point || byText(a.label.subject, b.label.subject));
  const found = ranked.map(({ label, point }) => ({ ...label, operatingPoint: points[point] as string }));
  return { found, more: told !== 0 };
}

/** The references in each of so many tables; undefined where not all of a table can be told. Raises InconsistentAnswer. */
function tables(outcomes: Outcomes, wanted: number): (Label[] | undefined)[] {
  const different = "the parties' tables are different ones";
  const room = agreed(outcomes, (outcome) => outcome.room, different);
  const seed = agreed(outcomes, (outcome) => Array.from(outcome.cellSeed), different);
  const { count, bits } = combineBits(outcomes);
  const size = CELLS * cellBytes(room);
  if (!ROOMS.includes(room) || wanted === 0 || count !== wanted * size * 8) {
    throw new InconsistentAnswer("the answer is no table of candidates");
  }
  const keys = hashKeys(Uint8Array.from(seed), room);
  try {
    return Array.from({ length: wanted }, (_, k) => peeled(bits.subarray(k * size, (k + 1) * size), keys));
  } catch (error) {
    throw new InconsistentAnswer("the answer names no reference", { cause: error });
  }
}

/** Whom the candidates of the strictest point show, if that is one person. */
export function onlySubject(found: readonly Candidate[]): string | undefined {
  const strictest = found.filter((one) => one.operatingPoint === found[0]?.operatingPoint);
  const people = new Set(strictest.map((one) => one.subject));
  return people.size === 1 ? found[0]?.subject : undefined;
}

/** Whom the nearest reference shows, if it is near enough; raises InconsistentAnswer. */
export async function matchedSubject(outcomes: Outcomes): Promise<string | undefined> {
  const { count, bits } = combineBits(outcomes);
  const table = outcomes[0].rowSubjects;
  const digest = await ofRowTable(table);
  if (outcomes.some((outcome) => !equal(outcome.rowDigest, digest))) {
    throw new InconsistentAnswer("the parties searched different galleries");
  }
  let row = 0;
  for (let k = 1; k < count; k++) if (bitAt(bits, k)) row += 2 ** (k - 1);
  if (!count || row >= table.length) throw new InconsistentAnswer("the answer names no row");
  return bitAt(bits, 0) ? table[row] : undefined;
}

/** The output of a run as real numbers, with its shape and its fractional bits; raises InconsistentAnswer. */
export function output(
  outcomes: Outcomes,
  q: number,
): { values: Float64Array; shape: readonly number[]; scale: number } {
  const shape = agreed(outcomes, (outcome) => outcome.outputShape, "the parties' outputs have different shapes");
  const scale = agreed(outcomes, (outcome) => outcome.outputScale, "the parties' outputs have different shapes");
  const size = shape.reduce((product, side) => product * side, fieldOf(q).wordBytes);
  if (outcomes.some((outcome) => outcome.outputShare.length !== size) || scale > MAX_SCALE) {
    throw new InconsistentAnswer("the parties' outputs do not fit their shape");
  }
  const [one, two, three] = outcomes;
  const integers = combine([one.outputShare, two.outputShare, three.outputShare], q);
  return { values: Float64Array.from(integers, (value) => Number(value) / 2 ** scale), shape, scale };
}

function agreed<T>(outcomes: Outcomes, said: (outcome: Outcome) => T, otherwise: string): T {
  const [first, ...others] = outcomes.map(said);
  if (others.some((other) => JSON.stringify(other) !== JSON.stringify(first))) throw new InconsistentAnswer(otherwise);
  return first as T;
}

function key(label: Label): string {
  return `${label.referenceId} ${label.subject}`;
}

function byText(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
