/** What to change while somebody is framed: one cheap look at each frame of a camera, judged by the gate that the photo will meet. */

import type { Detector } from "./detector.ts";
import { areaOf, type Face } from "./faces.ts";
import { type Gate, type Problem, wrong } from "./gates.ts";
import { look } from "./looks.ts";
import type { Picture } from "./pictures.ts";
import { quality } from "./quality.ts";

const SIDE = 320; // pixels of the longer side of a look
const BACKGROUND = 0.25; // a face of less area than this part of the largest

/** Nobody is there, several people are, or what a gate would refuse. */
export type Hint = "no face" | "one face" | Problem["hint"];

/** What is seen in a frame: the face in front, and what is wrong with it, the most important first; nothing where it is good. */
export interface Framing {
  readonly face: Face | undefined;
  readonly hints: readonly Hint[];
}

/**
 * Look at a frame once. It is a hint and no judgement: landmarks of a single look move a little, so that the photo itself is
 * captured and judged anew. Takes a tenth of a capture's time.
 */
export async function framing(detector: Detector, frame: Picture, gate: Gate): Promise<Framing> {
  const scale = Math.min(1, SIDE / Math.max(frame.width, frame.height));
  const [face, second] = await look(detector, frame, scale);
  if (!face) return { face, hints: ["no face"] };
  if (second && areaOf(second) > BACKGROUND * areaOf(face)) return { face, hints: ["one face"] };
  const found = wrong(quality({ pixels: frame, photo: frame, face }), gate);
  return { face, hints: [...new Set(found.map((problem) => problem.hint))] };
}
