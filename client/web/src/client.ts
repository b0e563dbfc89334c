/** The client: photos in, answers out; in between only shares, each sealed to its party (visard.client). */

import {
  create,
  type DescMethodClientStreaming,
  type DescMethodUnary,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { concat } from "./bytes.ts";
import { type Answered, Caller, type Connection, type Send, type Shares } from "./calls.ts";
import { type CaptureOptions, capture, naming } from "./capture/capture.ts";
import { chipPixels, planes } from "./capture/chips.ts";
import type { Detector } from "./capture/detector.ts";
import type { Chip } from "./capture/faces.ts";
import { check, ENROLMENT, type Gate, probeGate } from "./capture/gates.ts";
import type { Picture } from "./capture/pictures.ts";
import type { Capturer } from "./capture/remote.ts";
import type { Outcomes } from "./combining.ts";
import { Deadline } from "./deadline.ts";
import { NO_SHARES, upload } from "./envelopes.ts";
import { InvalidRequest, NotFound } from "./errors.ts";
import { fieldOf } from "./fields.ts";
import {
  Operation,
  type Request,
  type RequestSchema,
  type SealedResult,
  type UploadSchema,
} from "./gen/visard/v1/common_pb.js";
import {
  type DeleteRequestSchema,
  type DeleteResponseSchema,
  FaceMatching,
  type RenameRequestSchema,
  type RenameResponseSchema,
  type Result,
  type ResultSchema,
  type ReviewRequestSchema,
  type ReviewResponseSchema,
} from "./gen/visard/v1/gateway_pb.js";
import * as looking from "./looking.ts";
import * as opening from "./opening.ts";
import { SeenInMemory } from "./partykeys.ts";
import * as received from "./received.ts";
import type {
  Enrolment,
  Gallery,
  Identification,
  ModelInfo,
  Report,
  Status,
  StoredReference,
  SubjectCount,
  Verification,
} from "./results.ts";

const DEFAULT_GALLERY = "default";
// what is asked about subjects, or of one who may be any of them: these are in a gallery
const IN_GALLERY: ReadonlySet<Operation> = new Set([
  Operation.ENROL,
  Operation.VERIFY,
  Operation.IDENTIFY,
  Operation.DELETE,
  Operation.REVIEW,
  Operation.RENAME,
]);

/** What a call can be given: a picture, whose face is found, or a chip that was captured before. */
export type Photo = Picture | Chip;

/** Where a call is: photos are captured and judged, shares sealed, the request sent and answered, the answer opened. */
export type Stage = "capture" | "seal" | "send" | "open";

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, which rejects with the signal's reason. A write that was sent may have been made all the same. */
  readonly signal?: AbortSignal;
  /** Told when a stage begins, `seal` and `send` each time that a request is made again. */
  readonly onStage?: (stage: Stage) => void;
}

/** What calls with photos take. */
export interface PhotoOptions extends CallOptions {
  /** Take the largest of several faces; without it they are an error (SeveralFaces). */
  readonly largest?: boolean;
  /** Take photos that are not good enough to be compared (QualityError). */
  readonly force?: boolean;
}

/** What calls that compare take. */
export interface ProbeOptions extends PhotoOptions {
  /** Name of the threshold; by default the client's, or else the model's. */
  readonly operatingPoint?: string;
}

/** What an enrolment takes. */
export interface EnrolOptions extends PhotoOptions {
  /** Erase the subject's earlier references in the same step. */
  readonly replace?: boolean;
  /** Refuse somebody who is enrolled under another name (AlreadyExists). */
  readonly unique?: boolean;
  /**
   * The references wait, and the answer names others whom the photos may show; where there are none they are accepted at once, else
   * somebody decides (`Client.review`).
   */
  readonly review?: boolean;
  /** Erase the references after so many seconds; 0 is never. */
  readonly ttlSeconds?: number;
  /** At most 4096 bytes, kept as they are, readable by gateway and parties. */
  readonly metadata?: Uint8Array;
}

/** What a list takes. */
export interface LookOptions extends CallOptions {
  /** Those that wait for a review, instead of those that count. */
  readonly waiting?: boolean;
}

/** What a search takes. */
export interface IdentifyOptions extends ProbeOptions {
  /** Search at the strictest point also where no point carries the gallery. */
  readonly allowLargeGallery?: boolean;
  /** Not who is near enough, but the nearest one, if that is: a tournament, for small galleries. */
  readonly nearest?: boolean;
}

