"""What operations have in common: the work they prepare, the answer they give, and what they work with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from visard_common.errors import FailedPrecondition, InvalidArgument, NotFound
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.execute import Model
from visard_engine.nn.program import MATCH
from visard_wire.v1 import common_pb2

from visard_party.batching.batches import Batches
from visard_party.budgets.attempts import Attempts
from visard_party.consistency.writes import Writes
from visard_party.gallery import Galleries, Rows
from visard_party.intake.deposits import Deposit
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.kits.stock import KitStock
from visard_party.models import ModelShelf, Published
from visard_party.operations import rights
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Name, Reference, Store, Write, rows_digest


@dataclass(frozen=True)
class Desk:
    """What an operation works with."""

    party: int
    store: Store
    models: ModelShelf
    stock: KitStock
    writes: Writes
    galleries: Galleries
    attempts: Attempts
    batches: Batches
    keys: SealingKeys
    max_references: int

    async def write(self, work: "Work", channel: SessionChannel, write: Write) -> int:
        """Make a write at all three parties; how many references it names."""
        request = work.request
        digest = signed_digest(work.digest, work.caller) + channel.session
        return await self.writes.make(channel, request.request_id, digest, write, request.expires_unix_ms)

    async def authorise(self, work: "Work", caller: str) -> None:
        """Let a caller change what the work names, and note who it is; raises PermissionDenied."""
        request = work.request
        foreign = rights.needs_right(request, caller, work.names)
        if foreign and not await self.store.granted(request.model, request.subject, caller):
            raise rights.refusal(request, caller)
        work.caller = caller

    async def describe(self, work: "Work", channel: SessionChannel, kits: Sequence[Kit]) -> list[Elements]:
        """The descriptors (D,) of the request's images, one kit each."""
        assert work.model is not None
        assert work.images is not None
        return await self.batches.describe(channel, kits, work.model, work.images)


def signed_digest(digest: bytes, caller: str) -> bytes:
    """What the log of writes keeps of a request: 32 bytes for what was signed, 32 for who has signed."""
    return digest + hashlib.sha256(caller.encode()).digest()


@dataclass
class Work:
    """A request as this party is about to run it: fixed before the parties agree to start."""

    request: common_pb2.Request
    digest: bytes  # of all that was signed, and handed in
    plans: tuple[KitPlan, ...] = ()
    names: Sequence[Name] = ()
    rows: Rows = field(default_factory=Rows)
    model: Published | None = None
    images: Elements | None = None
    write: Write | None = None
    caller: str = ""  # who has signed it; empty where nobody needs to
    stored: Sequence[Reference] = ()

    @property
    def rows_digest(self) -> bytes:
        """What the parties compare of references: the public names of those that are read."""
        return hashlib.sha256(rows_digest(self.names) + self.rows.digest).digest()

    @property
    def model_digest(self) -> bytes:
        """What they compare of the model: which publication it is, and the version of its shares; empty without a model."""
        if self.model is None:
            return b""
        return self.model.publication + self.model.version.to_bytes(8, "big")

    @property
    def network(self) -> Model:
        """The model, of an operation that has one."""
        assert self.model is not None
        return self.model.model

    @property
    def false_match_rate(self) -> float | None:
        """Of the operating point that decides, if it is known; an enrolment compares at the default one."""
        if self.model is None:
            return None
        enrols = self.request.operation == common_pb2.Operation.OPERATION_ENROL
        return self.model.program.false_match_rate("" if enrols else self.request.operating_point)

    @property
    def limit(self) -> int:
        """The squared threshold of the request's operating point."""
        return self.network.program.threshold(self.request.operating_point)


@dataclass
class Answer:
    """The outcome to seal for the caller, and what is public about it."""

    outcome: common_pb2.Outcome = field(default_factory=common_pb2.Outcome)
    references_changed: int = 0
    model: Published | None = None


class Job(Protocol):
    """One operation. ``exclusive`` ones run while no other write of theirs does (party 0 sees to it)."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Whether no enrolment may be under way."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """Read what the request is about; raises ServiceFault naming what is missing."""

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """Run the protocols and make the writes."""

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """The answer to a write that was made before."""


class Reading:
    """A job that writes nothing: never asked about again, never exclusive."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """See Job."""
        return False

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        raise InvalidArgument.of("request.request_id", "fresh for every request")


def present(deposit: Deposit | None) -> Deposit:
    """The share that was deposited; raises NotFound."""
    if deposit is None:
        raise NotFound("no share of this request was deposited here")
    return deposit


def images_of(request: common_pb2.Request, model: Published, deposit: Deposit | None) -> Elements:
    """The shared images of a request that matches, (N, C, H, W); raises ServiceFault."""
    if model.program.purpose != MATCH:
        raise FailedPrecondition(
            f"model {request.model!r} is published to open its output: it can be run, not matched with"
        )
    points = model.program.operating_points
    if request.operating_point and request.operating_point not in points:
        raise InvalidArgument.of("request.operating_point", " or ".join(sorted(points)))
    return shared_images(request, model, deposit)


def shared_images(request: common_pb2.Request, model: Published, deposit: Deposit | None) -> Elements:
    """The shared images of a request, (N, C, H, W); raises ServiceFault."""
    shape = (request.images, *model.program.input_shape)
    return present(deposit).elements(model.model.field).reshape(shape)


def bits_outcome(bits: ReplicatedBits) -> common_pb2.Outcome:
    """An answer's bits, as this party's two pieces."""
    own, previous = bits.pieces()
    return common_pb2.Outcome(bits=bits.count, piece_own=own, piece_previous=previous)


def names_of(rows: Sequence[Reference]) -> list[Name]:
    """The rows' public names."""
    return [row.name for row in rows]
