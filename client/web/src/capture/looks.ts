/**
 * Finding faces: looks at a photo in several sizes and orientations, cheap ones first (visard.capture.detector).
 *
 * YuNet finds faces of 30 to 500 pixels, so a photo is looked at in several sizes, each twice the one before.
 */

import { type Detector, shared } from "./detector.ts";
import { areaOf, type Face } from "./faces.ts";
import type { Point, Points } from "./geometry.ts";
import { cropped, type Picture, resized, roundEven, turned } from "./pictures.ts";

const FIRST_SIDE = 320; // the longer side of the first look: faces of 10 to 100 % of the picture
const WHOLE_SIDE = 400; // pictures up to here are looked at as they are
const SMALLEST_SIDE = 200; // shorter sides are enlarged
const TURNED_SIDE = 1280; // in larger looks only upright faces are looked for
const TILE = 1280; // larger looks go by tiles
const OVERLAP = 160; // no face that was missed before is larger
const CERTAIN = 60; // pixels of a face at which faces of half its size would have been found as well
const SAME = 0.3; // boxes that share more than this part of their union are one face

/** Looks at a photo: faces of each, largest first. Upright, then turned, then small ones in large photos. */
export async function* searches(detector: Detector, photo: Picture): AsyncGenerator<Face[], void> {
  const scales = scalesOf(photo);
  const common = scales.filter((scale) => scale * Math.max(photo.width, photo.height) <= TURNED_SIDE + 1);
  yield* upright(detector, photo, common);
  for (const scale of common) {
    const found: Face[] = [];
    for (const turns of [1, 2, 3]) found.push(...(await look(detector, photo, scale, turns)));
    yield found.sort(byArea);
  }
  yield* upright(detector, photo, scales.slice(common.length));
}

/** Looks without turning; one whose largest face is small is replaced by the next finer one, if that shows it too. */
export async function* upright(
  detector: Detector,
  photo: Picture,
  scales: readonly number[] = scalesOf(photo),
): AsyncGenerator<Face[], void> {
  let held: Face[] = [];
  for (const scale of scales) {
    const seen = await look(detector, photo, scale);
    const found = seen.length ? seen : held;
    const [largest] = found;
    const small = largest && Math.min(largest.box[2], largest.box[3]) * scale < CERTAIN;
    held = small ? found : [];
    if (!small) yield found;
  }
  if (held.length) yield held;
}

/** Of the looks: 320 pixels, 640 and so on, up to the photo's own size; one for a small photo. */
function scalesOf({ width, height }: Picture): number[] {
  const longer = Math.max(width, height);
  if (longer <= WHOLE_SIDE)
    return [Math.min(Math.max(1, SMALLEST_SIDE / Math.min(width, height)), TURNED_SIDE / longer)];
  const found: number[] = [];
  for (let scale = FIRST_SIDE / longer; scale < 1; scale *= 2) found.push(scale);
  return [...found, 1];
}

/** Faces at one size and in one orientation (quarter turns against the clock), in the photo's pixels, largest first. */
export async function look(detector: Detector, photo: Picture, scale: number, turns = 0): Promise<Face[]> {
  const size = (side: number): number => Math.max(1, roundEven(side * scale));
  const shrunk = resized(photo, size(photo.width), size(photo.height));
  const faces = await tiled(detector, turned(shrunk, turns));
  return faces.map((face) => scaledUp(turnedBack(face, turns, shrunk), scale)).sort(byArea);
}

async function tiled(detector: Detector, picture: Picture): Promise<Face[]> {
  const { width, height } = picture;
  if (Math.max(width, height) <= TILE + 1) return detector.run(picture);
  const found: Face[] = [];
  for (const y of starts(height)) {
    for (const x of starts(width)) {
      const tile = cropped(picture, x, y, Math.min(TILE, width - x), Math.min(TILE, height - y));
      for (const face of await detector.run(tile)) found.push(shifted(face, x, y));
    }
  }
  return distinct(found);
}

function starts(length: number): number[] {
  const step = TILE - OVERLAP;
  return Array.from({ length: Math.ceil(Math.max(length - OVERLAP, 1) / step) }, (_, k) => k * step);
}

/** One of each face that several tiles show: the one with the best score. */
function distinct(faces: readonly Face[]): Face[] {
  const kept: Face[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score)) {
    if (kept.every((other) => shared(face.box, other.box) <= SAME)) kept.push(face);
  }
  return kept;
}

function byArea(one: Face, other: Face): number {
  return areaOf(other) - areaOf(one);
}

function shifted(face: Face, x: number, y: number): Face {
  const [left, top, width, height] = face.box;
  const landmarks = face.landmarks.map(([u, v]): Point => [u + x, v + y]);
  return { ...face, box: [left + x, top + y, width, height], landmarks };
}

function scaledUp(face: Face, scale: number): Face {
  const [x, y, width, height] = face.box;
  const landmarks = face.landmarks.map(([u, v]): Point => [(u + 0.5) / scale - 0.5, (v + 0.5) / scale - 0.5]);
  return { ...face, box: [x / scale, y / scale, width / scale, height / scale], landmarks };
}

/** A face of a turned picture, in the picture before. */
function turnedBack(face: Face, turns: number, before: Picture): Face {
  if (!turns) return face;
  const [x, y, across, down] = face.box;
  const [[a, b], [c, d]] = pointsBack(
    [
      [x, y],
      [x + across, y + down],
    ],
    turns,
    before,
  ) as [Point, Point];
  const box = [Math.min(a, c), Math.min(b, d), Math.abs(a - c), Math.abs(b - d)] as const;
  return { ...face, box, landmarks: pointsBack(face.landmarks, turns, before) };
}

function pointsBack(points: Points, turns: number, { width, height }: Picture): Points {
  return points.map(([x, y]): Point => {
    if (turns === 1) return [width - 1 - y, x];
    return turns === 2 ? [width - 1 - x, height - 1 - y] : [y, height - 1 - x];
  });
}
