/** A camera with its hints, or a file: where a view gets a face from. */

import { Camera } from "../src/capture/camera.ts";
import type { Chip } from "../src/capture/faces.ts";
import type { Framing } from "../src/capture/framing.ts";
import { type Gate, wrong } from "../src/capture/gates.ts";
import { readPhoto, readVideo } from "../src/capture/photos.ts";
import { quality } from "../src/capture/quality.ts";
import { QualityError } from "../src/errors.ts";
import { button, h, labelled } from "./dom.ts";
import type { Site } from "./site.ts";
import type { Key } from "./texts.ts";

const PAUSE_MS = 250; // between two looks
const STEADY = 2; // looks that say the same before it is said to people

/** What is seen at each look while the camera is on. */
export type Seen = (framing: Framing) => void;

/** What a view wants of it: whether a photo may be chosen instead, and what its switch is called. */
export interface FinderOptions {
  readonly file?: boolean;
  readonly switches?: readonly [on: Key, off: Key];
  readonly seen?: Seen;
  /** Told when the camera is switched off. */
  readonly closed?: () => void;
}

/** The camera of a view. Close it with the view. */
export class Finder {
  readonly root: HTMLElement;
  readonly #site: Site;
  readonly #gate: Gate;
  readonly #switches: readonly [on: Key, off: Key];
  readonly #seen: Seen;
  readonly #closed: () => void;
  readonly #video = h("video", { muted: true, playsinline: true });
  readonly #hint = h("p", { class: "hint", role: "status" });
  readonly #switch: HTMLElement;
  readonly #torch: HTMLElement;
  readonly #file = h("input", { type: "file", name: "photo", accept: "image/*" });
  #camera: Camera | undefined;
  #open: AbortController | undefined; // while the camera is on, or shall be
  #lit = false;

  /** `gate` judges what is seen. */
  constructor(site: Site, gate: Gate, options: FinderOptions = {}) {
    const { say } = site;
    const { file = true, switches = ["cameraOn", "cameraOff"], seen = nothing, closed = nothing } = options;
    [this.#site, this.#gate, this.#switches] = [site, gate, switches];
    [this.#seen, this.#closed] = [seen, closed];
    this.#video.setAttribute("aria-label", say("cameraPicture"));
    this.#switch = button(say(switches[0]), () => void (this.#open ? this.close() : this.open()));
    this.#torch = button(say("torch"), () => this.#light(), { hidden: "" });
    this.#file.addEventListener("change", () => this.#file.files?.length && this.close()); // a photo instead of the camera
    const chosen = labelled(say("file"), this.#file);
    const row = h("div", { class: "row" }, this.#switch, this.#torch);
    const parts = [h("h2", {}, say("camera")), this.#video, this.#hint, row, ...(file ? [chosen] : [])];
    this.root = h("section", { class: "finder" }, ...parts);
  }

  get on(): boolean {
    return this.#camera !== undefined;
  }

  /** Switch the camera on, and look through it until it is switched off; a photo that was chosen is let go. */
  async open(): Promise<void> {
    const { say } = this.#site;
    this.close();
    this.#file.value = "";
    this.#open = new AbortController();
    const { signal } = this.#open;
    this.#switch.textContent = say(this.#switches[1]); // a second click takes the first one back
    this.#hint.textContent = say("starting");
    try {
      const camera = await Camera.open(this.#video, { signal });
      this.#camera = camera;
      this.#torch.hidden = !camera.hasTorch;
      await this.#look(camera, signal);
    } catch {
      if (!signal.aborted) this.#lost();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open.abort();
    this.#camera?.close();
    [this.#open, this.#camera, this.#lit] = [undefined, undefined, false];
    this.#switch.textContent = this.#site.say(this.#switches[0]);
    this.#torch.hidden = true;
    this.#hint.textContent = "";
    this.#closed();
  }

  #lost(): void {
    this.close();
    this.#hint.textContent = this.#site.say("cameraNone");
  }

  #light(): void {
    this.#lit = !this.#lit;
    void this.#camera?.torch(this.#lit);
  }

  async #look(camera: Camera, signal: AbortSignal): Promise<void> {
    let [last, same] = ["", 0];
    while (!signal.aborted) {
      if (!camera.live) return this.#lost();
      const framing = await this.#framing();
      if (signal.aborted) return;
      if (framing) {
        const text = this.#site.say(framing.hints[0] ?? "good");
        [last, same] = [text, text === last ? same + 1 : 1];
        if (same === STEADY) this.#hint.textContent = text;
        this.#seen(framing);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** undefined before the camera shows anything, and where nothing looks for faces, which is said. */
  async #framing(): Promise<Framing | undefined> {
    if (!this.#video.videoWidth || document.hidden) return undefined;
    try {
      return await this.#site.capturer.framing(readVideo(this.#video), this.#gate);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      if (this.#open) this.#hint.textContent = this.#site.say("detectorNone", { what });
      return undefined;
    }
  }

  /** The face that the camera shows now, or that of the file; raises CaptureError, what is wrong with it in the page's language. */
  async chip(signal: AbortSignal): Promise<Chip> {
    const { say, capturer } = this.#site;
    const [file] = this.#file.files ?? [];
    if (!this.on && !file) throw new QualityError(say("needPhoto"));
    const picture = file && !this.on ? await readPhoto(file) : readVideo(this.#video);
    const chip = await capturer.capture(picture, { signal });
    const problems = wrong(quality(chip), this.#gate);
    if (problems.length) {
      const texts = new Set(problems.map(({ hint }) => say(hint)));
      throw new QualityError([...texts].join(" "));
    }
    return chip;
  }
}

function nothing(): void {}
