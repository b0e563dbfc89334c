/** Whether who stands before a camera is still the same person, as far as places of faces tell it. */

import type { Framing } from "../src/capture/framing.ts";

const GONE_MS = 2_500; // without a face, one look after the other: a single look misses one now and then
const JUMP = 0.75; // of a face's width, from one look to the next
const GROWTH = 1.8;

type Box = readonly [left: number, top: number, width: number, height: number];

/** The places of a face in looks that follow each other. */
export class Presence {
  #box: Box | undefined;
  #missing: number | undefined; // since when

  /** "gone": nobody is there any more; "other": somebody else may be, for the face is where it was not. */
  look({ face }: Pick<Framing, "face">, nowMs: number): "same" | "other" | "gone" {
    if (!face) {
      this.#missing ??= nowMs;
      if (nowMs - this.#missing < GONE_MS) return "same";
      this.#box = undefined;
      return "gone";
    }
    const [before, box] = [this.#box, face.box as Box];
    [this.#box, this.#missing] = [box, undefined];
    return before && !jumped(before, box) ? "same" : "other";
  }

  forget(): void {
    [this.#box, this.#missing] = [undefined, undefined];
  }
}

function jumped(one: Box, two: Box): boolean {
  const width = Math.max(one[2], two[2]);
  const [across, down] = [0, 1].map((k) => middle(two, k) - middle(one, k)) as [number, number];
  return Math.hypot(across, down) > JUMP * width || width > GROWTH * Math.min(one[2], two[2]);
}

function middle(box: Box, k: number): number {
  return (box[k] as number) + (box[k + 2] as number) / 2;
}
