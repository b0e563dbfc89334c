"""What an operation makes of a request: ``Prepared`` before the parties agree to start, ``Outcome`` when its run has ended.

An Outcome holds a ``common_pb2.Outcome``, which is the message that is sealed for the caller, and what is public besides.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from visard_engine.field import Elements
from visard_engine.kits import KitPlan
from visard_engine.nn.execute import Model
from visard_wire.digests import of_parts
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.intake.requests import DEFAULT_POINT
from visard_party.models import Published
from visard_party.store.contents import Name, Reference, Write, rows_digest
from visard_party.workers.asked import Searched


@dataclass(frozen=True)
class Prepared:
    """A request as this party is about to run it: fixed before the parties agree to start.

    ``plans`` are those of the kits that its run takes, in order; ``names`` and ``rows`` the references that it reads, rows also
    as its workers hold them; ``beside`` whatever else the parties must hold alike, which is nobody's: a gallery's rule, counters.
    ``point`` is the operating point of a search, which follows from its gallery.
    """

    asked: Asked
    plans: tuple[KitPlan, ...] = ()
    names: Sequence[Name] = ()
    rows: Searched = field(default_factory=Rows)
    model: Published | None = None
    images: Elements | None = None
    write: Write | None = None
    point: str = ""
    stored: Sequence[Reference] = ()
    beside: Sequence[Name] = ()

    @property
    def request(self) -> common_pb2.Request:
        """The request as it was signed."""
        return self.asked.request

    @property
    def rows_digest(self) -> bytes:
        """What the parties compare of references: the public names of those that are read."""
        return hashlib.sha256(rows_digest([*self.names, *self.beside]) + self.rows.digest).digest()

    @property
    def own(self) -> Rows:
        """The rows, of an operation that compares with what this party holds itself; none where its workers do."""
        return self.rows if isinstance(self.rows, Rows) else Rows()

    @property
    def model_digest(self) -> bytes:
        """What they compare of the model: which publication it is, and the version of its shares; empty without a model."""
        return b"" if self.model is None else self.model.digest

    @property
    def terms(self) -> bytes:
        """What a run begins with in what its parties have seen: the request, who has signed it, its references and its model.

        Party 0 has compared these with each of the others; now all three compare them with each other.
        """
        parts = self.asked.digest, self.asked.caller.encode(), self.rows_digest, self.model_digest
        return of_parts(b"visard terms v1", parts)

    @property
    def network(self) -> Model:
        """The model, of an operation that has one."""
        assert self.model is not None
        return self.model.model

    @property
    def operating_point(self) -> str:
        """The name of the one that decides; an enrolment compares at the default one."""
        if self.request.operation == common_pb2.OPERATION_ENROL:
            return DEFAULT_POINT
        return self.point or self.request.operating_point or DEFAULT_POINT

    @property
    def false_match_rate(self) -> float | None:
        """Of the operating point that decides, if it is known."""
        if self.model is None:
            return None
        return self.model.program.false_match_rate(self.operating_point)

    @property
    def limit(self) -> int:
        """The threshold of the operating point that decides, as matching takes it."""
        return self.network.program.threshold(self.operating_point)


@dataclass
class Outcome:
    """What is sealed for the caller, and what is public about it: how many references a write names, and a model."""

    sealed: common_pb2.Outcome = field(default_factory=common_pb2.Outcome)
    references_changed: int = 0
    model: Published | None = None

    def counts(self, changes: int) -> None:
        """Say how many references the write names; where nobody but the caller is to see that it was made, within the seal."""
        if self.sealed.HasField("migrated"):
            self.sealed.references_erased = max(changes - 1, 0)
        else:
            self.references_changed = changes


def names_of(rows: Sequence[Reference]) -> list[Name]:
    """The rows' public names, in the same order."""
    return [row.name for row in rows]