/** What a client is made with. `seen` and `retry` have defaults. */
export interface ClientOptions extends Omit<Connection, "seen" | "retry">, Partial<Pick<Connection, "seen" | "retry">> {
  /** Makes chips of photos, in a worker; without it and a detector calls take chips alone. */
  readonly capturer?: Capturer;
  /** Finds faces here. */
  readonly detector?: Detector;
  readonly model?: string;
  readonly gallery?: string;
  /** Seconds that a call may take in all, however often it is made again. */
  readonly deadline?: number;
  /** That of every call that compares and names none itself. */
  readonly operatingPoint?: string;
}

type Asked = MessageInitShape<typeof RequestSchema> & { operation: Operation };
type Uploaded = DescMethodClientStreaming<typeof UploadSchema, typeof ResultSchema>;
/** The changes are alike, to the names of their messages. */
type GenericChange = DescMethodUnary<typeof DeleteRequestSchema, typeof DeleteResponseSchema>;
type GenericInput = typeof DeleteRequestSchema;
type Changed =
  | GenericChange
  | DescMethodUnary<typeof RenameRequestSchema, typeof RenameResponseSchema>
  | DescMethodUnary<typeof ReviewRequestSchema, typeof ReviewResponseSchema>;

/** A client of one gateway, for one model and gallery. Calls may run at the same time. Errors are those of errors.ts. */
export class Client {
  readonly #options: ClientOptions & { model: string; deadline: number };
  readonly #caller: Caller;
  readonly #gallery: string;
  #info: ModelInfo | undefined;

  constructor(options: ClientOptions) {
    this.#options = { model: "face", deadline: 60, ...options };
    this.#caller = new Caller({ seen: new SeenInMemory(), retry: true, ...options });
    this.#gallery = options.gallery === DEFAULT_GALLERY ? "" : (options.gallery ?? "");
  }

  /** Store one reference a photo under a subject: at all three parties or at none. */
  async enrol(subject: string, photos: readonly Photo[], options: EnrolOptions = {}): Promise<Enrolment> {
    const { replace = false, unique = false, review = false, ttlSeconds = 0, metadata = new Uint8Array(0) } = options;
    const fields = { operation: Operation.ENROL, subject, replace, unique, review, ttlSeconds, metadata };
    const [outcomes, report] = await this.#ask(FaceMatching.method.enrol, fields, photos, options);
    const references = opening.referenceIds(outcomes);
    if (!review) return { subject, references, report, waiting: false, candidates: [], more: false };
    const { found, more } = opening.others(outcomes, photos.length);
    const waiting = found.length > 0 || more;
    const { signal } = options;
    if (!waiting) await this.review(subject, true, { referenceIds: [...references], ...(signal && { signal }) });
    return { subject, references, report, waiting, candidates: found, more };
  }

  /**
   * Accept references that wait, or erase them; all of a subject's, or those named; how many. Raises NotFound. For whoever enrolled
   * them, and administrators.
   */
  review(
    subject: string,
    accept: boolean,
    { referenceIds = [], ...options }: CallOptions & { referenceIds?: string[] } = {},
  ): Promise<number> {
    const fields = { operation: Operation.REVIEW, subject, referenceIds, accept };
    return this.#change(FaceMatching.method.review, fields, options);
  }

