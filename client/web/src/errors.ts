/**
 * All errors of the client, the same as in Python (visard.errors), each with its name in `name`.
 *
 *     VisardError
 *         CaptureError        the photo: nothing was sent
 *             NotAnImage, NoFace, DoubtfulFace, SeveralFaces, FaceTooSmall, PartialFace, TooDark, QualityError
 *         RequestError        the request: change it
 *             InvalidRequest (StaleKey), NotFound, AlreadyExists, PermissionDenied,
 *             FailedPrecondition (SubjectLocked)
 *         ServiceError        the service: try again, or ask its operator
 *             Unavailable (Unreachable), Undone (Deviated), Exhausted, DeadlineExceeded, InternalError
 *         TrustError          somebody between us and the parties, or one of them, does not keep to the rules
 *             UntrustedKey, SealError, InconsistentAnswer
 *
 * A call that its caller aborts ends with the signal's own reason, and not with one of these.
 */

/** Base of all errors of the client; its text is fit for a person. */
export class VisardError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The photo cannot be used; nothing was sent. */
export class CaptureError extends VisardError {}

/** The file is no image of a kind that is read, or a damaged or giant one. */
export class NotAnImage extends CaptureError {}

/** No face was found: use a photo that shows one from the front, in good light. */
export class NoFace extends CaptureError {}

/** What was found may be no person's face: an animal's, a drawing, or a face that cannot be seen well. */
export class DoubtfulFace extends CaptureError {}

/** More than one face was found and none was chosen. */
export class SeveralFaces extends CaptureError {}

/** The face has too few pixels to be told from others. */
export class FaceTooSmall extends CaptureError {}

/** A good part of the face lies outside the photo or is covered. */
export class PartialFace extends CaptureError {}

/** The face is too dark to be told from others. */
export class TooDark extends CaptureError {}

/** The photo shows a face, but not well enough to be enrolled or asked about; the text says what to change. */
export class QualityError extends CaptureError {}

/** The request cannot be served as it is. */
export class RequestError extends VisardError {}

/** A field is wrong; the text names it and says what is allowed. */
export class InvalidRequest extends RequestError {}

/** A party has another sealing key by now: keys are fetched anew and the request is sealed and sent again, once. */
export class StaleKey extends InvalidRequest {}

/** No such subject, reference, right or model. */
export class NotFound extends RequestError {}

/** This request, a subject or model of this name, or (with unique) this person, is there already. */
export class AlreadyExists extends RequestError {}

/** The certificate's role may not do this, or another caller has enrolled the subject. */
export class PermissionDenied extends RequestError {}

/** The parties are not in a state to do this; the text says why. */
export class FailedPrecondition extends RequestError {}

/** Too many verifications of the subject have failed in a row, in a gallery that locks: an administrator can unlock it. */
export class SubjectLocked extends FailedPrecondition {}

/** The service could not answer: the same request may succeed later. */
export class ServiceError extends VisardError {}

/** A service is down or lost its peers. */
export class Unavailable extends ServiceError {}

/** Nobody answers at the gateway's address, or there is no trust between its certificate and ours. */
export class Unreachable extends Unavailable {}

/** A write was undone after a failure: nothing is stored. Send it again as a new request. */
export class Undone extends ServiceError {}

/** A party did not keep to the protocol: nothing was decided, and nothing is stored. Its operators must look at their logs. */
export class Deviated extends Undone {}

/** A limit is reached; `retryAfter` says in how many seconds to try again. */
export class Exhausted extends ServiceError {
  readonly retryAfter: number;

  constructor(message: string, retryAfter = 1, options?: ErrorOptions) {
    super(message, options);
    this.retryAfter = retryAfter;
  }
}

/** No answer in the time allowed; a write may have been made all the same. */
export class DeadlineExceeded extends ServiceError {}

/** A defect of the service; its log has the details. */
export class InternalError extends ServiceError {}

/** An answer or a key does not verify. */
export class TrustError extends VisardError {}

/** A key that nobody vouches for whom we trust, or that is one of before. */
export class UntrustedKey extends TrustError {}

/** A sealed message does not open, and why is not said. */
export class SealError extends TrustError {
  constructor(options?: ErrorOptions) {
    super("a sealed message does not open", options);
  }
}

/** The parties' answers contradict each other. */
export class InconsistentAnswer extends TrustError {}

// bundlers shorten the names of classes, but not those of properties
const NAMED = {
  VisardError,
  CaptureError,
  NotAnImage,
  NoFace,
  DoubtfulFace,
  SeveralFaces,
  FaceTooSmall,
  PartialFace,
  TooDark,
  QualityError,
  RequestError,
  InvalidRequest,
  StaleKey,
  NotFound,
  AlreadyExists,
  PermissionDenied,
  FailedPrecondition,
  SubjectLocked,
  ServiceError,
  Unavailable,
  Unreachable,
  Undone,
  Deviated,
  Exhausted,
  DeadlineExceeded,
  InternalError,
  TrustError,
  UntrustedKey,
  SealError,
  InconsistentAnswer,
};
for (const [name, kind] of Object.entries(NAMED)) Object.defineProperty(kind, "name", { value: name });
