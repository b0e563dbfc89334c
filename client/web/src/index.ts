/** visard for browsers: faces are found, shared and sealed here, and answers opened; nobody else sees either. */

export type { Connection } from "./calls.ts";
export { Camera, type CameraOptions } from "./capture/camera.ts";
export { type CaptureOptions, capture } from "./capture/capture.ts";
export { CHIPS, type Cut } from "./capture/chips.ts";
export { type Detector, type DetectorFiles, YuNet } from "./capture/detector.ts";
export type { Chip, Face } from "./capture/faces.ts";
export { type Framing, framing, type Hint } from "./capture/framing.ts";
export { check, ENROLMENT, type Gate, PROBE, type Problem, probeGate, wrong } from "./capture/gates.ts";
export type { Point, Points } from "./capture/geometry.ts";
export { readPhoto, readVideo } from "./capture/photos.ts";
export { fromImageData, type Picture } from "./capture/pictures.ts";
export { type Quality, quality } from "./capture/quality.ts";
export { type Capturer, RemoteCapturer } from "./capture/remote.ts";
export {
  type CallOptions,
  Client,
  type ClientOptions,
  type EnrolOptions,
  type IdentifyOptions,
  type LookOptions,
  type Photo,
  type PhotoOptions,
  type ProbeOptions,
  type Stage,
} from "./client.ts";
export { type ConnectOptions, ConnectTransport } from "./connect.ts";
export * from "./errors.ts";
export { BrowserKey, invitationIn, type KeyOptions } from "./keys.ts";
export { SeenInMemory, type SerialStore } from "./partykeys.ts";
export type * from "./results.ts";
export { type RequestSigner, Signer } from "./statements.ts";
export type { Transport } from "./transport.ts";
export { Database, type Kept, SeenInDatabase, type Vault } from "./vault.ts";
export { Trust } from "./vouching.ts";
