/** Who is framed is told what to change, by the gate that the photo will meet; and a camera that is closed is off. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Camera } from "../src/capture/camera.ts";
import type { Detector } from "../src/capture/detector.ts";
import { type Face, TEMPLATE } from "../src/capture/faces.ts";
import { framing } from "../src/capture/framing.ts";
import { ENROLMENT } from "../src/capture/gates.ts";
import type { Point } from "../src/capture/geometry.ts";
import type { Picture } from "../src/capture/pictures.ts";

function face(size: number, score = 0.95): Face {
  const landmarks = TEMPLATE.map(([x, y]): Point => [10 + (x * size) / 150, 10 + (y * size) / 150]);
  return { box: [10, 10, size, size], landmarks, score, wander: 0 };
}

/** A frame of one level and what is added to it at each pixel. */
function frame(level: (x: number, y: number) => number): Picture {
  const data = new Uint8Array(3 * 320 * 240);
  data.forEach((_, k) => {
    const pixel = Math.floor(k / 3);
    data[k] = level(pixel % 320, Math.floor(pixel / 320));
  });
  return { width: 320, height: 240, data };
}

const noise = (most: number) => frame((x, y) => ((x * 7919 + y * 104_729) % 251) * (most / 251));
const shaded = frame((x, y) => (((x * 7919 + y * 104_729) % 251) / 251) * (x < 100 ? 40 : 200));
const CASES: [string, Face[], Picture, string[]][] = [
  ["nobody", [], noise(200), ["no face"]],
  ["a good face", [face(150)], noise(200), []],
  ["somebody in the background", [face(150), face(60)], noise(200), []],
  ["two people", [face(150), face(120)], noise(200), ["one face"]],
  ["a face far away", [face(35)], noise(200), ["closer"]],
  ["a face in the dark", [face(150)], noise(50), ["light"]],
  ["a face with the light beside it", [face(150)], shaded, ["front light"]],
  ["a plain wall", [face(150)], frame(() => 128), ["still", "front light", "uncover"]],
  ["a face with a mask", [face(150, 0.8)], noise(200), ["clear"]],
];

for (const [name, faces, picture, hints] of CASES) {
  test(`hints should say what to change: ${name}`, async () => {
    const detector: Detector = { run: () => Promise.resolve(faces) };
    const found = await framing(detector, picture, ENROLMENT);
    assert.deepEqual([found.hints, found.face], [hints, faces[0]]);
  });
}

test("camera should be mirrored to whoever stands before it, be lit, and be off once it is closed", async () => {
  const track = {
    stop: mock.fn(),
    applyConstraints: mock.fn(() => Promise.resolve()),
    getCapabilities: () => ({ torch: true }),
  };
  const stream = { getTracks: () => [track], getVideoTracks: () => [track] };
  const getUserMedia = mock.fn((_: MediaStreamConstraints) => Promise.resolve(stream));
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia } }, configurable: true });
  const video = { style: {}, play: () => Promise.resolve() } as unknown as HTMLVideoElement;
  const camera = await Camera.open(video);
  assert.equal(getUserMedia.mock.calls[0]?.arguments[0].audio, false);
  assert.deepEqual([video.style.transform, video.muted, video.playsInline], ["scaleX(-1)", true, true]);
  assert.equal(await camera.torch(true), true);
  assert.deepEqual(track.applyConstraints.mock.calls.length, 1);
  camera.close();
  assert.deepEqual([track.stop.mock.calls.length, video.srcObject], [1, null]);
});
