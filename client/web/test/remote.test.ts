/** What is captured in a worker is what is captured here, and so is what fails. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Detector } from "../src/capture/detector.ts";
import { type Face, TEMPLATE } from "../src/capture/faces.ts";
import { ENROLMENT } from "../src/capture/gates.ts";
import type { Point } from "../src/capture/geometry.ts";
import type { Picture } from "../src/capture/pictures.ts";
import { type Port, RemoteCapturer, serve } from "../src/capture/remote.ts";
import { NoFace } from "../src/errors.ts";

const PHOTO: Picture = { width: 320, height: 240, data: new Uint8Array(3 * 320 * 240).map((_, k) => (k * 7919) % 200) };

/** A detector that sees a face in the middle of whatever it is shown. */
const everywhere: Detector = {
  run: ({ width, height }) => {
    const size = Math.min(width, height) / 2;
    const [left, top] = [(width - size) / 2, (height - size) / 2];
    const landmarks = TEMPLATE.map(([x, y]): Point => [left + (x * size) / 150, top + (y * size) / 150]);
    const face: Face = { box: [left, top, size, size], landmarks, score: 0.95, wander: 0 };
    return Promise.resolve([face]);
  },
};

function remote(context: TestContext, detector: Detector): RemoteCapturer {
  const { port1, port2 } = new MessageChannel();
  context.after(() => port1.close());
  serve(port2 as Port, Promise.resolve(detector));
  return new RemoteCapturer(port1 as Port);
}

test("chips should come back with their own photo, each to whom it belongs", async (context) => {
  const capturer = remote(context, everywhere);
  const [one, other] = await Promise.all([PHOTO, { ...PHOTO }].map((photo) => capturer.capture(photo)));
  assert.equal(one?.photo, PHOTO);
  assert.notEqual(other?.photo, PHOTO);
  assert.deepEqual(one?.pixels, other?.pixels);
  assert.deepEqual((await capturer.framing(PHOTO, ENROLMENT)).hints, []);
});

test("errors should be of the class that they were there", async (context) => {
  const capturer = remote(context, { run: () => Promise.resolve([]) });
  await assert.rejects(
    capturer.capture(PHOTO),
    (error) => error instanceof NoFace && error.message.startsWith("no face"),
  );
  const broken = remote(context, { run: () => Promise.reject(new TypeError("no model")) });
  await assert.rejects(broken.capture(PHOTO), { name: "Error", message: "no model" });
});

test("worker that cannot be loaded should keep nobody waiting", async () => {
  const port: Port = { postMessage: () => undefined, onmessage: null };
  const capturer = new RemoteCapturer(port);
  const waiting = [capturer.capture(PHOTO), capturer.framing(PHOTO, ENROLMENT)];
  const refused = Promise.all(waiting.map((one) => assert.rejects(one, /the worker that looks for faces/)));
  port.onerror?.(new Event("error") as ErrorEvent);
  await refused;
  await assert.rejects(capturer.capture(PHOTO), /cannot be loaded/);
});

test("abortion should end the work there, and the waiting here with its reason", async (context) => {
  const controller = new AbortController();
  let looks = 0;
  const capturer = remote(context, {
    run: async (): Promise<Face[]> => {
      if (++looks === 1) controller.abort(new Error("enough"));
      await new Promise((resolve) => setTimeout(resolve, 20)); // the message is on its way
      return [];
    },
  });
  await assert.rejects(capturer.capture(PHOTO, { signal: controller.signal }), /enough/);
  await assert.rejects(capturer.capture(PHOTO, { signal: controller.signal }), /enough/);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.ok(looks <= 2, `${looks} looks`);
});
