/** What calls return. Sizes are bytes unless their name says otherwise, times milliseconds since 1970. */

/** What a request cost one party. */
export interface PartyCost {
  readonly party: number;
  readonly engineSeconds: number;
  readonly cpuSeconds: number;
  readonly queueSeconds: number;
  readonly rounds: number;
  readonly sentMb: number;
  readonly kitMb: number;
  readonly peakMemoryMb: number;
}

/** What a request cost: seconds as the client saw them, and each party's part. */
export interface Report {
  readonly seconds: number;
  readonly gatewaySeconds: number;
  readonly parties: readonly PartyCost[];
}

/**
 * The references that were stored, one a photo and in their order, by their ids.
 *
 * Of an enrolment that was to be reviewed: whether they wait, and whom of others the photos may show, those of the strictest points
 * first; `more`: too many to be named, or not known, as when the answer had to be asked for again.
 */
export interface Enrolment {
  readonly subject: string;
  readonly references: readonly string[];
  readonly waiting: boolean;
  readonly candidates: readonly Candidate[];
  readonly more: boolean;
  readonly report: Report;
}

/** Whether the photo shows the subject (verify), or the same person as the other photo (compare). */
export interface Verification {
  readonly match: boolean;
  /** Name of the point that decided. */
  readonly operatingPoint: string;
  readonly report: Report;
}

/** An enrolled reference that a photo is near enough to, and the strictest operating point at which it is. */
export interface Candidate {
  readonly subject: string;
  readonly referenceId: string;
  readonly operatingPoint: string;
}

/**
 * Who the photo may show. `candidates` are the references within the operating point, those of stricter points first. Where they
 * are of more than eight people `more` is set, and they are those of the loosest point that names all of its own, if any does.
 * `subject` is the one person whom the strictest candidates show; undefined of nobody or of several.
 */
export interface Identification {
  readonly subject: string | undefined;
  readonly candidates: readonly Candidate[];
  readonly more: boolean;
  readonly operatingPoint: string;
  readonly report: Report;
}

/** A named threshold of a model: a distance between descriptors on the unit sphere. */
export interface OperatingPoint {
  readonly name: string;
  readonly distance: number;
  /** How many strangers in one lie within; undefined where nobody has measured it. */
  readonly falseMatchRate: number | undefined;
}

/** What is public about a published model, as far as a caller with a camera needs it. */
export interface ModelInfo {
  readonly name: string;
  /** Channels, height, width. */
  readonly inputShape: readonly number[];
  /** Mersenne exponent of the field, 31 or 61. */
  readonly fieldBits: number;
  /** In order of name. */
  readonly points: readonly OperatingPoint[];
  /** How a face is cut for it: a name of CHIPS, or "" for any. */
  readonly chip: string;
}

/** An enrolled subject and how many references it has. */
export interface SubjectCount {
  readonly subject: string;
  readonly references: number;
}

/** What is kept about a reference, but for the shares; `expiresUnixMs` undefined is never. */
export interface StoredReference {
  readonly referenceId: string;
  readonly version: number;
  readonly createdUnixMs: number;
  readonly updatedUnixMs: number;
  readonly expiresUnixMs: number | undefined;
  readonly metadata: Uint8Array;
  /** As in "enroller/kiosk-7"; empty for whoever is neither that caller nor an administrator. */
  readonly enrolledBy: string;
}

/** A gallery as its caller may see it: patterns of callers who may do what, of others than administrators only their own. */
export interface Gallery {
  readonly name: string;
  /** Of all models; 0 for callers who may not enrol there. */
  readonly references: number;
  readonly enrol: readonly string[];
  readonly verify: readonly string[];
  readonly search: readonly string[];
}

/** How a party sees one of the two others. */
export interface PeerState {
  readonly party: number;
  readonly connected: boolean;
  readonly version: string;
  readonly modelsDiffer: boolean;
}

/** Kits of one plan that a party keeps ready. */
export interface KitStock {
  readonly plan: string;
  readonly available: number;
  readonly target: number;
  readonly kitBytes: number;
}

/** How the dealer has passed a party's audits since it started: one kit in `oneIn`; 0: none. */
export interface KitAudits {
  readonly oneIn: number;
  readonly passed: number;
  readonly failed: number;
  readonly unanswered: number;
}

/** How a party's worker is; `reason` is empty where it can search. */
export interface WorkerState {
  readonly reason: string;
  readonly version: string;
  readonly references: number;
}

/** How often a party lets somebody try at an operating point, within its `attemptsSeconds`; 0 is no limit. */
export interface Attempts {
  readonly model: string;
  readonly operatingPoint: string;
  readonly subject: number;
  readonly gallery: number;
  readonly search: number;
}

/** How a party is: what it sees, what it has in stock, what it keeps. `reason` says to an operator why it is not ready. */
export interface PartyStatus {
  readonly party: number;
  readonly ready: boolean;
  readonly reason: string;
  readonly version: string;
  readonly peers: readonly PeerState[];
  readonly stock: readonly KitStock[];
  readonly subjects: number;
  readonly references: number;
  readonly runsActive: number;
  readonly models: readonly ModelInfo[];
  readonly store: string;
  readonly audits: KitAudits;
  readonly attemptsSeconds: number;
  readonly attempts: readonly Attempts[];
  readonly workers: readonly WorkerState[];
}

/** How the services are: ready when all three parties are. */
export interface Status {
  readonly ready: boolean;
  readonly version: string;
  readonly parties: readonly PartyStatus[];
  readonly requestsAtATime: number;
}
