/**
 * How models want faces cut: a chip has a name, and every client that knows the name cuts the same (visard.capture.chips).
 *
 * "dlib-150": dlib's own chips (D. King). "arcface-112": J. Deng et al., "ArcFace", CVPR 2019: wider, with the eyes lower.
 */

import { InvalidRequest } from "../errors.ts";
import { CHIP_SIZE, type Chip, TEMPLATE } from "./faces.ts";
import { type Points, similarity } from "./geometry.ts";
import { grey, type Picture, resized, swapped } from "./pictures.ts";
import { warp } from "./warp.ts";

/** A square of `size` pixels in which the landmarks lie at `template`. */
export interface Cut {
  readonly size: number;
  readonly template: Points;
  /** The channels are blue, green, red. */
  readonly blueFirst: boolean;
}

const ARCFACE: Points = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

/** The chips that this client knows. */
export const CHIPS: ReadonlyMap<string, Cut> = new Map([
  ["dlib-150", { size: CHIP_SIZE, template: TEMPLATE, blueFirst: false }],
  ["arcface-112", { size: 112, template: ARCFACE, blueFirst: false }],
]);

/** The face with these landmarks, cut as a model wants it. */
export function cutOut(photo: Picture, landmarks: Points, { size, template, blueFirst }: Cut): Picture {
  const pixels = warp(photo, similarity(landmarks, template), size);
  return blueFirst ? swapped(pixels) : pixels;
}

/** What a model is given that wants this chip, or "": the chip as it is. Raises InvalidRequest for one that is not known. */
export function chipPixels(chip: Chip, name: string): Picture {
  if (!name) return chip.pixels;
  const cut = CHIPS.get(name);
  if (!cut) {
    const known = [...CHIPS.keys()].sort().join(", ");
    throw new InvalidRequest(`chip '${name.slice(0, 80)}' is not known to this client, which cuts ${known}`);
  }
  return cutOut(chip.photo, chip.face.landmarks, cut);
}

/** A picture as a model's input of channels, height, width: one plane a channel, grey or in colour; raises InvalidRequest. */
export function planes(picture: Picture, [channels, height, width]: readonly number[]): Uint8Array {
  if ((channels !== 1 && channels !== 3) || !height || !width) {
    throw new InvalidRequest(`pictures have 1 or 3 channels, and the model takes ${channels}`);
  }
  const fitting = resized(picture, width, height);
  if (channels === 1) return grey(fitting);
  const size = width * height;
  const levels = new Uint8Array(3 * size);
  for (let k = 0, at = 0; k < size; k++) {
    for (let channel = 0; channel < 3; channel++) levels[channel * size + k] = fitting.data[at++] as number;
  }
  return levels;
}
