"""Enrol, delete, rename, expire: writes to the references."""

import hashlib
from collections.abc import Sequence

import numpy as np
from visard_common.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from visard_common.limits import MAX_REFERENCES
from visard_engine import matching
from visard_engine.describe import describe_plan
from visard_engine.field import Elements
from visard_engine.kits import Kit
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Run, Session
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.deposits import Deposit
from visard_party.models import Published
from visard_party.operations.base import (
    Answer,
    Desk,
    Work,
    images_of,
    names_of,
)
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Change, Reference, Rename

EXPIRE_AT_ONCE = 10_000  # references that one run erases


class _Changing:
    """A write of which nothing is told but how many references it names."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """See Job."""
        return False

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer()

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.write is not None
        return Answer(references_changed=await desk.write(work, channel, work.write))


class Enrol:
    """Descriptors of photos become references, in addition to the subject's earlier ones or in their place."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """A check against everybody must see the enrolments that are under way."""
        return request.unique

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        images = images_of(request, model, deposit)
        own = await _live(desk, request, request.subject)
        if request.images + (0 if request.replace else len(own)) > MAX_REFERENCES:
            raise InvalidArgument.of("request.images", f"a subject has at most {MAX_REFERENCES} references")
        if await desk.store.count(request.model) + request.images > desk.max_references:
            raise ResourceExhausted(
                f"model {request.model!r} has {desk.max_references} references, as many as are allowed"
            )
        rows = await _others(desk, request, model) if request.unique else Rows()
        compare = (matching.verify_plan(model.program.q, len(rows)),) * request.images if rows else ()
        plans = (describe_plan(model.program),) * request.images + compare
        erase = Change(erase=tuple(row.reference_id for row in own) if request.replace else ())
        return Work(request, digest, plans, names_of(own), rows, model, images, erase)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert isinstance(work.write, Change)
        run, count = Run(channel), work.request.images
        found = await desk.describe(work, channel, kits[:count])
        for kit, descriptor in zip(kits[count:], found, strict=False):
            if await _is_known(run, kit, descriptor, work):
                raise AlreadyExists("a photo shows somebody who is enrolled under another name")
        references = tuple(_reference(work, k, descriptor) for k, descriptor in enumerate(found))
        changed = await desk.write(work, channel, Change(references, work.write.erase))
        return Answer(_ids_outcome(work.request, work.digest), changed)

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer(_ids_outcome(request, digest))


async def _others(desk: Desk, request: common_pb2.Request, model: Published) -> Rows:
    rows = await desk.galleries.get(request.model, model.model.field)
    return rows.live(request.expires_unix_ms).without(request.subject)


async def _is_known(run: Run, kit: Kit, descriptor: Elements, work: Work) -> bool:
    """Whether a descriptor is within the default distance of any row; the parties learn this bit and no other."""
    limit = work.network.program.threshold("")
    bits = await matching.verify(run, kit, descriptor, work.rows.shares, limit)
    (word,) = await open_bits(Session(run, kit), bits.shared)
    return bool(word & np.uint64(1))


def _reference(work: Work, index: int, descriptor: Elements) -> Reference:
    request = work.request
    born = request.sent_unix_ms
    expires = born + 1000 * request.ttl_seconds if request.ttl_seconds else 0
    share = Secret(descriptor.tobytes())
    name = reference_ids(work.digest, request.images)[index]
    times, who = (born, born, expires), work.caller
    return Reference(name, request.subject, request.model, 1, *times, request.metadata, share, who)


def reference_ids(digest: bytes, count: int) -> list[str]:
    """The same ids at every party: 16 bytes of SHA-256 over the request and the image's number, in hex."""
    return [hashlib.sha256(b"visard reference v1" + digest + bytes([k])).hexdigest()[:32] for k in range(count)]


def _ids_outcome(request: common_pb2.Request, digest: bytes) -> common_pb2.Outcome:
    return common_pb2.Outcome(reference_ids=reference_ids(digest, request.images))


class Delete(_Changing):
    """Erase all references of a subject, or those that are named."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        await desk.models.get(request.model)
        rows = await _subject(desk, request)
        if request.reference_ids:
            rows = _named(rows, request)
        erase = tuple(row.reference_id for row in rows)
        return Work(request, digest, names=names_of(rows), write=Change(erase=erase))


def _named(rows: Sequence[Reference], request: common_pb2.Request) -> list[Reference]:
    named = [row for row in rows if row.reference_id in request.reference_ids]
    missing = set(request.reference_ids) - {row.reference_id for row in named}
    if missing:
        raise NotFound(f"subject {request.subject!r} has no reference {min(missing)}")
    return named


async def _live(desk: Desk, request: common_pb2.Request, subject: str) -> list[Reference]:
    """A subject's references, but for those whose time is over when the request is sent: they are Expire's alone."""
    rows = await desk.store.references(request.model, subject)
    return [row for row in rows if row.live(request.sent_unix_ms)]


async def _subject(desk: Desk, request: common_pb2.Request) -> list[Reference]:
    rows = await _live(desk, request, request.subject)
    if not rows:
        raise NotFound(f"subject {request.subject!r} is not enrolled")
    return rows


class RenameSubject(_Changing):
    """Give all references of a subject to another one, which must not exist yet."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        await desk.models.get(request.model)
        rows = await _subject(desk, request)
        if await _live(desk, request, request.new_subject):
            raise AlreadyExists(f"subject {request.new_subject!r} is enrolled already")
        rename = Rename(tuple(row.reference_id for row in rows), request.new_subject, request.sent_unix_ms)
        return Work(request, digest, names=names_of(rows), write=rename)

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol under the new name meanwhile."""
        return True


class Expire(_Changing):
    """Erase references whose time is over when the request is sent."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        names = await desk.store.expired(request.model, request.sent_unix_ms, EXPIRE_AT_ONCE)
        if not names:
            raise NotFound("no reference's time is over")
        return Work(request, digest, names=names, write=Change(erase=tuple(name.reference_id for name in names)))
