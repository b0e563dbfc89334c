"""What a subject becomes that is moved to another model: its reference there, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import override
from visard_engine.field import Elements
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.intake.requests import DEFAULT_POINT
from visard_party.models import Published
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.references import reference_ids
from visard_party.store.contents import Place, Reference


@dataclass(frozen=True)
class Moving(Prepared):
    """A subject about to be moved: to which model, the photo as that one takes it, and its references of the old one."""

    successor: Published = field(kw_only=True)
    behind: Elements = field(kw_only=True, repr=False)
    before: Sequence[Reference] = field(kw_only=True)

    @property
    @override
    def model_digest(self) -> bytes:
        version = self.successor.version.to_bytes(8, "big")
        return super().model_digest + self.successor.publication + version


def moved_to(request: common_pb2.Request) -> Place:
    """The place that a request moves its subject to."""
    return Place.of(request)._replace(model=request.new_model)


def told(asked: Asked, *, migrated: bool) -> Outcome:
    """What the caller is told, of one size whatever is said."""
    ids, point = reference_ids(asked.digest, 1), asked.request.operating_point or DEFAULT_POINT
    return Outcome(common_pb2.Outcome(reference_ids=ids, operating_point=point, migrated=migrated, references_erased=0))


def successor(moving: Moving, descriptor: Elements) -> Reference:
    """What is stored: it goes on as the subject's newest reference, and lives as long as that which lives longest.

    Who enrolled that is who may change this: moving somebody is no way to take over what others have enrolled.
    """
    request, newest = moving.request, max(moving.before, key=lambda row: (row.created_unix_ms, row.reference_id))
    ends = [row.expires_unix_ms for row in moving.before]
    (name,), place, born = reference_ids(moving.asked.digest, 1), moved_to(request), request.sent_unix_ms
    return Reference(
        name,
        request.subject,
        place.model,
        1,
        born,
        born,
        max(ends) if all(ends) else 0,
        newest.metadata,
        Secret(descriptor.tobytes()),
        newest.enrolled_by,
        place.gallery,
    )
