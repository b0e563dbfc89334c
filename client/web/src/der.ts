/** ECDSA signatures in DER, as parties and callers exchange them (FIPS 186-5, RFC 3279); WebCrypto has r and s side by side. */

import { type Bytes, concat } from "./bytes.ts";

const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** r and s behind each other, each of the same length, as DER. */
export function toDer(raw: Uint8Array): Bytes {
  const half = raw.length / 2;
  const body = concat(integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  return concat(header(SEQUENCE, body.length), body);
}

/** DER as r and s of so many bytes each; raises RangeError for anything but the one encoding that DER has. */
export function fromDer(der: Uint8Array, half: number): Bytes {
  const raw = new Uint8Array(2 * half);
  const [body, end] = element(der, 0, SEQUENCE);
  const [r, middle] = element(body, 0, INTEGER);
  const [s, last] = element(body, middle, INTEGER);
  if (end !== der.length || last !== body.length) throw new RangeError("not one signature");
  raw.set(magnitude(r, half), 0);
  raw.set(magnitude(s, half), half);
  return raw;
}

function integer(bytes: Uint8Array): Bytes {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  const sign = (digits[0] as number) > 127 ? Uint8Array.of(0) : new Uint8Array(0);
  return concat(header(INTEGER, sign.length + digits.length), sign, digits);
}

/** An element: its body, of less than 256 bytes, behind its tag and length. */
export function wrapped(tag: number, ...parts: readonly Uint8Array[]): Bytes {
  const body = concat(...parts);
  return concat(header(tag, body.length), body);
}

/** Bodies are below 256 bytes: two integers of 66 at most. */
function header(tag: number, length: number): Bytes {
  return length < 128 ? Uint8Array.of(tag, length) : Uint8Array.of(tag, 0x81, length);
}

/** What an element holds, and where it ends. */
function element(bytes: Uint8Array, start: number, tag: number): [Uint8Array, number] {
  const long = bytes[start + 1] === 0x81;
  const length = bytes[start + (long ? 2 : 1)] ?? Number.NaN;
  const begin = start + (long ? 3 : 2);
  const end = begin + length;
  if (bytes[start] !== tag || length < (long ? 128 : 0) || (!long && length > 127) || !(end <= bytes.length)) {
    throw new RangeError("not DER");
  }
  return [bytes.subarray(begin, end), end];
}

/** An integer without its sign, filled up to so many bytes. */
function magnitude(digits: Uint8Array, half: number): Bytes {
  const padded = digits[0] === 0 && digits.length > 1;
  const bare = padded ? digits.subarray(1) : digits;
  const negative = ((digits[0] ?? 128) & 128) !== 0;
  const longer = padded && (bare[0] as number) < 128;
  if (negative || longer || bare.length > half) throw new RangeError("not a positive integer of this size");
  return concat(new Uint8Array(half - bare.length), bare);
}
