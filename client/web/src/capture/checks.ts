/** Which faces are used: sure to be a person's, large, bright and whole enough (visard.capture.checks). */

import { type CaptureError, DoubtfulFace, FaceTooSmall, PartialFace, TooDark } from "../errors.ts";
import { align, type Chip, eyesOf, type Face, misfit, outside } from "./faces.ts";
import { blank } from "./levels.ts";
import type { Picture } from "./pictures.ts";

const MIN_EYE_DISTANCE = 12; // pixels; below this a chip is more interpolation than photo
const MIN_BRIGHTNESS = 25; // mean of a chip's pixels; below this noise decides the descriptor
/** A mean score from which on a face is surely one. */
export const MIN_SCORE = 0.87;
const MAX_MISFIT = 0.28;
const MAX_WANDER = 0.25;
const MAX_OUTSIDE = 0.15; // of the face's inner square
const MAX_BLANK = 0.18; // of the inner square without any texture
const BELIEVED = 0.7; // at less nothing is said about the face's size or light: it may be none

/** The chip of a refined face, or what is wrong with it: DoubtfulFace, FaceTooSmall, PartialFace or TooDark. */
export function judged(photo: Picture, face: Face): Chip | CaptureError {
  if (face.score < BELIEVED) return doubt(face);
  const eyes = eyesOf(face.landmarks);
  if (eyes < MIN_EYE_DISTANCE) {
    const measured = `${eyes.toFixed(1)} pixels between the eyes, ${MIN_EYE_DISTANCE} needed`;
    return new FaceTooSmall(`the face is too small: ${measured}`);
  }
  const pixels = align(photo, face.landmarks);
  const brightness = pixels.data.reduce((sum, level) => sum + level, 0) / pixels.data.length;
  if (brightness < MIN_BRIGHTNESS) {
    const measured = `mean brightness ${brightness.toFixed(0)} of 255, ${MIN_BRIGHTNESS} needed`;
    return new TooDark(`the face is too dark: ${measured}`);
  }
  return hidden(photo, face, pixels) ?? unlike(face) ?? { pixels, photo, face };
}

function hidden(photo: Picture, face: Face, pixels: Picture): CaptureError | undefined {
  const advice = "use a photo that shows all of it";
  const beyond = outside(photo, face.landmarks);
  if (beyond > MAX_OUTSIDE) {
    return new PartialFace(
      `${(100 * beyond).toFixed(0)} % of the face lie outside the photo: use one that shows all of it`,
    );
  }
  const covered = blank(pixels);
  if (covered <= MAX_BLANK) return undefined;
  return new PartialFace(`${(100 * covered).toFixed(0)} % of the face are covered by one colour: ${advice}`);
}

function unlike(face: Face): CaptureError | undefined {
  const sure = face.score >= MIN_SCORE && misfit(face.landmarks) <= MAX_MISFIT && face.wander <= MAX_WANDER;
  return sure ? undefined : doubt(face);
}

function doubt(face: Face): DoubtfulFace {
  const measured = `score ${face.score.toFixed(2)}, ${MIN_SCORE.toFixed(2)} needed`;
  return new DoubtfulFace(
    `what was found may be no person's face (${measured}): use a photo of one face from the front, in good light`,
  );
}
