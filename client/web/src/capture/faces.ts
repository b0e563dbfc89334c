/** A face as it was found, and how it is cut out: its landmarks are brought to where dlib has them (visard.capture.faces). */

import { distance, type Matrix, moved, movedBack, type Point, type Points, scaleOf, similarity } from "./geometry.ts";
import type { Picture } from "./pictures.ts";
import { warp } from "./warp.ts";

/** Pixels of a side of dlib's chips. */
export const CHIP_SIZE = 150;

/** Where YuNet's landmarks lie on average in dlib's chips of 150 x 150 pixels, measured on LFW. */
export const TEMPLATE: Points = [
  [47.75043207, 45.69504049],
  [103.02490973, 45.91145632],
  [75.47371377, 77.51450999],
  [51.51344251, 101.55518895],
  [99.60611546, 102.39121729],
];

/** Pixels between the eyes in such a chip. */
export const EYES: number = eyesOf(TEMPLATE);

/** A face in the photo's pixels. */
export interface Face {
  /** x, y, width, height. */
  readonly box: readonly [number, number, number, number];
  readonly landmarks: Points;
  /** How sure the detector is, 0 to 1. */
  readonly score: number;
  /** How far the landmarks moved between the looks that were taken at it, in distances of the eyes. */
  readonly wander: number;
}

/** An aligned face as dlib's network takes it; its photo and place, to cut it as other models want it. */
export interface Chip {
  readonly pixels: Picture;
  readonly photo: Picture;
  readonly face: Face;
}

/** Of a face's box. */
export function areaOf({ box }: Face): number {
  return box[2] * box[3];
}

/** Pixels between the eyes. */
export function eyesOf(landmarks: Points): number {
  return distance(landmarks[0] as Point, landmarks[1] as Point);
}

/** Pixels between the eyes of a face as if seen from the front: by all its landmarks. */
export function sizeOf(landmarks: Points): number {
  return EYES / scaleOf(upright(landmarks));
}

/** The transform that brings a face's landmarks to TEMPLATE. */
export function upright(landmarks: Points): Matrix {
  return similarity(landmarks, TEMPLATE);
}

/** The chip whose landmarks lie at TEMPLATE. */
export function align(photo: Picture, landmarks: Points): Picture {
  return warp(photo, upright(landmarks), CHIP_SIZE);
}

/** The part of the face's inner square, from the brows to below the mouth, that lies beyond the photo's edge. */
export function outside(photo: Picture, landmarks: Points): number {
  const grid = Array.from({ length: 20 }, (_, k) => 25 + 5 * k);
  const points = grid.flatMap((y) => grid.map((x): Point => [x, y]));
  const inside = movedBack(points, upright(landmarks)).filter(
    ([x, y]) => x >= 0 && y >= 0 && x <= photo.width - 1 && y <= photo.height - 1,
  );
  return 1 - inside.length / points.length;
}

/** How far aligned landmarks lie from a face's: root of the mean square, as a part of the distance of the eyes. */
export function misfit(landmarks: Points): number {
  const aligned = moved(landmarks, upright(landmarks));
  const squares = aligned.map((point, k) => distance(point, TEMPLATE[k] as Point) ** 2);
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length) / EYES;
}
