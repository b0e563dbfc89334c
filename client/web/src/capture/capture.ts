/** From a photo to a chip: the face is found, looked at again, and cut out; nothing leaves before this succeeds (visard.capture). */

import { CaptureError, DoubtfulFace, NoFace, SeveralFaces } from "../errors.ts";
import { judged, MIN_SCORE } from "./checks.ts";
import type { Detector } from "./detector.ts";
import { areaOf, type Chip, type Face } from "./faces.ts";
import { searches } from "./looks.ts";
import type { Picture } from "./pictures.ts";
import { refine } from "./refine.ts";

const CLEARLY_SMALLER = 0.25; // a face of less area than this part of the largest is background
const COMPARABLE = 0.5; // a face of more area than this part of one that is cut off or dark may be meant instead

/** Which face, and when to stop looking. */
export interface CaptureOptions {
  /** Take the largest of several faces; without it they are an error (SeveralFaces). */
  readonly largest?: boolean | undefined;
  /** Rejects with its reason once it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** A chip of the one face in a photo, or of the largest; raises CaptureError. */
export async function capture(
  detector: Detector,
  photo: Picture,
  { largest = false, signal }: CaptureOptions = {},
): Promise<Chip> {
  const interruptible: Detector = {
    run(picture) {
      signal?.throwIfAborted();
      return detector.run(picture);
    },
  };
  const wrong: CaptureError[] = [];
  // the first look that shows a good face; else what is wrong with the best that was seen
  for await (const faces of searches(interruptible, photo)) {
    const { chips, problems } = await usable(interruptible, photo, faces, largest);
    const [first] = chips;
    if (first) return chosen(first, chips.length, problems, largest);
    wrong.push(...problems);
  }
  const [worst] = [...wrong.filter((error) => !(error instanceof DoubtfulFace)), ...wrong];
  throw worst ?? new NoFace("no face found: use a photo that shows one face from the front, in good light");
}

/**
 * Chips of the faces that stand in front, largest first; and why others there cannot be used.
 *
 * Raises what is wrong with the largest that is surely a face, unless another one is about as large: nobody in the background is
 * taken in its place.
 */
async function usable(
  detector: Detector,
  photo: Picture,
  faces: readonly Face[],
  largest: boolean,
): Promise<{ chips: Chip[]; problems: CaptureError[] }> {
  const chips: Chip[] = [];
  const problems: CaptureError[] = [];
  let blocked: CaptureError | undefined;
  let front = 0;
  for (const face of faces) {
    if (areaOf(face) <= least(blocked, chips) * front || (chips.length && largest)) break;
    const refined = await refine(detector, photo, face);
    const found = judged(photo, refined);
    if (!(found instanceof CaptureError)) chips.push(found);
    else problems.push(found);
    if (found instanceof DoubtfulFace) continue;
    blocked ??= found instanceof CaptureError && refined.score >= MIN_SCORE ? found : undefined;
    front ||= areaOf(face);
  }
  if (blocked && !chips.length) throw blocked;
  return { chips, problems };
}

/** The part of the front face's area that another one must have. */
function least(blocked: CaptureError | undefined, chips: readonly Chip[]): number {
  return blocked && !chips.length ? COMPARABLE : CLEARLY_SMALLER;
}

function chosen(first: Chip, count: number, problems: readonly CaptureError[], largest: boolean): Chip {
  const seen = count + problems.filter((problem) => !(problem instanceof DoubtfulFace)).length;
  if (seen > 1 && !largest) {
    throw new SeveralFaces(`${seen} faces found: crop the photo, or choose the largest face (largest: true)`);
  }
  return first;
}

/** Work on one of several photos: its error says which one is at fault. */
export function naming<T>(index: number, count: number, work: () => Promise<T>): Promise<T>;
export function naming<T>(index: number, count: number, work: () => T): T;
export function naming(index: number, count: number, work: () => unknown): unknown {
  const named = (error: unknown): never => {
    if (count === 1 || !(error instanceof CaptureError)) throw error;
    const Kind = error.constructor as new (message: string, options: ErrorOptions) => CaptureError;
    throw new Kind(`photo ${index + 1} of ${count}: ${error.message}`, { cause: error });
  };
  try {
    const done = work();
    return done instanceof Promise ? done.catch(named) : done;
  } catch (error) {
    return named(error);
  }
}
