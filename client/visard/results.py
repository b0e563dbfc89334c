"""What calls return. Sizes are bytes unless their name says otherwise, times milliseconds since 1970, digests SHA-256.

Parties are given by number, 0 to 2, and where there is one a party they stand in this order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from visard_wire.limits import DEFAULT_GALLERY

DEFAULT_POINT = "default"  # the operating point that every model has which matches


@dataclass(frozen=True)
class PartyCost:
    """What a request cost one party."""

    party: int
    engine_seconds: float
    cpu_seconds: float
    queue_seconds: float
    rounds: int
    sent_mb: float
    kit_mb: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Report:
    """What a request cost: seconds as the client saw them, and each party's part."""

    seconds: float
    gateway_seconds: float
    parties: tuple[PartyCost, ...]

    @property
    def rounds(self) -> int:
        """Rounds of communication between the parties."""
        return max(party.rounds for party in self.parties)

    @property
    def sent_mb_per_party(self) -> float:
        """Megabytes that the busiest party sent to the others."""
        return max(party.sent_mb for party in self.parties)

    @property
    def kit_mb(self) -> float:
        """Megabytes of correlated randomness used by each party."""
        return max(party.kit_mb for party in self.parties)


@dataclass(frozen=True)
class Enrolment:
    """The references that were stored, one a photo and in their order, by their ids.

    Of an enrolment that was to be reviewed: whether they wait, and whom of others the photos may show, those of the strictest
    points first; ``more``: too many to be named, or not known, as when the answer had to be asked for again.
    """

    subject: str
    references: tuple[str, ...]
    report: Report
    waiting: bool = False
    candidates: tuple["Candidate", ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Verification:
    """Whether the photo shows the subject (verify), or the same person as the other photo (compare).

    ``operating_point`` names the one that decided.
    """

    match: bool
    report: Report
    operating_point: str = ""


@dataclass(frozen=True)
class Candidate:
    """An enrolled reference that a photo is near enough to, and the strictest operating point at which it is.

    ``model`` names that which it is enrolled with, where several were asked.
    """

    subject: str
    reference_id: str
    operating_point: str
    model: str = ""


@dataclass(frozen=True)
class Identification:
    """Who the photo may show; ``operating_point`` names the one that decided.

    ``candidates`` are the references within that point, those of stricter points first. Where they are of more than eight people
    (or, for one answer in some forty thousand, of fewer) ``more`` is set, and they are those of the loosest point that names
    all of its own, if any does. ``subject`` is the one person whom the strictest candidates show; None of nobody or of several.
    """

    subject: str | None
    report: Report
    operating_point: str = ""
    candidates: tuple[Candidate, ...] = ()
    more: bool = False

    @property
    def known(self) -> bool:
        """Whether the photo shows anybody who is enrolled, be it one or several."""
        return bool(self.subject is not None or self.candidates or self.more)


@dataclass(frozen=True)
class Output:
    """What a model made of an image: real numbers, exact to 2^-scale, in the shape of its output."""

    values: npt.NDArray[np.float64]
    scale: int
    report: Report


@dataclass(frozen=True)
class SubjectCount:
    """An enrolled subject and how many references it has."""

    subject: str
    references: int


@dataclass(frozen=True)
class StoredReference:
    """What is kept about a reference, but for the shares. Times in milliseconds since 1970; ``expires`` None is never.

    ``enrolled_by`` is the caller, as in "enroller/kiosk-7"; empty for whoever is neither that caller nor an administrator.
    """

    reference_id: str
    version: int
    created_unix_ms: int
    updated_unix_ms: int
    expires_unix_ms: int | None
    metadata: bytes
    enrolled_by: str = ""


@dataclass(frozen=True)
class OperatingPoint:
    """A named threshold of a model: the Euclidean distance between descriptors on the unit sphere up to which two photos match.

    ``false_match_rate`` is how many strangers in one lie within, as the model's owner has measured it; None where nobody has.
    """

    name: str
    distance: float
    false_match_rate: float | None

    @property
    def cosine(self) -> float:
        """The same as a cosine, from which on two photos match."""
        return 1 - self.distance**2 / 2


@dataclass(frozen=True)
class LayerCost:
    """What one layer of a model costs a party in a run: see ModelCost. ``kind`` names its operation."""

    kind: str
    shape: tuple[int, ...]
    multiply_adds: int
    nonlinear: int
    rounds: int
    sent_bytes: int


@dataclass(frozen=True)
class ModelCost:
    """What a run on one image costs a party: exact but for the seconds, which are an estimate.

    ``nonlinear`` counts elements compared or truncated, ``sent_bytes`` goes to the two other parties. ``expected_seconds``
    comes from rates measured once, on one core a party and without delay between the parties. ``layers`` is empty where
    nobody has asked for it.
    """

    multiply_adds: int
    nonlinear: int
    rounds: int
    sent_bytes: int
    kit_bytes: int
    expected_seconds: float
    weights: int
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What is public about a published model: all but its weights.

    ``input_shape`` is that of one input (channels, height, width), ``field_bits`` the Mersenne exponent of its field, 31 or 61.
    With ``opens_output`` whoever runs it sees its output; without, its descriptors are compared on shares and never opened, at
    its ``points``, in order of name. These may be replaced later: ``program_digest`` changes with them, ``published_unix_ms``
    stays. ``chip`` says how a face is cut for it: a name of visard.capture.CHIPS, or "" for any.
    """

    name: str
    program_digest: bytes
    input_shape: tuple[int, ...]
    field_bits: int
    descriptor_size: int
    opens_output: bool
    output_shape: tuple[int, ...]
    cost: ModelCost
    points: tuple[OperatingPoint, ...]
    chip: str
    published_unix_ms: int


@dataclass(frozen=True)
class PeerState:
    """How a party sees one of the two others.

    ``version`` is what the peer said when the link came up, empty before. ``models_differ``: the peer has published other
    models than this party, or other programs under the same names.
    """

    party: int
    connected: bool
    version: str
    models_differ: bool


@dataclass(frozen=True)
class KitStock:
    """Kits of one plan that a party keeps ready; ``plan`` names it, by the digest of its JSON, in hex."""

    plan: str
    available: int
    target: int
    kit_bytes: int


@dataclass(frozen=True)
class KitAudits:
    """How the dealer has passed a party's audits since it started: one kit in ``one_in`` is dealt again and compared; 0: none.

    ``unanswered`` are attempts at which the dealer did not show the seeds.
    """

    one_in: int
    passed: int
    failed: int
    unanswered: int


@dataclass(frozen=True)
class WorkerState:
    """How a party's worker is, as the party has heard last; ``reason`` says why it cannot search, and is empty where it can.

    ``references`` are what it holds in memory: of a gallery that nobody has searched yet, none.
    """

    reason: str
    version: str
    references: int


@dataclass(frozen=True)
class Attempts:
    """How often a party lets somebody try at an operating point before it refuses, within its ``attempts_seconds``.

    ``subject`` are verifications of a subject with one reference, ``search`` searches of one caller, ``gallery`` searches of
    all callers; 0 is no limit.
    """

    model: str
    operating_point: str
    subject: int
    gallery: int
    search: int


@dataclass(frozen=True)
class PartyStatus:
    """How a party is: what it sees, what it has in stock, what it keeps.

    ``reason`` says to an operator why it is not ready. ``subjects`` and ``references`` are what the store holds, also what has
    expired and is not yet erased; ``store`` says what kind of store it is. ``workers``, in order, are none where the party
    searches by itself.
    """

    party: int
    ready: bool
    reason: str
    version: str
    peers: tuple[PeerState, ...]
    stock: tuple[KitStock, ...]
    subjects: int
    references: int
    runs_active: int
    models: tuple[ModelInfo, ...]
    store: str
    audits: KitAudits
    attempts_seconds: float
    attempts: tuple[Attempts, ...]
    workers: tuple[WorkerState, ...]


@dataclass(frozen=True)
class Status:
    """How the services are: ready when all three parties are. ``requests_at_a_time`` the gateway takes of one caller."""

    ready: bool
    version: str
    parties: tuple[PartyStatus, ...]
    requests_at_a_time: int


@dataclass(frozen=True)
class Right:
    """That a caller may change a subject that others have enrolled; an empty subject stands for every one of the model there."""

    model: str
    subject: str
    grantee: str
    gallery: str = DEFAULT_GALLERY


@dataclass(frozen=True)
class Gallery:
    """A gallery as its caller may see it: patterns of callers who may do what, of others than administrators only their own.

    ``references`` counts those of all models; 0 for callers who may not enrol there. So many failed verifications in a row lock a
    subject there, or none where ``lock_after`` is 0.
    """

    name: str
    references: int
    enrol: tuple[str, ...]
    verify: tuple[str, ...]
    search: tuple[str, ...]
    lock_after: int = 0


@dataclass(frozen=True)
class Held:
    """The public name of a reference that a party holds; or a right, whose version is 0 and whose id is a hash of its fields.

    ``enrolled_by`` is who enrolled the reference, or whose right it is.
    """

    reference_id: str
    subject: str
    model: str
    version: int
    enrolled_by: str
    gallery: str


@dataclass(frozen=True)
class Holdings:
    """What one party says that it holds below a prefix of the ids: how much, a hash of it, and ``rows`` where they are few.

    ``set_hash`` is equal for equal sets, whatever their order.
    """

    prefix: str
    count: int
    set_hash: bytes
    rows: tuple[Held, ...]


@dataclass(frozen=True)
class Difference:
    """A reference or a right that not all parties hold alike: each party's view of it, or None.

    A view is subject, model, version, who enrolled it, and its gallery; a right has version 0, and whose it is in place of who
    enrolled. A right without a model is a gallery's rule.
    """

    reference_id: str
    parties: tuple[tuple[str, str, int, str, str] | None, ...]


@dataclass(frozen=True)
class Audit:
    """What was found: how many references and rights each party holds, what differs, and in how many steps that was found."""

    counts: tuple[int, ...]
    differences: tuple[Difference, ...]
    steps: int

    @property
    def clean(self) -> bool:
        """Whether all parties hold the same."""
        return not self.differences