  /** Whether a photo shows an enrolled subject; raises NotFound for one who is not enrolled. */
  async verify(subject: string, photo: Photo, options: ProbeOptions = {}): Promise<Verification> {
    const fields = { operation: Operation.VERIFY, subject, operatingPoint: this.#at(options) };
    return verification(await this.#ask(FaceMatching.method.verify, fields, [photo], options));
  }

  /** Whether two photos show the same person; nothing is stored, and they are taken as they are. */
  async compare(photo: Photo, other: Photo, options: ProbeOptions = {}): Promise<Verification> {
    const fields = { operation: Operation.COMPARE, operatingPoint: this.#at(options) };
    return verification(await this.#ask(FaceMatching.method.compare, fields, [photo, other], options));
  }

  /** Which enrolled subject a photo shows, if any. */
  async identify(photo: Photo, options: IdentifyOptions = {}): Promise<Identification> {
    if (!options.nearest) return (await this.identifyEach([photo], options))[0] as Identification;
    const [outcomes, report] = await this.#search([photo], options, true);
    const subject = await opening.matchedSubject(outcomes);
    return { subject, candidates: [], more: false, operatingPoint: opening.operatingPoint(outcomes), report };
  }

  /** Search for each of 1 to 16 photos in one request, which all succeed or none. */
  async identifyEach(
    photos: readonly Photo[],
    options: Omit<IdentifyOptions, "nearest"> = {},
  ): Promise<Identification[]> {
    const [outcomes, report] = await this.#search(photos, options, false);
    const operatingPoint = opening.operatingPoint(outcomes);
    return opening.candidates(outcomes, photos.length).map(({ found, more }) => {
      return { subject: opening.onlySubject(found), candidates: found, more, operatingPoint, report };
    });
  }

  #search(photos: readonly Photo[], options: IdentifyOptions, nearest: boolean): Promise<[Outcomes, Report]> {
    const { allowLargeGallery = false } = options;
    const fields = { operation: Operation.IDENTIFY, operatingPoint: this.#at(options), allowLargeGallery, nearest };
    return this.#ask(FaceMatching.method.identify, fields, photos, options);
  }

  /** Forget a subject with all its references, or with `referenceIds` only those; how many. Raises NotFound. */
  delete(
    subject: string,
    { referenceIds = [], ...options }: CallOptions & { referenceIds?: string[] } = {},
  ): Promise<number> {
    return this.#change(FaceMatching.method.delete, { operation: Operation.DELETE, subject, referenceIds }, options);
  }

  /** Give a subject another name, which must be free; how many references moved. */
  rename(subject: string, newSubject: string, options: CallOptions = {}): Promise<number> {
    return this.#change(FaceMatching.method.rename, { operation: Operation.RENAME, subject, newSubject }, options);
  }

  /** Everybody who is enrolled with the client's model in its gallery, in order of name; or who waits for a review. */
  subjects({ signal, waiting = false }: LookOptions = {}): Promise<SubjectCount[]> {
    return this.#look(signal, (caller, deadline) => looking.subjects(caller, deadline, this.#place, waiting));
  }

  /** What is kept about a subject, or waits for a review; raises NotFound. Nothing is kept that shows a face. */
  references(subject: string, { signal, waiting = false }: LookOptions = {}): Promise<StoredReference[]> {
    const place = { ...this.#place, subject };
    return this.#look(signal, (caller, deadline) => looking.references(caller, deadline, place, waiting));
  }

  /** The galleries in which the client may do something, in order of name; administrators see all. */
  galleries({ signal }: CallOptions = {}): Promise<Gallery[]> {
    return this.#look(signal, looking.galleries);
  }

  /** The models that all three parties have. */
  models({ signal }: CallOptions = {}): Promise<ModelInfo[]> {
    return this.#look(signal, looking.models);
  }

  /** How the services are, as the gateway and the three parties tell it. */
  status({ signal }: CallOptions = {}): Promise<Status> {
    return this.#look(signal, looking.status);
  }

  #look<T>(signal: AbortSignal | undefined, look: (caller: Caller, deadline: Deadline) => Promise<T>): Promise<T> {
    return Deadline.within(this.#options.deadline, signal, (deadline) => look(this.#caller, deadline));
  }

  get #place(): looking.Place {
    return { model: this.#options.model, gallery: this.#gallery };
  }

  /** What is known about the client's model, asked for once; raises NotFound. */
  model({ signal }: CallOptions = {}): Promise<ModelInfo> {
    return Deadline.within(this.#options.deadline, signal, (deadline) => this.#modelInfo(deadline));
  }

  async #modelInfo(deadline: Deadline): Promise<ModelInfo> {
    const { model } = this.#options;
    this.#info ??= (await looking.models(this.#caller, deadline)).find((one) => one.name === model);
    if (!this.#info) throw new NotFound(`model '${model}' is not published: see visard model publish`);
    return this.#info;
  }

  /** Capture, judge, share, seal, send, open; a write keeps its id when it is sent again. */
  #ask(method: Uploaded, fields: Asked, photos: readonly Photo[], options: PhotoOptions): Promise<[Outcomes, Report]> {
    const started = performance.now();
    return Deadline.within(this.#options.deadline, options.signal, async (deadline) => {
      const [result, sealed] = await this.#exchange(method, fields, photos, options, deadline);
      options.onStage?.("open");
      const outcomes = await opening.openAll(result.results, sealed.context, sealed.replyKeys);
      return [outcomes, received.report((performance.now() - started) / 1000, result)];
    });
  }

  async #exchange(
    method: Uploaded,
    fields: Asked,
    photos: readonly Photo[],
    { onStage, largest, force = false }: PhotoOptions,
    deadline: Deadline,
  ): Promise<Answered<Result>> {
    onStage?.("capture");
    const chips = await this.#captured(photos, { largest, signal: deadline.signal });
    const info = await this.#modelInfo(deadline);
    if (!force) goodEnough(chips, gateFor(fields, info));
    const images = concat(...chips.map((chip) => planes(chipPixels(chip, info.chip), info.inputShape)));
    const request = (): Request => this.#request({ ...fields, images: chips.length });
    const shares: Shares = () => {
      onStage?.("seal");
      return fieldOf(info.fieldBits).share(images);
    };
    const send: Send<Result> = (sealed, limits) => {
      onStage?.("send");
      return this.#caller.transport.upload(method, upload(sealed), limits);
    };
    if (fields.operation === Operation.ENROL) return this.#caller.write(request(), shares, send, deadline);
    return this.#caller.read(request, shares, send, deadline);
  }

  /** A write without a share; how many references it names, as all three parties say. */
  #change(method: Changed, fields: Asked, { signal, onStage }: CallOptions): Promise<number> {
    return Deadline.within(this.#options.deadline, signal, async (deadline) => {
      const shares: Shares = () => {
        onStage?.("seal");
        return NO_SHARES;
      };
      const send: Send<{ results: SealedResult[] }> = ({ request, envelopes }, limits) => {
        onStage?.("send");
        const message = create(method.input as GenericInput, { request, envelopes: [...envelopes] });
        return this.#caller.transport.unary(method as GenericChange, message, limits);
      };
      const [answer, sealed] = await this.#caller.write(this.#request(fields), shares, send, deadline);
      onStage?.("open");
      return opening.changed(await opening.openAll(answer.results, sealed.context, sealed.replyKeys));
    });
  }

  #request(fields: Asked): Request {
    const gallery = IN_GALLERY.has(fields.operation) ? this.#gallery : "";
    return this.#caller.request({ model: this.#options.model, gallery, ...fields });
  }

