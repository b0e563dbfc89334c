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
    if (data[k + 3] === 255) {
      rgb[at++] = data[k] as number;
      rgb[at++] = data[k + 1] as number;
      rgb[at++] = data[k + 2] as number;
      continue;
    }
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

const WHOLE = 1.5 * 2 ** 52; // added to a number it leaves no room for a fraction, and the processor rounds as is wanted here

/** To the nearest whole number, halves to the even one: as Python and OpenCV round. */
export function roundEven(value: number): number {
  return value + WHOLE - WHOLE;
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
  const taps = (from: number, to: number): Taps =>
    smaller ? areaTaps(from, to, factor ? 1 / factor : from / to) : linearTaps(from, to);
  const [across, down] = [taps(picture.width, width), taps(picture.height, height)];
  const halved = smaller && width * 2 === picture.width && height * 2 === picture.height;
  const data = new Uint8Array(3 * width * height);
  const row = new Float64Array(3 * width);
  const rows = new Rows(picture, across);
  let at = 0;
  for (let y = 0; y < height; y++) {
    row.fill(0);
    const begin = down.begins[y] as number;
    for (let k = begin; k < (down.begins[y + 1] as number); k++) {
      const weight = down.weights[k] as number;
      const source = rows.at((down.firsts[y] as number) + k - begin);
      for (let x = 0; x < row.length; x++) (row[x] as number) += weight * (source[x] as number);
    }
    for (let x = 0; x < row.length; x++) {
      data[at++] = halved ? Math.floor((row[x] as number) + 0.5) : roundEven(row[x] as number); // OpenCV halves with integers
    }
  }
  return { width, height, data };
}

/**
 * What new pixels are made of along one axis. Pixel k: of old ones from `firsts[k]` on, each with its weight, which stand in `weights`
 * from `begins[k]` to `begins[k + 1]`.
 */
interface Taps {
  readonly firsts: Int32Array;
  readonly begins: Int32Array;
  readonly weights: Float64Array;
}

/** Rows of a picture brought to a new width, of which the last two are kept: neighbours are made of the same ones. */
class Rows {
  readonly #picture: Picture;
  readonly #taps: Taps;
  readonly #kept: [Float64Array, Float64Array];
  readonly #places: [number, number] = [-1, -1];

  constructor(picture: Picture, taps: Taps) {
    this.#picture = picture;
    this.#taps = taps;
    const size = 3 * taps.firsts.length;
    this.#kept = [new Float64Array(size), new Float64Array(size)];
  }

  /** The row at y, until the next but one is asked for. */
  at(y: number): Float64Array {
    const place = (y & 1) as 0 | 1;
    const row = this.#kept[place];
    if (this.#places[place] !== y) this.#narrow(y, row);
    this.#places[place] = y;
    return row;
  }

  #narrow(y: number, row: Float64Array): void {
    const { width, data } = this.#picture;
    const { firsts, begins, weights } = this.#taps;
    for (let x = 0; x < firsts.length; x++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      let at = 3 * (y * width + (firsts[x] as number));
      for (let k = begins[x] as number; k < (begins[x + 1] as number); k++) {
        const weight = weights[k] as number;
        red += weight * (data[at++] as number);
        green += weight * (data[at++] as number);
        blue += weight * (data[at++] as number);
      }
      row[3 * x] = red;
      row[3 * x + 1] = green;
      row[3 * x + 2] = blue;
    }
  }
}

function tapsOf(all: readonly { first: number; weights: readonly number[] }[]): Taps {
  const begins = new Int32Array(all.length + 1);
  all.forEach(({ weights }, k) => {
    begins[k + 1] = (begins[k] as number) + weights.length;
  });
  return {
    firsts: Int32Array.from(all, ({ first }) => first),
    begins,
    weights: Float64Array.from(all.flatMap(({ weights }) => weights)),
  };
}

function areaTaps(from: number, to: number, ratio: number): Taps {
  const all = Array.from({ length: to }, (_, k) => {
    const [begin, end] = [k * ratio, Math.min((k + 1) * ratio, from)];
    const first = Math.floor(begin);
    const count = Math.max(1, Math.ceil(end - 1e-9) - first);
    const covered = Array.from({ length: count }, (_, j) => Math.min(end, first + j + 1) - Math.max(begin, first + j));
    const whole = covered.reduce((sum, part) => sum + part, 0);
    return { first, weights: covered.map((part) => part / whole) };
  });
  return tapsOf(all);
}

function linearTaps(from: number, to: number): Taps {
  const all = Array.from({ length: to }, (_, k) => {
    const place = Math.min(Math.max(((k + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.min(Math.floor(place), Math.max(from - 2, 0));
    return { first, weights: from === 1 ? [1] : [1 - (place - first), place - first] };
  });
  return tapsOf(all);
}
