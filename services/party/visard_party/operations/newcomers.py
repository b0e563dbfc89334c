"""Those of a page from another deployment who are to be stored, given who is here already."""

from collections.abc import Sequence

from visard_common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from visard_common.limits import MAX_REFERENCES
from visard_wire.v1 import crossing_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.resources import Resources
from visard_party.store.contents import Place, Reference


async def among(
    resources: Resources, asked: Asked, references: Sequence[crossing_pb2.CrossingReference]
) -> tuple[list[Reference], tuple[int, ...]]:
    """What is here of a page's ids and subjects; and which of its references, by number, are not here and not over.

    Raises AlreadyExists for an id that is elsewhere here, and for a subject that somebody else has enrolled; InvalidArgument and
    ResourceExhausted where they would be too many; StoreError.
    """
    request, store, place = asked.request, resources.store, Place.of(asked.request)
    known = await store.by_ids([row.reference_id for row in references])
    if elsewhere := [row for row in known if row.place != place]:
        text = f"reference {elsewhere[0].reference_id} is here already, in another gallery or of another model"
        raise AlreadyExists(text)
    there = {row.reference_id for row in known}
    at = request.sent_unix_ms
    fresh = [n for n, row in enumerate(references) if row.reference_id not in there and _live(row, at)]
    own = await _of_subjects(resources, asked, [references[n].subject for n in fresh])
    if await store.count(request.model) + len(fresh) > resources.max_references:
        text = f"model {request.model!r} would have more than {resources.max_references} references, as many as are allowed"
        raise ResourceExhausted(text)
    return [*known, *own], tuple(fresh)


def _live(row: crossing_pb2.CrossingReference, at_unix_ms: int) -> bool:
    """Whether a reference's time is not over then."""
    return row.expires_unix_ms == 0 or row.expires_unix_ms > at_unix_ms


async def _of_subjects(resources: Resources, asked: Asked, subjects: Sequence[str]) -> list[Reference]:
    """What these subjects have here already; raises AlreadyExists for what somebody else has enrolled: it may be another person.

    Raises InvalidArgument where one would have too many.
    """
    found: list[Reference] = []
    for subject in sorted({*subjects}):
        rows = await resources.live(asked.request, subject)
        if any(row.enrolled_by != asked.caller for row in rows):
            text = f"subject {subject!r} is enrolled here already: import into a gallery of its own, or rename one"
            raise AlreadyExists(text)
        if len(rows) + subjects.count(subject) > MAX_REFERENCES:
            raise InvalidArgument.of("share.page.references", f"a subject has at most {MAX_REFERENCES}")
        found += rows
    return found
