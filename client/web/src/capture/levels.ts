/** Grey levels of the square of a chip from the brows to below the mouth, and what is measured on them (visard.capture.quality). */

import { CHIP_SIZE } from "./faces.ts";
import { grey, type Picture } from "./pictures.ts";

const FIRST = 25; // row and column of the inner square
/** Pixels of its side. */
export const INNER = 100;
const TEXTURE = 2; // grey levels between neighbours, as in a bar that JPEG has blurred a little
const REACH = 3; // of the 7 x 7 pixels around one
const TAPS = 13; // of a blur by 1.5 pixels, as OpenCV counts them
const SIGMA = 1.5;

/** The grey levels of a chip's inner square, row by row. */
export function innerLevels(chip: Picture): Float64Array {
  const levels = grey(chip);
  return inner((at) => levels[at] as number);
}

/** Of each pixel of the inner square what stands at its place in the chip. */
function inner(level: (at: number) => number): Float64Array {
  return Float64Array.from({ length: INNER * INNER }, (_, k) => {
    return level((FIRST + Math.floor(k / INNER)) * CHIP_SIZE + FIRST + (k % INNER));
  });
}

/** The mean. */
export function meanOf(levels: Float64Array): number {
  return levels.reduce((sum, level) => sum + level, 0) / levels.length;
}

/** The standard deviation, of all there are. */
export function deviationOf(levels: Float64Array): number {
  const middle = meanOf(levels);
  return Math.sqrt(levels.reduce((sum, level) => sum + (level - middle) ** 2, 0) / levels.length);
}

/** Of the levels' variation the part that a blur by 1.5 pixels takes away; 0 where nothing varies. */
export function sharpnessOf(levels: Float64Array): number {
  const whole = deviationOf(levels);
  const smooth = blurred(blurred(levels, 1), INNER);
  return whole ? deviationOf(levels.map((level, k) => level - (smooth[k] as number))) / whole : 0;
}

/** How much brighter the right half is than the left, as a part of both. */
export function unevenOf(levels: Float64Array): number {
  const half = (right: boolean): number => meanOf(levels.filter((_, k) => k % INNER >= INNER / 2 === right));
  const [left, right] = [half(false), half(true)];
  return (right - left) / Math.max(left + right, 1);
}

/** The part of a chip's inner square around which 7 x 7 pixels are all alike, in each colour. */
export function blank(chip: Picture): number {
  const spreads = [0, 1, 2].map((channel) => {
    const levels = inner((at) => chip.data[3 * at + channel] as number);
    const [high, low] = [extreme(levels, true), extreme(levels, false)];
    return high.map((level, k) => level - (low[k] as number));
  });
  const alike = spreads[0]?.filter((_, k) => spreads.every((spread) => (spread[k] as number) <= TEXTURE));
  return (alike?.length ?? 0) / (INNER * INNER);
}

/** The highest or lowest level of the pixels around each, within the square. */
function extreme(levels: Float64Array, highest: boolean): Float64Array {
  const along = (from: Float64Array, step: number): Float64Array => {
    const found = from.slice();
    for (let k = 0; k < from.length; k++) {
      const place = placeOf(k, step);
      const last = k + (Math.min(place + REACH, INNER - 1) - place) * step;
      let best = from[k] as number;
      for (let near = k + (Math.max(place - REACH, 0) - place) * step; near <= last; near += step) {
        const other = from[near] as number;
        if (highest ? other > best : other < best) best = other;
      }
      found[k] = best;
    }
    return found;
  };
  return along(along(levels, 1), INNER);
}

/** Along one axis, mirrored at the edge without repeating it; `step` is 1 for rows, INNER for columns. */
function blurred(levels: Float64Array, step: number): Float64Array {
  const bell = Array.from({ length: TAPS }, (_, k) => Math.exp(-((k - (TAPS - 1) / 2) ** 2) / (2 * SIGMA ** 2)));
  const weight = bell.reduce((sum, one) => sum + one, 0);
  return levels.map((_, k) => {
    const place = placeOf(k, step);
    let sum = 0;
    for (let tap = 0; tap < TAPS; tap++) {
      const wanted = Math.abs(place + tap - (TAPS - 1) / 2);
      const mirrored = wanted < INNER ? wanted : 2 * (INNER - 1) - wanted;
      sum += (bell[tap] as number) * (levels[k + (mirrored - place) * step] as number);
    }
    return sum / weight;
  });
}

/** Where a pixel stands along an axis. */
function placeOf(k: number, step: number): number {
  return step === 1 ? k % INNER : Math.floor(k / INNER);
}
