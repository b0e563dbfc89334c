/** The page of tests in a real browser: a camera, a client, and what a test asks of both. Not a page for people. */

import { chipPixels, planes } from "../../src/capture/chips.ts";
import {
  Camera,
  type Chip,
  Client,
  ConnectTransport,
  ENROLMENT,
  type PhotoOptions,
  type Picture,
  RemoteCapturer,
  readPhoto,
  readVideo,
  Signer,
  Trust,
} from "../../src/index.ts";

/** What the site says: no page for people would have a key from there. */
export interface Setup {
  readonly gateway: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What was answered or which error it was, and seconds: from the shutter to the sealed upload, and to the answer. */
export interface Told {
  readonly answer?: unknown;
  readonly error?: string;
  readonly sealed: number;
  readonly whole: number;
}

const { gateway, ca, cert, key } = (await (await fetch("/setup.json")).json()) as Setup;
const worker = new Worker("/worker.js", { type: "module" });
worker.postMessage({ model: "/assets/yunet.onnx", runtime: "/assets/" });
const capturer = new RemoteCapturer(worker);
const client = new Client({
  transport: new ConnectTransport({ gateway, credentials: "include" }),
  trust: Trust.one(ca),
  signer: await Signer.fromPem(cert, key),
  capturer,
});
const video = document.querySelector("video") as HTMLVideoElement;
await Camera.open(video);
let last: Chip | undefined;

/** A photo is taken, and asked about. */
async function asked(ask: (photo: Picture, options: PhotoOptions) => Promise<unknown>): Promise<Told> {
  const shutter = performance.now();
  let sealed = Number.NaN;
  const since = (): number => (performance.now() - shutter) / 1000;
  const onStage = (stage: string): void => {
    if (stage === "send") sealed = since();
  };
  try {
    return { answer: await ask(readVideo(video), { onStage }), sealed, whole: since() };
  } catch (error) {
    return { error: (error as Error).name, sealed, whole: since() };
  }
}

const page = {
  enrol: (subject: string): Promise<Told> =>
    asked(async (photo, options) => (await client.enrol(subject, [photo], options)).references.length),
  verify: (subject: string): Promise<Told> =>
    asked(async (photo, options) => (await client.verify(subject, photo, options)).match),
  identify: (): Promise<Told> =>
    asked(async (photo, options) => (await client.identify(photo, options)).subject ?? null),
  forget: (subject: string): Promise<number> => client.delete(subject),
  /** What is wrong with what the camera shows, as somebody is told who is to be enrolled. */
  hints: async (): Promise<readonly string[]> => (await capturer.framing(readVideo(video), ENROLMENT)).hints,
  /** So many captures, one after the other: seconds of each, and the longest that the page stood still meanwhile. */
  captures: async (count: number): Promise<{ seconds: number[]; still: number }> => {
    const seconds: number[] = [];
    let [still, before, going] = [0, performance.now(), true];
    const frame = (now: number): void => {
      still = Math.max(still, (now - before) / 1000);
      before = now;
      if (going) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    for (let k = 0; k < count; k++) {
      const shutter = performance.now();
      last = await capturer.capture(readVideo(video));
      seconds.push((performance.now() - shutter) / 1000);
    }
    going = false;
    return { seconds, still };
  },
  /** A file as it is read that somebody has chosen; both in base64. */
  read: async (file: string): Promise<{ width: number; height: number; data: string }> => {
    const { width, height, data } = await readPhoto(
      new Blob([Uint8Array.from(atob(file), (one) => one.charCodeAt(0))]),
    );
    return { width, height, data: base64(data) };
  },
  /** A photo as it was read, and its chip as the model takes it, in base64. */
  seen: async (chip: string, shape: readonly number[]): Promise<Record<string, string>> => {
    last = await capturer.capture(readVideo(video));
    return { photo: base64(last.photo.data), chip: base64(planes(chipPixels(last, chip), shape)) };
  },
};

function base64(bytes: ArrayLike<number>): string {
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length; start += 8192) {
    pieces.push(String.fromCharCode(...Array.prototype.slice.call(bytes, start, start + 8192)));
  }
  return btoa(pieces.join(""));
}

/** What a test may ask of the page. */
export type Page = typeof page;

Object.assign(globalThis, { page });
document.documentElement.dataset["begun"] = "";
