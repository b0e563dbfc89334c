/** A camera with its hints, or a file: where a view gets a face from. */

import { Camera } from "../src/capture/camera.ts";
import type { Chip } from "../src/capture/faces.ts";
import type { Hint } from "../src/capture/framing.ts";
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
export type Seen = (hints: readonly Hint[]) => void;

/** What a view wants of it: whether a photo may be chosen instead, and what its switch is called. */
export interface FinderOptions {
  readonly file?: boolean;
  readonly switches?: readonly [on: Key, off: Key];
  readonly seen?: Seen;
}

/** The camera of a view. Close it with the view. */
export class Finder {
  readonly root: HTMLElement;
  readonly #site: Site;
  readonly #gate: Gate;
  readonly #switches: readonly [on: Key, off: Key];
  readonly #seen: Seen;
  readonly #video = h("video", { muted: true, playsinline: true });
  readonly #hint = h("p", { class: "hint", role: "status" });
  readonly #switch: HTMLElement;
  readonly #torch: HTMLElement;
  readonly #file = h("input", { type: "file", name: "photo", accept: "image/*" });
  #camera: Camera | undefined;
  #looking = 0; // which series of looks is the present one
  #lit = false;

  /** `gate` judges what is seen. */
  constructor(site: Site, gate: Gate, options: FinderOptions = {}) {
    const { say } = site;
    const { file = true, switches = ["cameraOn", "cameraOff"], seen = (): void => undefined } = options;
    [this.#site, this.#gate, this.#switches, this.#seen] = [site, gate, switches, seen];
    this.#video.setAttribute("aria-label", say("cameraPicture"));
    this.#switch = button(say(switches[0]), () => void (this.on ? this.close() : this.open()));
    this.#torch = button(say("torch"), () => this.#light(), { hidden: "" });
    const chosen = labelled(say("file"), this.#file);
    const row = h("div", { class: "row" }, this.#switch, this.#torch);
    const parts = [h("h2", {}, say("camera")), this.#video, this.#hint, row, ...(file ? [chosen] : [])];
    this.root = h("section", { class: "finder" }, ...parts);
  }

  get on(): boolean {
    return this.#camera !== undefined;
  }

  /** Switch the camera on, and look through it until it is switched off. */
  async open(): Promise<void> {
    const { say } = this.#site;
    const series = ++this.#looking;
    this.#hint.textContent = say("starting");
    let camera: Camera;
    try {
      camera = await Camera.open(this.#video);
    } catch {
      this.#hint.textContent = say("cameraNone");
      return;
    }
    if (series !== this.#looking) return camera.close();
    this.#camera = camera;
    this.#seen(["no face"]); // nor anybody yet
    this.#switch.textContent = say(this.#switches[1]);
    this.#torch.hidden = !camera.hasTorch;
    await this.#look(series);
  }

  close(): void {
    this.#looking++;
    this.#camera?.close();
    this.#camera = undefined;
    this.#switch.textContent = this.#site.say(this.#switches[0]);
    this.#torch.hidden = true;
    this.#hint.textContent = "";
  }

  #light(): void {
    this.#lit = !this.#lit;
    void this.#camera?.torch(this.#lit);
  }

  async #look(series: number): Promise<void> {
    let [last, same] = ["", 0];
    while (series === this.#looking) {
      const hints = await this.#hints();
      if (series !== this.#looking) return;
      const text = hints && this.#site.say(hints[0] ?? "good");
      if (text) {
        [last, same] = [text, text === last ? same + 1 : 1];
        if (same === STEADY) this.#hint.textContent = text;
        this.#seen(hints);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** undefined before the camera shows anything. */
  async #hints(): Promise<readonly Hint[] | undefined> {
    if (!this.#video.videoWidth || document.hidden) return undefined;
    try {
      return (await this.#site.capturer.framing(readVideo(this.#video), this.#gate)).hints;
    } catch {
      return undefined; // the photo itself will say what is wrong
    }
  }

  /**
   * The face that the camera shows now, or that of the file; raises CaptureError, what is wrong with it in the page's language.
   */
  async chip(): Promise<Chip> {
    const { say, capturer } = this.#site;
    const [file] = this.#file.files ?? [];
    if (!this.on && !file) throw new QualityError(say("needPhoto"));
    const picture = file && !this.on ? await readPhoto(file) : readVideo(this.#video);
    const chip = await capturer.capture(picture);
    const problems = wrong(quality(chip), this.#gate);
    if (problems.length) {
      const texts = new Set(problems.map(({ hint }) => say(hint)));
      throw new QualityError([...texts].join(" "));
    }
    return chip;
  }
}
