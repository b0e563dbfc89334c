"""Review: references that an enrolment has left waiting become references like others, or are erased."""

from typing_extensions import override
from visard_common.errors import InvalidArgument, NotFound
from visard_common.limits import MAX_REFERENCES
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations import rights
from visard_party.operations.changes import Changing, named
from visard_party.operations.galleries import is_admin
from visard_party.operations.prepared import Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.store.base import Change, Place, Rename


class Review(Changing):
    """By whoever enrolled them, or an administrator."""

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
        rows = named(waiting, request) if request.reference_ids else waiting
        own = await resources.live(request, request.subject) if request.accept else []
        if len(rows) + len(own) > MAX_REFERENCES:
            raise InvalidArgument.of("request.reference_ids", f"a subject has at most {MAX_REFERENCES} references")
        foreign = any(row.enrolled_by != asked.caller for row in (*rows, *own)) and not is_admin(asked.caller)
        if foreign and not await resources.store.granted(place, request.subject, asked.caller):
            raise rights.refusal(request, asked.caller)
        ids = tuple(row.reference_id for row in rows)
        accepted = Rename(ids, request.subject, request.sent_unix_ms, place.gallery)
        return Prepared(asked, names=names_of([*rows, *own]), write=accepted if request.accept else Change(erase=ids))
