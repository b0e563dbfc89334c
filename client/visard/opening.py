"""How the parties' sealed answers become one: opened, compared, put together. Whatever does not fit is no answer."""

from collections.abc import Sequence
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from visard_wire import cells
from visard_wire.digests import of_row_table
from visard_wire.limits import PARTIES
from visard_wire.sealing import Context, open_result
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard.errors import InconsistentAnswer
from visard.results import Candidate
from visard.sharing import combine, combine_bits, word_type

MAX_SCALE = 60  # fractional bits of an output

T = TypeVar("T")


def open_all(
    sealed: Sequence[common_pb2.SealedResult], context: Context, keys: Sequence[Secret]
) -> list[common_pb2.Outcome]:
    """Open the three sealed answers, in party order; raises SealError and InconsistentAnswer."""
    if [one.party for one in sealed] != list(range(PARTIES)):
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


def operating_point(outcomes: Sequence[common_pb2.Outcome]) -> str:
    """The point that decided, as all three parties say; raises InconsistentAnswer."""
    return _agreed(
        [outcome.operating_point for outcome in outcomes], "the parties decided at different operating points"
    )


def match_bit(outcomes: Sequence[common_pb2.Outcome]) -> bool:
    """The one bit of a verification; raises InconsistentAnswer."""
    bits = combine_bits(outcomes)
    if len(bits) != 1:
        raise InconsistentAnswer("one bit is the answer to this question")
    return bool(bits[0])


def moved(outcomes: Sequence[common_pb2.Outcome]) -> tuple[bool, str | None, int]:
    """Whether a subject was moved, its new reference if so, and how many others were erased; raises InconsistentAnswer."""
    if not all(outcome.HasField("migrated") and len(outcome.reference_ids) == 1 for outcome in outcomes):
        raise InconsistentAnswer("the answer does not say whether the subject was moved")
    told = [(outcome.migrated, outcome.reference_ids[0], outcome.references_erased) for outcome in outcomes]
    done, reference, erased = _agreed(told, "the parties do not agree whether the subject was moved")
    return done, reference if done else None, erased


Found = tuple[tuple[Candidate, ...], bool]


def candidates(outcomes: Sequence[common_pb2.Outcome], images: int) -> list[Found]:
    """For each image the references that a search has found, those of the strictest points first, and whether there are more.

    Raises InconsistentAnswer.
    """
    points = _agreed([tuple(outcome.points) for outcome in outcomes], "the parties searched at different points")
    seed, room = _agreed([(o.cell_seed, o.room) for o in outcomes], "the parties' tables are different ones")
    bits = combine_bits(outcomes)
    if room not in cells.ROOMS or not points or len(bits) != images * len(points) * cells.table_bytes(room) * 8:
        raise InconsistentAnswer("the answer is no table of candidates")
    tables = np.packbits(bits, bitorder="little").reshape(images, len(points), cells.CELLS, -1)
    keys = cells.hash_keys(seed, room)
    return [_candidates(of_image, points, keys) for of_image in tables]


def others(outcomes: Sequence[common_pb2.Outcome], images: int) -> Found:
    """Whom else the photos of an enrolment may show: the candidates of all of them, and whether there are, or may be, more.

    Raises InconsistentAnswer.
    """
    if not all(outcome.compared for outcome in outcomes):
        return (), True
    if not any(outcome.points for outcome in outcomes):
        return (), False
    found = candidates(outcomes, images)
    named = {one.reference_id: one for some, _ in reversed(found) for one in some}
    return tuple(named.values()), any(more for _, more in found)


def _candidates(tables: npt.NDArray[np.uint8], points: Sequence[str], keys: Sequence[Sequence[int]]) -> Found:
    """Of the tables (points, CELLS, bytes) of one image."""
    try:
        found = [cells.peeled([cell.tobytes() for cell in table], keys) for table in tables]
    except ValueError as error:
        raise InconsistentAnswer("the answer names no reference") from error
    told = [
        k for k, labels in enumerate(found) if labels is not None and len({one.subject for one in labels}) <= cells.MOST
    ]
    strictest = {label: name for name, labels in zip(points, found, strict=True) for label in labels or ()}
    named = (
        sorted(found[told[0]] or (), key=lambda label: (-points.index(strictest[label]), label.subject)) if told else ()
    )
    return tuple(Candidate(label.subject, label.reference_id, strictest[label]) for label in named), told[:1] != [0]


def only_subject(found: Sequence[Candidate]) -> str | None:
    """Whom the candidates of the strictest point show, if that is one person."""
    people = {one.subject for one in found if one.operating_point == found[0].operating_point}
    return people.pop() if len(people) == 1 else None


def matched_subject(outcomes: Sequence[common_pb2.Outcome]) -> str | None:
    """Whom the nearest reference shows, if it is near enough; raises InconsistentAnswer."""
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
