"""What calls return, and how the parties' sealed answers become that."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from visard_wire.digests import of_row_table
from visard_wire.sealing import Context, open_result
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, gateway_pb2

from visard.errors import InconsistentAnswer
from visard.sharing import combine, combine_bits, word_type

MAX_SCALE = 60

T = TypeVar("T")


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
    """The references that were stored."""

    subject: str
    references: tuple[str, ...]
    report: Report


@dataclass(frozen=True)
class Verification:
    """Whether the photo shows the subject (verify), or the same person as the other photo (compare)."""

    match: bool
    report: Report


@dataclass(frozen=True)
class Identification:
    """Who the photo shows, or None."""

    subject: str | None
    report: Report


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
class Right:
    """That a caller may change a subject that others have enrolled; an empty subject stands for every one of the model."""

    model: str
    subject: str
    grantee: str


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


def stored_reference(info: gateway_pb2.ReferenceInfo) -> StoredReference:
    """From the wire."""
    times = (info.created_unix_ms, info.updated_unix_ms, info.expires_unix_ms or None)
    return StoredReference(info.reference_id, info.version, *times, info.metadata, info.enrolled_by)


def open_all(
    sealed: Sequence[common_pb2.SealedResult], context: Context, keys: Sequence[Secret]
) -> list[common_pb2.Outcome]:
    """Open the three sealed answers, in party order; raises SealError and InconsistentAnswer."""
    if [one.party for one in sealed] != [0, 1, 2]:
        raise InconsistentAnswer("the answers of three parties are needed, in order")
    return [open_result(key, context, i, one) for i, (key, one) in enumerate(zip(keys, sealed, strict=True))]


def changed(outcomes: Sequence[common_pb2.Outcome]) -> int:
    """How many references a write names, as all three parties say; raises InconsistentAnswer."""
    return _agreed([outcome.references_changed for outcome in outcomes], "the parties changed different references")


def check_published(outcomes: Sequence[common_pb2.Outcome], program_digest: bytes) -> None:
    """Raise InconsistentAnswer unless all three parties have stored this program."""
    if (
        _agreed([outcome.program_digest for outcome in outcomes], "the parties stored different programs")
        != program_digest
    ):
        raise InconsistentAnswer("the parties stored another program than was published")


def _agreed(answers: Sequence[T], otherwise: str) -> T:
    if any(answer != answers[0] for answer in answers):
        raise InconsistentAnswer(otherwise)
    return answers[0]


def reference_ids(outcomes: Sequence[common_pb2.Outcome]) -> tuple[str, ...]:
    """The stored references; raises InconsistentAnswer."""
    return _agreed([tuple(outcome.reference_ids) for outcome in outcomes], "the parties stored different references")


def match_bit(outcomes: Sequence[common_pb2.Outcome]) -> bool:
    """The one bit of a verification; raises InconsistentAnswer."""
    bits = combine_bits(outcomes)
    if len(bits) != 1:
        raise InconsistentAnswer("one bit is the answer to this question")
    return bool(bits[0])


def matched_subject(outcomes: Sequence[common_pb2.Outcome]) -> str | None:
    """The subject of an identification; raises InconsistentAnswer."""
    bits = combine_bits(outcomes)
    table = list(outcomes[0].row_subjects)
    if any(outcome.row_digest != of_row_table(table) for outcome in outcomes):
        raise InconsistentAnswer("the parties searched different galleries")
    row = int(sum(1 << k for k in np.flatnonzero(bits[1:])))
    if not len(bits) or row >= len(table):
        raise InconsistentAnswer("the answer names no row")
    return table[row] if bits[0] else None


def output(outcomes: Sequence[common_pb2.Outcome], q: int) -> tuple[npt.NDArray[np.float64], int]:
    """The output of a run, and its fractional bits; raises InconsistentAnswer."""
    first = outcomes[0]
    shape, kind = tuple(first.output_shape), word_type(q)
    if any((tuple(o.output_shape), o.output_scale) != (shape, first.output_scale) for o in outcomes):
        raise InconsistentAnswer("the parties' outputs have different shapes")
    if any(len(o.output_share) != prod(shape) * kind.itemsize for o in outcomes) or first.output_scale > MAX_SCALE:
        raise InconsistentAnswer("the parties' outputs do not fit their shape")
    shares = [np.frombuffer(outcome.output_share, kind) for outcome in outcomes]
    return combine(shares, q).reshape(shape) / 2.0**first.output_scale, first.output_scale


def report(seconds: float, result: gateway_pb2.Result) -> Report:
    """The costs in a result."""
    costs = tuple(
        PartyCost(
            party=r.party,
            engine_seconds=r.engine_seconds,
            cpu_seconds=r.cpu_seconds,
            queue_seconds=r.queue_seconds,
            rounds=r.rounds,
            sent_mb=r.sent_bytes / 1e6,
            kit_mb=r.kit_bytes / 1e6,
            peak_memory_mb=r.peak_rss_bytes / 1e6,
        )
        for r in result.reports
    )
    return Report(seconds, result.gateway_seconds, costs)