  /** A chip of each photo; of several, the error says which one is at fault. */
  async #captured(photos: readonly Photo[], options: CaptureOptions): Promise<Chip[]> {
    if (!Array.isArray(photos) || !photos.length) throw new InvalidRequest("photos: a list of at least one");
    const chips: Chip[] = [];
    for (const [k, photo] of photos.entries()) {
      chips.push(await naming(k, photos.length, () => this.#chipOf(photo, options)));
    }
    return chips;
  }

  #chipOf(photo: Photo, options: CaptureOptions): Promise<Chip> {
    const { capturer, detector } = this.#options;
    if ("face" in photo) return Promise.resolve(photo);
    if (capturer) return capturer.capture(photo, options);
    if (!detector) throw new InvalidRequest("detector: a client without one, or a capturer, takes chips alone");
    return capture(detector, photo, options);
  }

  #at({ operatingPoint }: ProbeOptions): string {
    return operatingPoint || (this.#options.operatingPoint ?? "");
  }
}

/** What photos have to pass; undefined for a comparison. A search that names no point is judged as at the default. */
function gateFor({ operation, operatingPoint }: Asked, { points }: ModelInfo): Gate | undefined {
  if (operation === Operation.ENROL) return ENROLMENT;
  if (operation !== Operation.VERIFY && operation !== Operation.IDENTIFY) return undefined;
  const named = operatingPoint || "default";
  return probeGate(points.find((point) => point.name === named)?.falseMatchRate);
}

/** Raises QualityError, which of several photos names the one at fault. */
function goodEnough(chips: readonly Chip[], gate: Gate | undefined): void {
  if (!gate) return;
  for (const [k, chip] of chips.entries()) naming(k, chips.length, () => check(chip, gate));
}

function verification([outcomes, report]: [Outcomes, Report]): Verification {
  return { match: opening.matchBit(outcomes), operatingPoint: opening.operatingPoint(outcomes), report };
}
