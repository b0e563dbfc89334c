"""Delete, rename, expire, review, withdraw: writes to what is there, without a photo."""

from collections.abc import Sequence

from typing_extensions import override
from visard_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from visard_common.limits import MAX_REFERENCES, RETRY_SECONDS
from visard_engine.kits import Kit
from visard_wire.limits import UNLOCK_AT_ONCE
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.counters import left_behind
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change, Name, Place, Reference, Rename, Withdraw

EXPIRE_AT_ONCE = 10_000  # references that one run erases
_LEFT_OVER = 100  # rows of a model that are looked at, when it is withdrawn, for counters of who is gone


class _Changing(Operation):
    """A write of which nothing is told but how many references it names."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        return False

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome()

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert prepared.write is not None
        return Outcome(references_changed=await resources.write(prepared, channel, prepared.write))


class Delete(_Changing):
    """Erase all references of a subject, or those that are named."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        await resources.models.get(request.model)
        rows = await _subject(resources, request)
        if request.reference_ids:
            rows = _named(rows, request)
        return await _erasing(resources, asked, names_of(rows))


async def _erasing(resources: Resources, asked: Asked, names: Sequence[Name]) -> Prepared:
    """References that go, and with the last ones of a subject what was counted of it."""
    counters = names_of(await left_behind(resources.store, names))
    erase, beside = (tuple(name.reference_id for name in some) for some in (names, counters))
    return Prepared(asked, names=names, write=Change(erase=erase, beside=beside), beside=counters)


def _named(rows: Sequence[Reference], request: common_pb2.Request) -> list[Reference]:
    """Those of the rows whose ids a request names; raises NotFound for one that is not among them."""
    named = [row for row in rows if row.reference_id in request.reference_ids]
    missing = set(request.reference_ids) - {row.reference_id for row in named}
    if missing:
        raise NotFound(f"subject {request.subject!r} has no reference {min(missing)}")
    return named


async def _subject(resources: Resources, request: common_pb2.Request) -> list[Reference]:
    rows = await resources.live(request, request.subject)
    if not rows:
        raise NotFound(f"subject {request.subject!r} is not enrolled")
    return rows


class RenameSubject(_Changing):
    """Give all references of a subject to another one, which must not exist yet."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        await resources.models.get(request.model)
        rows = await _subject(resources, request)
        if await resources.live(request, request.new_subject):
            raise AlreadyExists(f"subject {request.new_subject!r} is enrolled already")
        if await resources.store.references(
            Place.of(request).counting, request.new_subject
        ):  # whose count would it be?
            text = f"failures of an earlier subject {request.new_subject!r} are counted: visard admin unlock"
            raise FailedPrecondition(text)
        counters = await resources.store.references(Place.of(request).counting, request.subject)
        ids, beside = (tuple(row.reference_id for row in some) for some in (rows, counters))
        rename = Rename(ids, request.new_subject, request.sent_unix_ms, beside=beside)
        return Prepared(asked, names=names_of(rows), write=rename, beside=names_of(counters))

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol under the new name meanwhile."""
        return True


class Expire(_Changing):
    """Erase references whose time is over when the request is sent."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        names = await resources.store.expired(request.model, request.sent_unix_ms, EXPIRE_AT_ONCE)
        if not names:
            raise NotFound("no reference's time is over")
        return await _erasing(resources, asked, names)


class Review(_Changing):
    """References that an enrolment has left waiting become references like others, or are erased.

    By whoever enrolled them, or has a right to the subject; or an administrator.
    """

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol or rename under the name meanwhile."""
        return request.accept

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request, place = asked.request, Place.of(asked.request)
        await resources.models.get(request.model)
        waiting = await resources.store.references(place.waiting, request.subject)
        waiting = [row for row in waiting if row.live(request.sent_unix_ms)]
        if not waiting:
            raise NotFound(f"no reference of subject {request.subject!r} waits for a review")
        rows = _named(waiting, request) if request.reference_ids else waiting
        own = await resources.live(request, request.subject) if request.accept else []
        if len(rows) + len(own) > MAX_REFERENCES:
            raise InvalidArgument.of("request.reference_ids", f"a subject has at most {MAX_REFERENCES} references")
        ids = tuple(row.reference_id for row in rows)
        accepted = Rename(ids, request.subject, request.sent_unix_ms, place.gallery)
        return Prepared(asked, names=names_of([*rows, *own]), write=accepted if request.accept else Change(erase=ids))


class WithdrawModel(_Changing):
    """Remove a model that has no references."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol with it meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        count = await resources.store.count(request.model)
        over = await resources.store.expired(request.model, request.sent_unix_ms, count) if count else []
        first = await resources.store.model_page(request.model, "", _LEFT_OVER) if count <= _LEFT_OVER else []
        if left := {row.gallery[1:] for row in first if row.counts}:  # an erasure and a verification have met
            text = f"failures of who is gone are counted in gallery {min(left)!r}: visard admin unlock"
            raise FailedPrecondition(text)
        if len(over) < count:
            raise FailedPrecondition(f"model {request.model!r} has references: delete their subjects first")
        if count:  # without its model nobody would erase them
            text = f"model {request.model!r} has references whose time is over, and which are about to be erased"
            raise Unavailable(text, retry_after=RETRY_SECONDS)
        return Prepared(asked, model=model, write=Withdraw(request.model))


class Unlock(_Changing):
    """Forget a subject's failures, or those of everybody in the place, so many at once."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may be verified meanwhile, where it is everybody."""
        return not request.subject

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request, place = asked.request, Place.of(asked.request).counting
        await resources.models.get(request.model)
        if request.subject:
            counters = await resources.store.references(place, request.subject)
        else:
            counters = (await resources.store.gallery(place))[:UNLOCK_AT_ONCE]
        if not counters:
            raise NotFound(f"no failures of {request.subject or 'anybody'} are counted there")
        erase = Change(erase=tuple(row.reference_id for row in counters))
        return Prepared(asked, write=erase, beside=names_of(counters))
