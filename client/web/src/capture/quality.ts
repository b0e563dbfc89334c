/** What a photo of a face is like, in numbers: pose, size, blur, light, and how clearly it is seen (visard.capture.quality). */

import { align, type Chip, outside, sizeOf } from "./faces.ts";
import { blank, deviationOf, innerLevels, meanOf, sharpnessOf, unevenOf } from "./levels.ts";
import { pose } from "./pose.ts";

const WHITE = 250; // a level at which a camera has no more to tell

/** How well a photo shows a face. */
export interface Quality {
  /** Degrees to the right of the picture; 0 is the mean of people who look at a camera. */
  readonly yaw: number;
  /** Degrees down. */
  readonly pitch: number;
  /** Degrees with the clock: no fault, faces are turned upright. */
  readonly roll: number;
  /** Pixels between the eyes, as if seen from the front. */
  readonly eyes: number;
  /** Of the grey levels' variation what a blur by 1.5 pixels takes away. */
  readonly sharpness: number;
  /** Mean of the grey levels, 0 to 255. */
  readonly brightness: number;
  /** Their standard deviation. */
  readonly contrast: number;
  /** The part that is white. */
  readonly clipped: number;
  /** How much brighter the right half of the picture is than the left, as a part of both, -1 to 1. */
  readonly uneven: number;
  /** The part that is of one colour or beyond the photo's edge. */
  readonly hidden: number;
  /** How sure the detector is, 0 to 1. */
  readonly score: number;
  /** How far landmarks move from look to look, in distances of the eyes. */
  readonly wander: number;
}

/** Of a chip that was cut out of a photo; measured on the chip of 150 x 150, whatever the model wants. */
export function quality({ photo, face }: Chip): Quality {
  const pixels = align(photo, face.landmarks);
  const levels = innerLevels(pixels);
  const [yaw, pitch, roll] = pose(face.landmarks);
  return {
    yaw,
    pitch,
    roll,
    eyes: sizeOf(face.landmarks),
    sharpness: sharpnessOf(levels),
    brightness: meanOf(levels),
    contrast: deviationOf(levels),
    clipped: levels.filter((level) => level >= WHITE).length / levels.length,
    uneven: unevenOf(levels),
    hidden: Math.max(outside(photo, face.landmarks), blank(pixels)),
    score: face.score,
    wander: face.wander,
  };
}
