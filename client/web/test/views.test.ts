/** The views for people: whom an answer is about, what stays in a form, and when a camera is off. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Finder } from "../pages/finder.ts";
import { watching } from "../pages/kiosk.ts";
import { Presence } from "../pages/presence.ts";
import { Answer, form, type Site } from "../pages/site.ts";
import { sayer } from "../pages/texts.ts";
import { withdrawn } from "../pages/withdrawal.ts";
import type { Chip } from "../src/capture/faces.ts";
import type { Framing } from "../src/capture/framing.ts";
import { ENROLMENT } from "../src/capture/gates.ts";
import { NotFound, PermissionDenied } from "../src/errors.ts";
import { type Element, until } from "./dom.ts";

const say = sayer("en");
const looking = { framing: () => Promise.reject(new Error("no wasm")) };
const SITE = { say, capturer: looking, language: "en" } as unknown as Site;

class Stream {
  active = true;
  getTracks(): { stop(): void }[] {
    const stop = (): void => {
      this.active = false;
    };
    return [{ stop }];
  }
  getVideoTracks(): { getCapabilities(): object }[] {
    return [{ getCapabilities: () => ({}) }];
  }
}

/** A camera that shows something once it may. */
function cameras(context: TestContext): { streams: Stream[]; allow: (() => void)[] } {
  const [streams, allow] = [[] as Stream[], [] as (() => void)[]];
  const getUserMedia = async (): Promise<Stream> => {
    await new Promise<void>((resolve) => allow.push(resolve));
    const stream = new Stream();
    streams.push(stream);
    return stream;
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator") as PropertyDescriptor;
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { mediaDevices: { getUserMedia } } });
  context.after(() => Object.defineProperty(globalThis, "navigator", before));
  return { streams, allow };
}

function opened(): { finder: Finder; root: Element; video: Element } {
  const finder = new Finder(SITE, ENROLMENT);
  const root = finder.root as unknown as Element;
  return { finder, root, video: root.all.find(({ tag }) => tag === "video") as Element };
}

test("camera should be off after a second click, also where the browser still asks", async (context) => {
  const { streams, allow } = cameras(context);
  const { finder, root, video } = opened();
  for (const text of ["cameraOn", "cameraOff", "cameraOn"] as const) root.button(say(text)).act("click");
  assert.equal(allow.length, 2);
  for (const one of allow) one();
  await until(() => streams.length === 2 && finder.on);
  assert.deepEqual(
    streams.map(({ active }) => active),
    [false, true],
  );
  assert.equal(video.srcObject, streams[1]);
  root.button(say("cameraOff")).act("click");
  assert.deepEqual([streams[1]?.active, video.srcObject, finder.on], [false, null, false]);
});

test("camera should be off where its view is left before it shows anything, or it cannot be shown", async (context) => {
  const { streams, allow } = cameras(context);
  const { finder, root, video } = opened();
  video.play = () => new Promise(() => undefined);
  const opening = finder.open();
  allow.shift()?.();
  await until(() => video.srcObject !== null);
  finder.close();
  assert.equal(streams[0]?.active, false);
  video.play = () => Promise.reject(new Error("NotAllowedError"));
  const again = finder.open();
  allow.shift()?.();
  await again;
  assert.equal(streams[1]?.active, false);
  assert.ok(root.textContent.includes(say("cameraNone")));
  void opening;
});

test("finder should say that nothing looks for faces, and that the camera was taken away", async (context) => {
  const { streams, allow } = cameras(context);
  const { finder, root, video } = opened();
  const canvas = { drawImage: () => undefined, getImageData: () => ({ width: 1, height: 1, data: new Uint8Array(4) }) };
  Object.assign(globalThis, {
    OffscreenCanvas: class {
      getContext = (): unknown => canvas;
    },
  });
  [video.videoWidth, video.videoHeight] = [2, 2];
  void finder.open();
  allow.shift()?.();
  await until(() => root.textContent.includes("no wasm"));
  (streams[0] as Stream).active = false;
  await until(() => !finder.on);
  assert.ok(root.textContent.includes(say("cameraNone")));
});

