/**
 * Capturing elsewhere: in a worker, so that a page stays as fast as it is. Photos and what was found go through a port, and nothing
 * else; what fails there fails here with the same error.
 */

import * as errors from "../errors.ts";
import { VisardError } from "../errors.ts";
import { type CaptureOptions, capture } from "./capture.ts";
import type { Detector } from "./detector.ts";
import type { Chip } from "./faces.ts";
import { type Framing, framing } from "./framing.ts";
import type { Gate } from "./gates.ts";
import type { Picture } from "./pictures.ts";

/** What makes chips of photos: here (`capture`), or in a worker. */
export interface Capturer {
  capture(photo: Picture, options?: CaptureOptions): Promise<Chip>;
}

/** One end of a channel: a worker's, a page's, or a MessagePort. */
export interface Port {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  /** A worker's: its program is not there, or has failed. */
  onerror?: ((event: ErrorEvent) => void) | null;
  onmessageerror?: ((event: MessageEvent) => void) | null;
}

type Question =
  | { id: number; kind: "capture"; photo: Picture; largest: boolean }
  | { id: number; kind: "framing"; photo: Picture; gate: Gate }
  | { id: number; kind: "abort" };
type Found = Omit<Chip, "photo"> | Framing;
type Answer = { id: number; found: Found } | { id: number; error: readonly [name: string, message: string] };

/** Answer what comes through a port, with a detector that may still be loading. */
export function serve(port: Port, detector: Promise<Detector>): void {
  const running = new Map<number, AbortController>();
  port.onmessage = async ({ data }: MessageEvent<Question>): Promise<void> => {
    const { id } = data;
    if (data.kind === "abort") return running.get(id)?.abort();
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const found = await answered(await detector, data, controller.signal);
      port.postMessage({ id, found } satisfies Answer);
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error("a defect");
      port.postMessage({ id, error: [name, message] } satisfies Answer);
    } finally {
      running.delete(id);
    }
  };
}

async function answered(
  detector: Detector,
  question: Exclude<Question, { kind: "abort" }>,
  signal: AbortSignal,
): Promise<Found> {
  if (question.kind === "framing") return framing(detector, question.photo, question.gate);
  const { pixels, face } = await capture(detector, question.photo, { largest: question.largest, signal });
  return { pixels, face }; // the photo is where it came from
}

/** Asks whoever serves at the other end of a port. */
export class RemoteCapturer implements Capturer {
  readonly #port: Port;
  readonly #waiting = new Map<number, { resolve: (found: Found) => void; reject: (error: unknown) => void }>();
  #last = 0;
  #failed: Error | undefined;

  constructor(port: Port) {
    this.#port = port;
    port.onerror = ({ message }): void => this.#fail(message || "its program cannot be loaded");
    port.onmessageerror = (): void => this.#fail("an answer cannot be read");
    port.onmessage = ({ data }: MessageEvent<Answer>): void => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("found" in data) waiting?.resolve(data.found);
      else waiting?.reject(revived(...data.error));
    };
  }

  /** A chip of the one face in a photo, or of the largest; raises CaptureError, and the signal's reason once it is aborted. */
  async capture(photo: Picture, { largest = false, signal }: CaptureOptions = {}): Promise<Chip> {
    const { pixels, face } = (await this.#asked({ kind: "capture", photo, largest }, signal)) as Chip;
    return { pixels, photo, face };
  }

  /** See `framing`. */
  async framing(frame: Picture, gate: Gate): Promise<Framing> {
    return (await this.#asked({ kind: "framing", photo: frame, gate })) as Framing;
  }

  /** Nobody waits for a worker that answers nothing any more. */
  #fail(what: string): void {
    this.#failed = new VisardError(`the worker that looks for faces: ${what}`);
    for (const { reject } of this.#waiting.values()) reject(this.#failed);
    this.#waiting.clear();
  }

  async #asked(question: object, signal?: AbortSignal): Promise<Found> {
    signal?.throwIfAborted();
    if (this.#failed) throw this.#failed;
    const id = ++this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<Found>();
    const abort = (): void => {
      this.#port.postMessage({ id, kind: "abort" });
      reject(signal?.reason);
    };
    this.#waiting.set(id, { resolve, reject });
    signal?.addEventListener("abort", abort, { once: true });
    this.#port.postMessage({ id, ...question });
    return await promise.finally(() => signal?.removeEventListener("abort", abort));
  }
}

/** An error as it was at the other end: its class is known by its name. */
function revived(name: string, message: string): Error {
  const kinds = errors as unknown as Record<string, new (message: string) => Error>;
  return Object.hasOwn(kinds, name) ? new (kinds[name] as new (message: string) => Error)(message) : new Error(message);
}
