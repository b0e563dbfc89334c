"""What each operation does at a party: the kits it takes, the rows it reads, the protocol it runs, the answer it seals."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from visard.secret import Secret
from visard.v1 import common_pb2

from services.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.mpc import matching
from services.mpc.bits import ReplicatedBits
from services.mpc.field import Elements, field_of
from services.mpc.kits import Kit, KitPlan
from services.mpc.nn.execute import Model, embed, embed_plan
from services.mpc.session import Run
from services.party.deposits import Deposit
from services.party.models import ModelShelf, Published, parse_program
from services.party.requests import Operation
from services.party.runtime import SessionChannel
from services.party.store.base import Delete, Enrol, ModelRecord, Publish, Reference, Store, rows_digest
from services.party.writes import Writes

MAX_REFERENCES = 64  # a subject and model


@dataclass
class Work:
    """A request as this party is about to run it: fixed before the parties agree to start."""

    request: common_pb2.Request
    digest: bytes
    plans: tuple[KitPlan, ...] = ()
    rows: Sequence[Reference] = ()
    model: Published | None = None
    images: Elements | None = None
    publish: ModelRecord | None = None

    @property
    def rows_digest(self) -> bytes:
        """What the parties compare: the public names of the rows."""
        return rows_digest(self.rows)


@dataclass
class Answer:
    """The outcome to seal for the caller, and what is public about it."""

    outcome: common_pb2.Outcome = field(default_factory=common_pb2.Outcome)
    references_changed: int = 0
    model: Published | None = None


class Jobs:
    """Prepares and performs requests at one party."""

    def __init__(self, party: int, store: Store, models: ModelShelf, writes: Writes) -> None:
        self._party = party
        self._store = store
        self._models = models
        self._writes = writes

    async def prepare(self, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """Read what the request is about; raises ServiceFault naming what is missing."""
        if request.operation == Operation.OPERATION_PUBLISH:
            return await self._prepare_publish(request, digest, _present(deposit))
        model = await self._models.get(request.model)
        if request.operation == Operation.OPERATION_DELETE:
            return Work(request, digest, rows=await self._rows(request), model=model)
        program = model.program
        if request.operating_point and request.operating_point not in program.operating_points:
            raise InvalidArgument.of("request.operating_point", " or ".join(sorted(program.operating_points)))
        images = _present(deposit).elements(model.model.field).reshape(request.images, *program.input_shape)
        rows = await self._rows(request)
        plans = (embed_plan(program, 1),) * request.images + _matching_plans(request, program.q, len(rows))
        return Work(request, digest, plans, rows, model, images)

    async def _rows(self, request: common_pb2.Request) -> Sequence[Reference]:
        """The references that a request reads or erases; raises NotFound, or FailedPrecondition for an empty gallery."""
        if request.operation == Operation.OPERATION_IDENTIFY:
            if rows := await self._store.gallery(request.model):
                return rows
            raise FailedPrecondition("nobody is enrolled")
        if request.operation == Operation.OPERATION_COMPARE:
            return ()
        rows = await self._store.references(request.model, request.subject)
        if request.operation == Operation.OPERATION_ENROL:
            if len(rows) + request.images > MAX_REFERENCES:
                raise InvalidArgument.of("request.images", f"a subject has at most {MAX_REFERENCES} references")
            return rows
        if not rows:
            raise NotFound(f"subject {request.subject!r} is not enrolled")
        return rows

    async def _prepare_publish(self, request: common_pb2.Request, digest: bytes, deposit: Deposit) -> Work:
        if await self._store.model(request.model) is not None:
            raise AlreadyExists(f"model {request.model!r} is published already")
        header = common_pb2.UploadHeader(request=request, program=deposit.program)
        elements = deposit.elements(field_of(parse_program(header).q))
        record = ModelRecord(request.model, deposit.program, _created(request), Secret(elements.tobytes()))
        return Work(request, digest, publish=record)

    async def perform(self, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """Run the protocols and make the writes."""
        match work.request.operation:
            case Operation.OPERATION_ENROL:
                return await self._enrol(work, channel, kits)
            case Operation.OPERATION_DELETE:
                return await self._delete(work, channel)
            case Operation.OPERATION_PUBLISH:
                return await self._publish(work, channel)
            case Operation.OPERATION_COMPARE:
                return await self._compare(work, channel, kits)
            case Operation.OPERATION_IDENTIFY:
                return await self._identify(work, channel, kits)
        return await self._verify(work, channel, kits)

    async def _enrol(self, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        model, images = _model(work), _images(work)
        descriptors = await _describe(Run(channel), kits, model, images)
        references = tuple(
            Reference(name, work.request.subject, work.request.model, 1, _created(work.request), Secret(row.tobytes()))
            for name, row in zip(_reference_ids(work), descriptors, strict=True)
        )
        changed = await self._write(work, channel, Enrol(references))
        return Answer(common_pb2.Outcome(reference_ids=[r.reference_id for r in references]), changed)

    async def _delete(self, work: Work, channel: SessionChannel) -> Answer:
        ids = tuple(row.reference_id for row in work.rows)
        changed = await self._write(work, channel, Delete(work.request.model, work.request.subject, ids))
        return Answer(references_changed=changed)

    async def _publish(self, work: Work, channel: SessionChannel) -> Answer:
        assert work.publish is not None
        await self._write(work, channel, Publish(work.publish))
        return Answer(model=await self._models.get(work.request.model))

    async def _write(self, work: Work, channel: SessionChannel, write: Enrol | Delete | Publish) -> int:
        return await self._writes.make(channel, work.request.request_id, work.digest, write)

    async def _verify(self, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        run, model = Run(channel), _model(work)
        (probe,) = await _describe(run, kits[:-1], model, _images(work))
        references = _descriptors(work.rows, model)
        bits = await matching.verify(run, kits[-1], probe, references, _limit(work))
        return Answer(_bits(bits))

    async def _compare(self, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        run, model = Run(channel), _model(work)
        probe, reference = await _describe(run, kits[:-1], model, _images(work))
        bits = await matching.verify(run, kits[-1], probe, reference[None], _limit(work))
        return Answer(_bits(bits))

    async def _identify(self, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        run, model = Run(channel), _model(work)
        (probe,) = await _describe(run, kits[:-1], model, _images(work))
        bits = await matching.identify(run, kits[-1], probe, _descriptors(work.rows, model), _limit(work))
        outcome = _bits(bits)
        subjects = [row.subject for row in work.rows]
        outcome.row_digest = row_table_digest(subjects)
        if self._party == 0:  # once is enough: the two others vouch for it
            outcome.row_subjects.extend(subjects)
        return Answer(outcome)


def row_table_digest(subjects: Sequence[str]) -> bytes:
    """SHA-256 over the subjects of the rows, each with its length: see visard.results."""
    hasher = hashlib.sha256(b"visard row table v1")
    for subject in subjects:
        hasher.update(len(subject.encode()).to_bytes(4, "big") + subject.encode())
    return hasher.digest()


async def _describe(run: Run, kits: Sequence[Kit], model: Model, images: Elements) -> list[Elements]:
    """The descriptors (D,) of images, one kit each."""
    return [(await embed(run, kit, model, image[None]))[0] for kit, image in zip(kits, images, strict=True)]


def _matching_plans(request: common_pb2.Request, q: int, rows: int) -> tuple[KitPlan, ...]:
    match request.operation:
        case Operation.OPERATION_VERIFY:
            return (matching.verify_plan(q, rows),)
        case Operation.OPERATION_COMPARE:
            return (matching.verify_plan(q, 1),)
        case Operation.OPERATION_IDENTIFY:
            return (matching.identify_plan(q, rows),)
    return ()


def _descriptors(rows: Sequence[Reference], model: Model) -> Elements:
    """The rows' descriptor shares, (N, D)."""
    raw = b"".join(row.descriptor.reveal() for row in rows)
    return np.frombuffer(raw, model.field.dtype).reshape(len(rows), -1).copy()


def _bits(bits: ReplicatedBits) -> common_pb2.Outcome:
    own, previous = bits.pieces()
    return common_pb2.Outcome(bits=bits.count, piece_own=own, piece_previous=previous)


def _reference_ids(work: Work) -> list[str]:
    """The same ids at every party: 16 bytes of SHA-256 over the request and the image's number, in hex."""
    count = work.request.images
    return [hashlib.sha256(b"visard reference v1" + work.digest + bytes([k])).hexdigest()[:32] for k in range(count)]


def _created(request: common_pb2.Request) -> int:
    """A time that is the same at every party: when the request expires, a minute or so from now."""
    return request.expires_unix_ms


def _limit(work: Work) -> int:
    return _model(work).program.threshold(work.request.operating_point)


def _model(work: Work) -> Model:
    assert work.model is not None
    return work.model.model


def _images(work: Work) -> Elements:
    assert work.images is not None
    return work.images


def _present(deposit: Deposit | None) -> Deposit:
    if deposit is None:
        raise NotFound("no share of this request was deposited here")
    return deposit
