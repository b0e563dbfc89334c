/**
 * The table that a search answers with: an invertible Bloom lookup table over XOR, read by peeling (visard_wire.cells).
 *
 * A reference that matches is XORed into one cell of each of four parts: its label (id and subject), and behind it a check of 16
 * bytes. A cell in which one reference is alone is known by its check; it is taken out of its other cells, and so on. Cells and
 * check follow from the label by NH of 32-bit words, twice, with keys from the request's digest.
 */

import { shake128 } from "@noble/hashes/sha3.js";
import { concat, equal, hex } from "./bytes.ts";

const HASHES = 4;
const PART = 32; // cells that one hash chooses from
/** Cells of a table. */
export const CELLS: number = HASHES * PART;
/** People that an answer names. */
export const MOST = 8;
/** Bytes for a subject's name: of a gallery as many as its longest takes. */
export const ROOMS: readonly number[] = [24, 56, 128];
const ID_BYTES = 16;
const CHECK_BYTES = 16;
const WORD = (1n << 64n) - 1n;
const MIX = 0xff51afd7ed558ccdn; // the finaliser of MurmurHash3: all bits go into each

/** A reference that matches: its id in hex, and whose it is. */
export interface Label {
  readonly referenceId: string;
  readonly subject: string;
}

/** The keys of the two hashes: 32-bit numbers, one for each half of a label's words. */
export type Keys = readonly [Uint32Array, Uint32Array];

/** Bytes of a cell: label and check. */
export function cellBytes(room: number): number {
  return ID_BYTES + room + CHECK_BYTES;
}

/** The keys that a request's seed gives for a table of this room. */
export function hashKeys(seed: Uint8Array, room: number): Keys {
  const count = (ID_BYTES + room) / 4;
  const stream = halves(shake128(seed, { dkLen: 8 * count }));
  return [stream.slice(0, count), stream.slice(count)];
}

/** The references in a table of CELLS cells; undefined where not all can be told. Raises RangeError for what is no table. */
export function peeled(table: Uint8Array, keys: Keys): Label[] | undefined {
  const size = table.length / CELLS;
  const cells = Array.from({ length: CELLS }, (_, k) => table.subarray(k * size, (k + 1) * size));
  const waiting = cells.flatMap((cell, k) => (empty(cell) ? [] : [k]));
  const found: Label[] = [];
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const alone = cells[place] as Uint8Array;
    const where = empty(alone) ? undefined : placesOfOne(alone, keys);
    if (!where?.includes(place)) continue;
    found.push(unpacked(alone.subarray(0, size - CHECK_BYTES)));
    if (found.length > CELLS) throw new RangeError("more references than a table can hold");
    for (const other of where) {
      const rest = difference(cells[other] as Uint8Array, alone);
      cells[other] = rest;
      if (!empty(rest)) waiting.push(other);
    }
  }
  return cells.every(empty) ? found : undefined;
}

/** The cells of the one reference in a cell; undefined where the check says that it is not one. */
function placesOfOne(cell: Uint8Array, keys: Keys): number[] | undefined {
  const end = cell.length - CHECK_BYTES;
  const words = halves(cell.subarray(0, end));
  const hashes = [hashed(words, keys[0]), hashed(words, keys[1])] as const;
  const check = concat(...hashes.map(littleEndian));
  return equal(cell.subarray(end), check) ? places(hashes[0]) : undefined;
}

function hashed(words: Uint32Array, key: Uint32Array): bigint {
  let sum = 0n;
  for (let k = 0; k < words.length; k += 2) {
    const one = ((words[k] as number) + (key[k] as number)) >>> 0;
    const two = ((words[k + 1] as number) + (key[k + 1] as number)) >>> 0;
    sum += BigInt(one) * BigInt(two);
  }
  return sum & WORD;
}

function places(first: bigint): number[] {
  let mixed = ((first ^ (first >> 33n)) * MIX) & WORD;
  mixed ^= mixed >> 33n;
  return Array.from({ length: HASHES }, (_, k) => PART * k + Number((mixed >> BigInt(8 * k)) % BigInt(PART)));
}

/** Raises RangeError for what is no label. */
function unpacked(packed: Uint8Array): Label {
  const room = packed.subarray(ID_BYTES);
  const end = room.findLastIndex((byte) => byte !== 0) + 1;
  const name = room.subarray(0, end);
  if (name.some((byte) => byte === 0 || byte > 127)) throw new RangeError("no subject has such a name");
  return { referenceId: hex(packed.subarray(0, ID_BYTES)), subject: String.fromCharCode(...name) };
}

function difference(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((byte, k) => byte ^ (other[k] as number));
}

function empty(cell: Uint8Array): boolean {
  return cell.every((byte) => byte === 0);
}

function halves(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, k) => view.getUint32(4 * k, true));
}

function littleEndian(word: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, word, true);
  return bytes;
}
