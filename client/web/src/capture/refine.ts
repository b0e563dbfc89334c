/**
 * Landmarks that stay where they are: a face is looked at again, upright and in several sizes, and the looks are averaged
 * (visard.capture.refine).
 */

import type { Detector } from "./detector.ts";
import { EYES, type Face, sizeOf, TEMPLATE } from "./faces.ts";
import { angleOf, around, distance, mean, movedBack, type Point, type Points, similarity } from "./geometry.ts";
import { cropped, mirrored, type Picture, resized, roundEven } from "./pictures.ts";
import { warp } from "./warp.ts";

const SIZE = 160; // pixels of a look
const TURNING = 32; // pixels between the eyes of the looks that turn a face upright
const LOOKS = [
  [24, false],
  [29.4, true],
  [35.9, false],
  [44, true],
] as const; // pixels between the eyes, and whether mirrored
const MOST_TURNS = 5;
const UPRIGHT = 5; // degrees; a face that was turned by less need not be turned once more
const LARGE = 400; // pixels of a box; a larger face is reduced to half of this, with what lies as far around it as looks reach
const REACH = 2;
const BOX_HEIGHT = 140; // of a face whose landmarks lie at TEMPLATE
const CERTAIN = 0.915; // none that was seen wrong reached it
const MIRRORED = [1, 0, 2, 4, 3] as const; // the landmarks' order in a mirrored face
const CENTRED = around(TEMPLATE, mean(TEMPLATE));

/**
 * The same face: landmarks are the looks' average, score their mean, `wander` their scatter; score 0 where it was lost.
 *
 * Found at less than CERTAIN, it is looked at in eight orientations, and the best counts: a detector that sees a face upside down
 * invents another one.
 */
export async function refine(detector: Detector, photo: Picture, face: Face): Promise<Face> {
  if (Math.max(face.box[2], face.box[3]) > LARGE) return refinedSmaller(detector, photo, face);
  let best = await refined(detector, photo, face, face.landmarks);
  if (best.score >= CERTAIN) return best;
  for (let degrees = 0; degrees < 360; degrees += 45) {
    const found = await refined(detector, photo, face, placed(face, degrees));
    if (found.score > best.score) best = found;
  }
  return best;
}

/** A face of many pixels: its surroundings are reduced once for all looks, which need fewer. */
async function refinedSmaller(detector: Detector, photo: Picture, face: Face): Promise<Face> {
  const [x, y, width, height] = face.box;
  const reach = REACH * Math.max(width, height);
  const bound = (middle: number, limit: number): [number, number] => [
    Math.trunc(Math.min(Math.max(middle - reach, 0), limit)),
    Math.trunc(Math.min(Math.max(middle + reach, 0), limit)),
  ];
  const [left, right] = bound(x + width / 2, photo.width);
  const [top, bottom] = bound(y + height / 2, photo.height);
  const factor = LARGE / 2 / Math.max(width, height);
  const part = cropped(photo, left, top, right - left, bottom - top);
  const small = resized(part, roundEven(part.width * factor), roundEven(part.height * factor), factor);
  const inner: Face = {
    ...face,
    box: [(x - left) * factor, (y - top) * factor, width * factor, height * factor],
    landmarks: face.landmarks.map(([u, v]): Point => [(u - left + 0.5) * factor - 0.5, (v - top + 0.5) * factor - 0.5]),
  };
  const found = await refine(detector, small, inner);
  const back = ([u, v]: Point): Point => [(u + 0.5) / factor - 0.5 + left, (v + 0.5) / factor - 0.5 + top];
  return { ...found, box: face.box, landmarks: found.landmarks.map(back) };
}

/** Where the landmarks of a face would lie that fills the box, turned so. */
function placed({ box: [x, y, width, height] }: Face, degrees: number): Points {
  const scale = Math.max(width, height) / BOX_HEIGHT;
  const angle = (degrees * Math.PI) / 180;
  const [cosine, sine] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
  return CENTRED.map(([u, v]) => [u * cosine - v * sine + x + width / 2, u * sine + v * cosine + y + height / 2]);
}

async function refined(detector: Detector, photo: Picture, face: Face, start: Points): Promise<Face> {
  const lost = { ...face, score: 0 };
  const landmarks = await uprighted(detector, photo, start);
  if (!landmarks) return lost;
  const found: Look[] = [];
  for (const [eyes, flipped] of LOOKS) {
    const look = await lookAt(detector, photo, landmarks, eyes, flipped);
    if (look) found.push(look);
  }
  if (!found.length) return lost;
  const average = TEMPLATE.map((_, k) => mean(found.map((look) => look.landmarks[k] as Point)));
  const squares = found.flatMap((look) => look.landmarks.map((point, k) => distance(point, average[k] as Point) ** 2));
  const scatter = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
  const score = found.reduce((sum, look) => sum + look.score, 0) / LOOKS.length;
  return { ...face, landmarks: average, score, wander: scatter / sizeOf(average) };
}

/** Turn the face upright by its landmarks and look again, until it stays. */
async function uprighted(detector: Detector, photo: Picture, start: Points): Promise<Points | undefined> {
  let landmarks = start;
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const look = await lookAt(detector, photo, landmarks, TURNING, false);
    if (!look) return undefined;
    const turned = Math.abs(angleOf(similarity(landmarks, look.landmarks)));
    landmarks = look.landmarks;
    if (turned < UPRIGHT) break;
  }
  return landmarks;
}

interface Look {
  readonly landmarks: Points;
  readonly score: number;
}

/** Landmarks and score of the face in an upright square around it; undefined where none is found at its middle. */
async function lookAt(
  detector: Detector,
  photo: Picture,
  landmarks: Points,
  eyes: number,
  flipped: boolean,
): Promise<Look | undefined> {
  const target = CENTRED.map(([x, y]): Point => [(x * eyes) / EYES + SIZE / 2, (y * eyes) / EYES + SIZE / 2]);
  const matrix = similarity(landmarks, target);
  const square = warp(photo, matrix, SIZE);
  const faces = await detector.run(flipped ? mirrored(square) : square);
  const looks = faces.map((face) => {
    const places = flipped ? unmirrored(face.landmarks) : face.landmarks;
    return { places, score: face.score, offset: distance(mean(places), [SIZE / 2, SIZE / 2]) };
  });
  const nearest = looks.reduce<(typeof looks)[0] | undefined>(
    (best, one) => (best && best.offset <= one.offset ? best : one),
    undefined,
  );
  if (!nearest || nearest.offset > eyes) return undefined;
  return { landmarks: movedBack(nearest.places, matrix), score: nearest.score };
}

function unmirrored(landmarks: Points): Points {
  return MIRRORED.map((k): Point => {
    const [x, y] = landmarks[k] as Point;
    return [SIZE - 1 - x, y];
  });
}
