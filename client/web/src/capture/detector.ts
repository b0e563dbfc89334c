/** YuNet itself, on a picture as it is, by ONNX Runtime (wasm): W. Wu, H. Peng, S. Yu, 2023; read as OpenCV reads it. */

import type * as Runtime from "onnxruntime-web/wasm";
import type { Face } from "./faces.ts";
import type { Point } from "./geometry.ts";
import type { Picture } from "./pictures.ts";

const SCORE = 0.7;
const SAME = 0.3; // boxes that share more than this part of their union are one face
const STRIDES = [8, 16, 32] as const;
const UNIT = 32; // sides are filled up to a multiple of it
const LANDMARKS = 5;

type TensorClass = (typeof Runtime)["Tensor"];

/** What finds faces in a picture as it is: YuNet, or a double of it. */
export interface Detector {
  /** Upright faces, the surest first. */
  run(picture: Picture): Promise<Face[]>;
}

/** Where the detector's file and ONNX Runtime's wasm come from; by default they lie beside this module and in its package. */
export interface DetectorFiles {
  /** The file, or its address. */
  readonly model?: Uint8Array | URL | undefined;
  /** The address of the folder with ONNX Runtime's files, ending with a slash. */
  readonly runtime?: string | undefined;
}

/** The detector, loaded once for a page or worker. */
export class YuNet implements Detector {
  readonly #session: Runtime.InferenceSession;
  readonly #tensor: TensorClass;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(session: Runtime.InferenceSession, tensor: TensorClass) {
    this.#session = session;
    this.#tensor = tensor;
  }

  /**
   * Load it, and with it ONNX Runtime, which a page that captures in a worker does not need; nothing is fetched from elsewhere than
   * `files` says. Rejects with a TypeError where a file is not there.
   */
  static async load({ model, runtime }: DetectorFiles = {}): Promise<YuNet> {
    const ort = await import("onnxruntime-web/wasm");
    ort.env.wasm.numThreads = 1; // threads need a page that is isolated, and the net is small
    if (runtime !== undefined) ort.env.wasm.wasmPaths = runtime;
    const bytes = model instanceof Uint8Array ? model : await fetched(model ?? asset());
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 } as const;
    return new YuNet(await ort.InferenceSession.create(bytes, options), ort.Tensor);
  }

  /** One picture at a time, in the order of the calls. */
  run(picture: Picture): Promise<Face[]> {
    const next = this.#last.then(() => this.#run(picture));
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #run(picture: Picture): Promise<Face[]> {
    const { dims, data } = planes(picture);
    const input = new this.#tensor("float32", data, dims);
    const outputs = await this.#session.run({ input });
    return distinct(STRIDES.flatMap((stride) => decoded(outputs, stride, dims[3] / stride)));
  }
}

function asset(): URL {
  return new URL("../../assets/yunet.onnx", import.meta.url);
}

async function fetched(address: URL): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new TypeError(`the detector's file cannot be had: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Planes of blue, green and red, filled up with black at the right and below. */
function planes({ width, height, data }: Picture): {
  dims: readonly [number, number, number, number];
  data: Float32Array;
} {
  const [across, down] = [filledUp(width), filledUp(height)];
  const filled = new Float32Array(3 * across * down);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        filled[((2 - channel) * down + y) * across + x] = data[3 * (y * width + x) + channel] as number;
      }
    }
  }
  return { dims: [1, 3, down, across], data: filled };
}

function filledUp(side: number): number {
  return Math.ceil(side / UNIT) * UNIT;
}

/** What one grid of places has found: a score, a box and landmarks each, relative to the place. */
function decoded(outputs: Runtime.InferenceSession.OnnxValueMapType, stride: number, columns: number): Face[] {
  const of = (name: string): Float32Array => (outputs[`${name}_${stride}`] as Runtime.Tensor).data as Float32Array;
  const [classes, objects, boxes, points] = [of("cls"), of("obj"), of("bbox"), of("kps")];
  const faces: Face[] = [];
  classes.forEach((likeness, place) => {
    const score = Math.sqrt(unit(likeness) * unit(objects[place] as number));
    if (score < SCORE) return;
    const [column, row] = [place % columns, Math.floor(place / columns)];
    const [x, y, w, h] = boxes.subarray(4 * place, 4 * place + 4) as unknown as [number, number, number, number];
    const [width, height] = [Math.exp(w) * stride, Math.exp(h) * stride];
    const landmarks = Array.from({ length: LANDMARKS }, (_, k): Point => {
      const at = 2 * (LANDMARKS * place + k);
      return [((points[at] as number) + column) * stride, ((points[at + 1] as number) + row) * stride];
    });
    const box = [(column + x) * stride - width / 2, (row + y) * stride - height / 2, width, height] as const;
    faces.push({ box, landmarks, score, wander: 0 });
  });
  return faces;
}

function unit(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}

/** Each face once, the surest first: of two whose boxes, in whole pixels, share much of their union the surer. */
function distinct(faces: readonly Face[]): Face[] {
  const kept: Face[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score)) {
    if (kept.every((other) => shared(whole(face.box), whole(other.box)) <= SAME)) kept.push(face);
  }
  return kept;
}

function whole([x, y, width, height]: Face["box"]): Face["box"] {
  return [Math.trunc(x), Math.trunc(y), Math.trunc(width), Math.trunc(height)];
}

/** The part of the union of two boxes that is in both. */
export function shared([x, y, w, h]: Face["box"], [u, v, a, b]: Face["box"]): number {
  const common =
    Math.max(0, Math.min(x + w, u + a) - Math.max(x, u)) * Math.max(0, Math.min(y + h, v + b) - Math.max(y, v));
  return common / (w * h + a * b - common);
}
