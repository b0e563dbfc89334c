/** Chips are Python's to one grey level, and a photo is judged as there, in the same words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CHIPS, cutOut, planes } from "../src/capture/chips.ts";
import { align, misfit, outside } from "../src/capture/faces.ts";
import { ENROLMENT, type Gate, PROBE, probeGate, wrong } from "../src/capture/gates.ts";
import type { Point } from "../src/capture/geometry.ts";
import { blank } from "../src/capture/levels.ts";
import { fromImageData, type Picture, roundEven } from "../src/capture/pictures.ts";
import { type Quality, quality } from "../src/capture/quality.ts";
import { InvalidRequest } from "../src/errors.ts";
import { decoded, read } from "./vectors.ts";

const STEP = 3;
const GATES: Record<string, Gate> = { enrolment: ENROLMENT };
for (const [rate, gate] of PROBE) GATES[rate === 1e-5 ? "1e-05" : String(rate)] = gate;

interface Vector {
  photo: [width: number, height: number, seed: number];
  landmarks: Point[];
  chips: Record<string, string>;
  judged: {
    score: number;
    wander: number;
    outside: number;
    misfit: number;
    blank: number;
    quality: Quality;
    wrong: Record<string, string[]>;
  };
}

/** A picture of waves, as tests/web/capturing.py draws it. */
function drawn([width, height, seed]: Vector["photo"]): Picture {
  const data = new Uint8Array(3 * width * height);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        data[at++] = (x * x * (channel + 3) + y * y * 7 + x * y * 5 + seed * (channel + 1) * 31) >> (5 + (seed % 4));
      }
    }
  }
  return { width, height, data };
}

for (const { photo, landmarks, chips, judged } of read<Vector[]>("capture")) {
  const picture = drawn(photo);

  for (const [name, expected] of Object.entries(chips)) {
    test(`chip ${name} should be Python's to one grey level: photo ${photo}`, () => {
      const cut = CHIPS.get(name);
      assert.ok(cut);
      const chip = cutOut(picture, landmarks, cut);
      const side = Math.ceil(chip.width / STEP);
      const wanted = decoded(expected);
      assert.equal(wanted.length, 3 * side * side);
      wanted.forEach((level, k) => {
        const [row, column] = [Math.floor(k / (3 * side)) * STEP, (Math.floor(k / 3) % side) * STEP];
        const found = chip.data[3 * (row * chip.width + column) + (k % 3)] as number;
        assert.ok(Math.abs(found - level) <= 1, `row ${row}, column ${column}: ${found}, not ${level}`);
      });
    });
  }

  test(`face should be judged as in Python: photo ${photo}`, () => {
    const face = { box: [0, 0, 0, 0], landmarks, score: judged.score, wander: judged.wander } as const;
    const pixels = align(picture, landmarks);
    close({ outside: outside(picture, landmarks), misfit: misfit(landmarks) }, judged, 1e-9);
    close({ blank: blank(pixels) }, judged, 0.01);
    const found = quality({ pixels, photo: picture, face });
    close(found, judged.quality, 0.01);
    for (const [name, gate] of Object.entries(GATES)) {
      const words = wrong(found, gate).map((problem) => problem.text.replace(/[\d.]+/g, "N"));
      assert.deepEqual(
        words,
        judged.wrong[name]?.map((text) => text.replace(/[\d.]+/g, "N")),
      );
    }
  });
}

/** Of numbers by the same names, that each is near its own: to a part of one, or of a hundred where they are larger. */
function close(found: object, wanted: object, part: number): void {
  for (const [name, number] of Object.entries(found)) {
    const expected = (wanted as Record<string, number>)[name] as number;
    assert.ok(
      Math.abs(number - expected) <= part * Math.max(1, Math.abs(expected) / 100),
      `${name}: ${number}, not ${expected}`,
    );
  }
}

test("gate should be the stricter one between two", () => {
  const expected = [
    [1, 1e-3],
    [1e-3, 1e-3],
    [5e-4, 1e-4],
    [undefined, 1e-4],
    [1e-5, 1e-5],
    [1e-9, 1e-5],
  ] as const;
  for (const [rate, gate] of expected) assert.equal(probeGate(rate), PROBE.get(gate));
});

test("canvas should become a picture, alpha over white", () => {
  const data = Uint8ClampedArray.of(10, 20, 30, 255, 0, 100, 200, 128);
  assert.deepEqual(fromImageData({ width: 2, height: 1, data }).data, Uint8Array.of(10, 20, 30, 127, 177, 227));
  assert.throws(() => fromImageData({ width: 3, height: 1, data }), InvalidRequest);
});

test("planes should stand one behind the other", () => {
  const picture = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  assert.deepEqual(planes(picture, [3, 1, 2]), Uint8Array.of(1, 4, 2, 5, 3, 6));
  assert.deepEqual(planes(picture, [1, 1, 2]).length, 2);
  assert.throws(() => planes(picture, [2, 1, 2]), InvalidRequest);
});

test("halves should be rounded to the even number", () => {
  assert.deepEqual([0.5, 1.5, 2.5, -0.5, 2.4999, 2.5001].map(roundEven).map(Math.abs), [0, 2, 2, 0, 2, 3]);
});
