/** A face is looked for in all sizes and orientations, and whoever gives up is not kept waiting. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { capture } from "../src/capture/capture.ts";
import { type Detector, YuNet } from "../src/capture/detector.ts";
import { look } from "../src/capture/looks.ts";
import { cropped, type Picture, resized, turned } from "../src/capture/pictures.ts";
import { NoFace } from "../src/errors.ts";

const MODEL = readFileSync(join(import.meta.dirname, "../assets/yunet.onnx"));

function plain(width: number, height: number, level = 0): Picture {
  return { width, height, data: new Uint8Array(3 * width * height).fill(level) };
}

/** Black, but for one bright pixel. */
function dotted(width: number, height: number, x: number, y: number): Picture {
  const picture = plain(width, height);
  picture.data.fill(255, 3 * (y * width + x), 3 * (y * width + x) + 3);
  return picture;
}

/** Finds a face of one pixel at each bright pixel, and writes down how large the pictures are that it is shown. */
class Double implements Detector {
  readonly sizes: string[] = [];

  run({ width, height, data }: Picture): Promise<Awaited<ReturnType<Detector["run"]>>> {
    this.sizes.push(`${width}x${height}`);
    const places = Array.from({ length: width * height }, (_, k) => k).filter((k) => (data[3 * k] as number) > 200);
    return Promise.resolve(
      places.map((k) => {
        const [x, y] = [k % width, Math.floor(k / width)];
        return { box: [x, y, 1, 1] as const, landmarks: Array(5).fill([x, y]), score: 0.9, wander: 0 };
      }),
    );
  }
}

test("photo without a face should be looked at in all sizes and orientations", async () => {
  const double = new Double();
  await assert.rejects(capture(double, plain(640, 480)), NoFace);
  const quarters = ["240x320", "320x240", "240x320", "480x640", "640x480", "480x640"];
  assert.deepEqual(double.sizes, ["320x240", "640x480", ...quarters]);
});

test("photo of many pixels should be looked at by tiles, and each face told once", async () => {
  const double = new Double();
  const faces = await look(double, dotted(3000, 1500, 1200, 700), 1);
  assert.deepEqual(
    faces.map((face) => face.box),
    [[1200, 700, 1, 1]],
  ); // in two tiles: 0 to 1279, and from 1120 on
  assert.deepEqual(double.sizes, ["1280x1280", "1280x1280", "760x1280", "1280x380", "1280x380", "760x380"]);
});

for (const turns of [0, 1, 2, 3]) {
  test(`face should be where it was before ${turns} quarter turns`, async () => {
    const [face] = await look(new Double(), dotted(50, 40, 7, 30), 1, turns);
    assert.deepEqual(face?.landmarks[0], [7, 30]);
  });
}

test("aborted capture should end with the reason", async () => {
  const controller = new AbortController();
  const aborting: Detector = {
    run() {
      controller.abort(new Error("enough"));
      return Promise.resolve([]);
    },
  };
  await assert.rejects(capture(aborting, plain(640, 480), { signal: controller.signal }), /enough/);
});

test("detector should find nobody where nobody is, in any size", async () => {
  const detector = await YuNet.load({ model: MODEL });
  const found = await Promise.all([plain(33, 64, 128), plain(320, 200)].map((picture) => detector.run(picture)));
  assert.deepEqual(found, [[], []]);
});

test("pictures should be cut, turned and halved", () => {
  const picture = { width: 2, height: 2, data: Uint8Array.from({ length: 12 }, (_, k) => 10 * Math.floor(k / 3)) };
  const levels = ({ data }: Picture): number[] => Array.from(data).filter((_, k) => k % 3 === 0);
  assert.deepEqual(levels(turned(picture, 1)), [10, 30, 0, 20]);
  assert.deepEqual(levels(turned(picture, 4)), [0, 10, 20, 30]);
  assert.deepEqual(levels(cropped(picture, 1, 0, 1, 2)), [10, 30]);
  assert.deepEqual(levels(resized(picture, 1, 1)), [15]);
  assert.deepEqual(levels(resized(picture, 4, 2)), [0, 2, 8, 10, 20, 22, 28, 30]);
});
