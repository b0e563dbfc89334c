/**
 * The fields that shares lie in: integers mod p = 2^q - 1, q = 31 or 61. An element is a word on the wire, little-endian.
 *
 * Elements of q = 31 are numbers, and a sum of several is exact; those of q = 61 are bigints.
 */

import type { Bytes } from "./bytes.ts";
import { InvalidRequest } from "./errors.ts";

const BLOCK = 65_536; // bytes that crypto.getRandomValues gives at once

/** Where random words come from: fills the whole array. */
export type Fill = (words: Uint32Array<ArrayBuffer>) => void;

/** The system's generator, in as many calls as it takes. */
export function fillRandom(words: Uint32Array<ArrayBuffer>): void {
  for (let start = 0; start < words.length; start += BLOCK / 4) {
    crypto.getRandomValues(words.subarray(start, start + BLOCK / 4));
  }
}

/** A field: how its elements are drawn, shared and written. All sizes are elements but `wordBytes`. */
export interface Field {
  readonly q: 31 | 61;
  /** Bytes of an element on the wire. */
  readonly wordBytes: 4 | 8;
  /** Shamir shares of degree 1 of signed integers |x| < p / 2: F(1), F(2), F(3) with F(0) = x, as they lie on the wire. */
  share(values: ArrayLike<number>, fill?: Fill): [Bytes, Bytes, Bytes];
}

/** The field of a Mersenne exponent; raises InvalidRequest for one that this client does not know. */
export function fieldOf(q: number): Field {
  if (q === 31) return SMALL;
  if (q === 61) return LARGE;
  throw new InvalidRequest(`the model's field has q = ${q}: this client knows 31 and 61`);
}

const P31 = 2 ** 31 - 1;
const P61 = (1n << 61n) - 1n;
const TOP = 2 ** 29 - 1; // the upper word of 2^61 - 1

const SMALL: Field = {
  q: 31,
  wordBytes: 4,
  share(values, fill = fillRandom) {
    const slopes = uniform31(values.length, fill);
    const views = buffers(values.length * 4);
    for (let k = 0; k < values.length; k++) {
      const slope = slopes[k] as number;
      let point = values[k] as number;
      if (point < 0) point += P31;
      for (const view of views) {
        point = (point + slope) % P31;
        view.setUint32(4 * k, point, true);
      }
    }
    return bytesOf(views);
  },
};

const LARGE: Field = {
  q: 61,
  wordBytes: 8,
  share(values, fill = fillRandom) {
    const slopes = uniform61(values.length, fill);
    const views = buffers(values.length * 8);
    for (let k = 0; k < values.length; k++) {
      const slope = slopes[k] as bigint;
      let point = BigInt(values[k] as number);
      if (point < 0n) point += P61;
      for (const view of views) {
        point += slope;
        if (point >= P61) point -= P61;
        view.setBigUint64(8 * k, point, true);
      }
    }
    return bytesOf(views);
  },
};

/** Uniform elements of 0 to 2^31 - 2: 31 random bits each, drawn again where they all are ones. */
export function uniform31(count: number, fill: Fill = fillRandom): Uint32Array {
  const words = new Uint32Array(count);
  fill(words);
  const single = new Uint32Array(1);
  for (let k = 0; k < count; k++) {
    let bits = (words[k] as number) & P31;
    while (bits === P31) {
      fill(single);
      bits = (single[0] as number) & P31;
    }
    words[k] = bits;
  }
  return words;
}

/** Uniform elements of 0 to 2^61 - 2: 61 random bits each, drawn again where they all are ones. */
export function uniform61(count: number, fill: Fill = fillRandom): BigUint64Array {
  const words = new Uint32Array(2 * count);
  fill(words);
  const elements = new BigUint64Array(count);
  const pair = new Uint32Array(2);
  for (let k = 0; k < count; k++) {
    pair.set(words.subarray(2 * k, 2 * k + 2));
    while (pair[0] === 0xffffffff && ((pair[1] as number) & TOP) === TOP) fill(pair);
    elements[k] = (BigInt((pair[1] as number) & TOP) << 32n) | BigInt(pair[0] as number);
  }
  return elements;
}

function buffers(size: number): [DataView<ArrayBuffer>, DataView<ArrayBuffer>, DataView<ArrayBuffer>] {
  const one = (): DataView<ArrayBuffer> => new DataView(new ArrayBuffer(size));
  return [one(), one(), one()];
}

function bytesOf(
  views: readonly [DataView<ArrayBuffer>, DataView<ArrayBuffer>, DataView<ArrayBuffer>],
): [Bytes, Bytes, Bytes] {
  const [one, two, three] = views;
  return [new Uint8Array(one.buffer), new Uint8Array(two.buffer), new Uint8Array(three.buffer)];
}
