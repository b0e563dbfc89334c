/**
 * A worker's program: finds faces and cuts them. Start it as a module, and tell it first where its files are:
 *
 *     const worker = new Worker(new URL("visard/worker", import.meta.url), { type: "module" });
 *     worker.postMessage({ model: "/assets/yunet.onnx", runtime: "/assets/" });
 *     const capturer = new RemoteCapturer(worker);
 */

import { YuNet } from "./capture/detector.ts";
import { serve } from "./capture/remote.ts";

interface Files {
  readonly model?: string;
  readonly runtime?: string;
}

const scope = globalThis as unknown as Parameters<typeof serve>[0];
scope.onmessage = ({ data: { model, runtime } }: MessageEvent<Files>): void => {
  serve(scope, YuNet.load({ model: model === undefined ? undefined : new URL(model, location.href), runtime }));
};
