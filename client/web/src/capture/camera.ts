/** A camera in a page: opened, lit, shown as in a mirror, and closed. What is read from it is never mirrored (readVideo). */

/** Which camera, and how. */
export interface CameraOptions {
  /** "user" is the one above the screen, which is shown as in a mirror. */
  readonly facing?: "user" | "environment";
  /** Pixels that are wished for. */
  readonly width?: number;
  readonly height?: number;
  /** Once it is aborted nothing is opened any more, and what is being opened is closed. */
  readonly signal?: AbortSignal;
}

/** A camera that is open. Close it when it is not needed: its light tells people that they are seen. */
export class Camera {
  readonly #stream: MediaStream;
  readonly #video: HTMLVideoElement;

  private constructor(stream: MediaStream, video: HTMLVideoElement) {
    this.#stream = stream;
    this.#video = video;
  }

  /** Ask for the camera and show it; rejects with the browser's DOMException where there is none, or the person says no; nothing is on then. */
  static async open(video: HTMLVideoElement, options: CameraOptions = {}): Promise<Camera> {
    const { facing = "user", width = 1280, height = 720, signal } = options;
    const wished = { facingMode: facing, width: { ideal: width }, height: { ideal: height } };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wished, audio: false });
    const camera = new Camera(stream, video);
    const stop = (): void => camera.close(); // also while the video waits for its first picture
    signal?.addEventListener("abort", stop, { once: true });
    try {
      signal?.throwIfAborted();
      video.srcObject = stream;
      video.muted = true;
      video.playsInline = true; // or phones show it in a window of its own
      video.style.transform = facing === "user" ? "scaleX(-1)" : "";
      await video.play();
      signal?.throwIfAborted();
    } catch (error) {
      camera.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    return camera;
  }

  /** Whether it still shows something: it may be unplugged, or taken away. */
  get live(): boolean {
    return this.#stream.active;
  }

  /** Whether it has a lamp that can be switched. */
  get hasTorch(): boolean {
    const [track] = this.#stream.getVideoTracks();
    return Boolean(track && "torch" in track.getCapabilities());
  }

  /** Switch its lamp, where it has one; whether it has. */
  async torch(on: boolean): Promise<boolean> {
    const [track] = this.#stream.getVideoTracks();
    if (!track || !this.hasTorch) return false;
    await track.applyConstraints({ advanced: [{ torch: on } as MediaTrackConstraintSet] });
    return true;
  }

  /** Switch the camera off. */
  close(): void {
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#video.srcObject === this.#stream) this.#video.srcObject = null; // another camera's stays
  }
}
