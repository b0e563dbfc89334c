/** Pictures as they are looked at and cut: RGB, 8 bits; brought to other sizes as OpenCV does it, to one grey level. */

import { InvalidRequest, NotAnImage } from "../errors.ts";

/** RGB, row by row from the top, three bytes a pixel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A larger picture is refused before it is unpacked. */
export const MAX_PIXELS = 89_000_000;

/** What a canvas gives, alpha over white; raises InvalidRequest for no pixels, or too many. */
export function fromImageData({ width, height, data }: Pick<ImageData, "width" | "height" | "data">): Picture {
  if (!(width > 0 && height > 0) || data.length !== 4 * width * height) throw new InvalidRequest("photo: RGBA pixels");
  checkSize(width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let k = 0, at = 0; k < data.length; k += 4) {
    const alpha = (data[k + 3] as number) / 255;
    for (let channel = 0; channel < 3; channel++) {
      rgb[at++] = roundEven((data[k + channel] as number) * alpha + 255 * (1 - alpha));
    }
  }
  return { width, height, data: rgb };
}

/** Raises NotAnImage for a picture of too many pixels. */
export function checkSize(width: number, height: number): void {
  if (width * height > MAX_PIXELS) throw new NotAnImage(`the image: larger than ${MAX_PIXELS / 1_000_000} megapixels`);
}

/** To the nearest whole number, halves to the even one: as Python and OpenCV round. */
export function roundEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** A part of a picture, which lies within it. */
export function cropped(picture: Picture, left: number, top: number, width: number, height: number): Picture {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const start = 3 * ((top + y) * picture.width + left);
    data.set(picture.data.subarray(start, start + 3 * width), 3 * y * width);
  }
  return { width, height, data };
}

/** Turned by quarters against the clock. */
export function turned(picture: Picture, quarters: number): Picture {
  return Array.from({ length: quarters }).reduce<Picture>(quarterTurned, picture);
}

function quarterTurned({ width, height, data }: Picture): Picture {
  return made(height, width, (x, y, channel) => data[3 * (x * width + (width - 1 - y)) + channel] as number);
}

/** Left and right exchanged. */
export function mirrored({ width, height, data }: Picture): Picture {
  return made(width, height, (x, y, channel) => data[3 * (y * width + width - 1 - x) + channel] as number);
}

/** Blue where red was. */
export function swapped({ width, height, data }: Picture): Picture {
  return made(width, height, (x, y, channel) => data[3 * (y * width + x) + 2 - channel] as number);
}

function made(width: number, height: number, level: (x: number, y: number, channel: number) => number): Picture {
  const data = new Uint8Array(3 * width * height);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) for (let channel = 0; channel < 3; channel++) data[at++] = level(x, y, channel);
  }
  return { width, height, data };
}

/** The grey level of each pixel, as OpenCV weighs red, green and blue. */
export function grey({ width, height, data }: Picture): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, k) => {
    const [red, green, blue] = [data[3 * k] as number, data[3 * k + 1] as number, data[3 * k + 2] as number];
    return (red * 4899 + green * 9617 + blue * 1868 + 8192) >> 14;
  });
}

/**
 * In another size: by the mean of what a pixel covers where it shrinks (INTER_AREA), else between neighbours (INTER_LINEAR).
 * `factor` is how much smaller it becomes, where that is not exactly what the sizes say.
 */
export function resized(picture: Picture, width: number, height: number, factor?: number): Picture {
  if (width === picture.width && height === picture.height) return picture;
  const smaller = width <= picture.width && height <= picture.height;
  const taps = (from: number, to: number): Taps[] =>
    smaller ? areaTaps(from, to, factor ? 1 / factor : from / to) : linearTaps(from, to);
  const [across, down] = [taps(picture.width, width), taps(picture.height, height)];
  const halved = smaller && width * 2 === picture.width && height * 2 === picture.height;
  const round = halved ? (value: number): number => Math.floor(value + 0.5) : roundEven; // OpenCV halves with integers
  const data = new Uint8Array(3 * width * height);
  const narrowed = new Map<number, Float64Array>(); // rows of the picture, brought to the new width
  const row = new Float64Array(3 * width);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y] as Taps;
    row.fill(0);
    weights.forEach((weight, k) => {
      const source = narrowed.get(first + k) ?? narrow(picture, first + k, across);
      narrowed.set(first + k, source);
      for (let x = 0; x < row.length; x++) (row[x] as number) += weight * (source[x] as number);
    });
    for (const old of narrowed.keys()) if (old < first) narrowed.delete(old);
    for (let x = 0; x < row.length; x++) data[3 * y * width + x] = round(row[x] as number);
  }
  return { width, height, data };
}

/** What a new pixel is made of along one axis: old ones from the first on, each with its weight. */
interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

function narrow({ width, data }: Picture, y: number, across: readonly Taps[]): Float64Array {
  const row = new Float64Array(3 * across.length);
  across.forEach(({ first, weights }, x) => {
    weights.forEach((weight, k) => {
      const at = 3 * (y * width + first + k);
      for (let channel = 0; channel < 3; channel++) {
        (row[3 * x + channel] as number) += weight * (data[at + channel] as number);
      }
    });
  });
  return row;
}

function areaTaps(from: number, to: number, ratio: number): Taps[] {
  return Array.from({ length: to }, (_, k) => {
    const [begin, end] = [k * ratio, Math.min((k + 1) * ratio, from)];
    const first = Math.floor(begin);
    const count = Math.max(1, Math.ceil(end - 1e-9) - first);
    const covered = Array.from({ length: count }, (_, j) => Math.min(end, first + j + 1) - Math.max(begin, first + j));
    const whole = covered.reduce((sum, part) => sum + part, 0);
    return { first, weights: covered.map((part) => part / whole) };
  });
}

function linearTaps(from: number, to: number): Taps[] {
  return Array.from({ length: to }, (_, k) => {
    const place = Math.min(Math.max(((k + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.min(Math.floor(place), Math.max(from - 2, 0));
    return { first, weights: from === 1 ? [1] : [1 - (place - first), place - first] };
  });
}