test("form should take nothing while it works, and give the focus back", async () => {
  const answer = new Answer(SITE);
  const { promise, resolve } = Promise.withResolvers<void>();
  const element = form("go", (one) => void answer.of(one, () => promise)) as unknown as Element;
  const main = element.button("go");
  let clicks = 0;
  main.addEventListener("click", () => clicks++);
  main.focus();
  element.act("submit");
  main.act("click");
  (document as unknown as { body: Element }).body.focus(); // as browsers do when what has the focus is disabled
  resolve();
  await until(() => (document.activeElement as unknown) === main);
  main.act("click");
  assert.equal(clicks, 1);
});

test("withdrawal should reach what waits as well, and find nothing only where nothing was", async () => {
  const none = (): Promise<number> => Promise.reject(new NotFound("nobody"));
  const some = (count: number) => (): Promise<number> => Promise.resolve(count);
  assert.equal(await withdrawn({ review: some(1), delete: none }, "ada"), 1);
  assert.equal(await withdrawn({ review: none, delete: some(2) }, "ada"), 2);
  assert.equal(await withdrawn({ review: some(1), delete: some(2) }, "ada"), 3);
  await assert.rejects(withdrawn({ review: none, delete: none }, "ada"), NotFound);
  const denied = (): Promise<number> => Promise.reject(new PermissionDenied("another's"));
  await assert.rejects(withdrawn({ review: denied, delete: some(1) }, "ada"), PermissionDenied);
});

test("kiosk should say an answer to whom it is about, and forget it when they leave or it stops", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const answer = new Answer(SITE);
  const root = answer.root as unknown as Element;
  const text = (): string => root.textContent;
  const asked: PromiseWithResolvers<{ text: string; known: boolean }>[] = [];
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const kiosk = watching(say, answer, {
    photograph: () => Promise.resolve({} as Chip),
    identify: () => {
      asked.push(Promise.withResolvers());
      return (asked.at(-1) as (typeof asked)[0]).promise;
    },
  });
  const look = async (left: number): Promise<void> => {
    context.mock.timers.tick(250);
    kiosk.seen({ hints: [], face: { box: [left, 0, 100, 100] } as never });
    await settled();
  };
  const answered = async (name: string): Promise<void> => {
    asked.at(-1)?.resolve({ text: name, known: true });
    await settled();
  };
  await look(0);
  await look(300); // bob takes ada's place while she is searched for
  await answered("ada");
  assert.equal(text(), "");
  context.mock.timers.tick(2_000);
  await look(300);
  await answered("bob");
  assert.equal(text(), "bob");
  await look(310);
  assert.deepEqual([asked.length, text()], [2, "bob"]);
  kiosk.closed();
  assert.equal(text(), "");
  await look(310);
  asked.at(-1)?.reject(new Error("no answer"));
  await settled();
  assert.ok(text().startsWith(say("Error")));
  context.mock.timers.tick(10_000);
  assert.deepEqual([asked.length, text()], [3, say("nextPerson")]); // one failure is no reason to search again
});

test("person should be another one where the face jumps, and gone only after a while", () => {
  const at = (left: number, width = 100): Pick<Framing, "face"> => ({
    face: { box: [left, 0, width, width], landmarks: [], score: 1, wander: 0 } as never,
  });
  const presence = new Presence();
  const nobody = { face: undefined };
  assert.equal(presence.look(at(0), 0), "other");
  assert.equal(presence.look(at(20), 250), "same");
  assert.equal(presence.look(nobody, 500), "same");
  assert.equal(presence.look(at(40), 750), "same");
  assert.equal(presence.look(at(140), 1000), "other");
  assert.equal(presence.look(at(140, 200), 1250), "other");
  assert.equal(presence.look(nobody, 1500), "same");
  assert.equal(presence.look(nobody, 3900), "same");
  assert.equal(presence.look(nobody, 4000), "gone");
  assert.equal(presence.look(at(140, 200), 4250), "other");
});
