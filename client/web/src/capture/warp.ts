/** Cutting a turned square out of a photo, to one grey level as OpenCV does it for the Python client (visard.capture.faces.warp). */

import { inverse, type Matrix, movedBack, type Points, scaleOf } from "./geometry.ts";
import { cropped, type Picture, resized, roundEven } from "./pictures.ts";

/** A square of `size` pixels out of the photo; beyond its edge the last row and column are repeated. */
export function warp(photo: Picture, matrix: Matrix, size: number): Picture {
  const { part, corner } = reached(photo, matrix, size);
  const shifted = before(matrix, 1, 1, corner[0], corner[1]);
  const shrink = scaleOf(shifted);
  if (shrink >= 0.5) return sampled(part, shifted, size);
  // reduce first: a warp alone would skip pixels
  const [width, height] = [roundEven(part.width * 2 * shrink), roundEven(part.height * 2 * shrink)];
  const small = resized(part, Math.max(1, width), Math.max(1, height));
  const [across, down] = [part.width / small.width, part.height / small.height];
  // a pixel's centre lies at a half: x' + 1/2 = (x + 1/2) ratio
  return sampled(small, before(shifted, across, down, (across - 1) / 2, (down - 1) / 2), size);
}

/** A transform of what was scaled and shifted before: x as x * across + left, y as y * down + top. */
function before([first, second]: Matrix, across: number, down: number, left: number, top: number): Matrix {
  const row = ([a, b, shift]: Matrix[0]): Matrix[0] => [a * across, b * down, shift + a * left + b * top];
  return [row(first), row(second)];
}

/** What a warp needs of the photo, and its corner: a face in a large photo need not reduce all of it. */
function reached(photo: Picture, matrix: Matrix, size: number): { part: Picture; corner: readonly [number, number] } {
  const square: Points = [
    [0, 0],
    [size, 0],
    [0, size],
    [size, size],
  ];
  const corners = movedBack(square, matrix);
  const margin = 2 + 2 / scaleOf(matrix);
  const range = (axis: 0 | 1, limit: number): [number, number] => {
    const places = corners.map((corner) => corner[axis]);
    const low = clipped(Math.floor(Math.min(...places) - margin), 0, limit - 1);
    return [low, clipped(Math.ceil(Math.max(...places) + margin), low + 1, limit)];
  };
  const [[left, right], [top, bottom]] = [range(0, photo.width), range(1, photo.height)];
  return { part: cropped(photo, left, top, right - left, bottom - top), corner: [left, top] };
}

/** Between neighbours, the last of which are repeated beyond the edge. */
function sampled({ width, height, data }: Picture, matrix: Matrix, size: number): Picture {
  const [[a, b, x0], [c, d, y0]] = inverse(matrix);
  const out = new Uint8Array(3 * size * size);
  const level = (place: number): number => data[place] as number;
  let at = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const u = a * x + b * y + x0;
      const v = c * x + d * y + y0;
      const left = Math.floor(u);
      const top = Math.floor(v);
      const right = u - left;
      const bottom = v - top;
      const west = 3 * clipped(left, 0, width - 1);
      const east = 3 * clipped(left + 1, 0, width - 1);
      const north = 3 * width * clipped(top, 0, height - 1);
      const south = 3 * width * clipped(top + 1, 0, height - 1);
      for (let channel = 0; channel < 3; channel++) {
        const upper = level(north + west + channel) * (1 - right) + level(north + east + channel) * right;
        const lower = level(south + west + channel) * (1 - right) + level(south + east + channel) * right;
        out[at++] = roundEven(upper * (1 - bottom) + lower * bottom);
      }
    }
  }
  return { width: size, height: size, data: out };
}

function clipped(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
