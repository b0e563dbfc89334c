"""Enrol: photos become references."""

import hashlib

from typing_extensions import override
from visard_common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from visard_common.limits import MAX_REFERENCES
from visard_engine.describe import describe_plan
from visard_engine.field import Elements
from visard_engine.kits import Kit
from visard_engine.session import Run
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations import uniqueness
from visard_party.operations.base import Operation
from visard_party.operations.images import images_to_match
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Change, Reference


class Enrol(Operation):
    """Descriptors of photos become references, in addition to the subject's earlier ones or in their place."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """A check against everybody must see the enrolments that are under way."""
        return request.unique

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        own = await resources.live(request, request.subject)
        if request.images + (0 if request.replace else len(own)) > MAX_REFERENCES:
            raise InvalidArgument.of("request.images", f"a subject has at most {MAX_REFERENCES} references")
        if await resources.store.count(request.model) + request.images > resources.max_references:
            raise ResourceExhausted(
                f"model {request.model!r} has {resources.max_references} references, as many as are allowed"
            )
        rows = await uniqueness.others(resources, asked, model)
        plans = (describe_plan(model.program),) * request.images + uniqueness.plans(asked, model, rows)
        erase = Change(erase=tuple(row.reference_id for row in own) if request.replace else ())
        return Prepared(asked, plans, names_of(own), rows, model, images, erase)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared.write, Change)
        run, count = Run(channel), prepared.request.images
        found = await resources.describe(prepared, channel, kits[:count])
        for kit, descriptor in zip(kits[count:], found, strict=False):
            if await uniqueness.is_known(run, kit, descriptor, prepared):
                raise AlreadyExists("a photo shows somebody who is enrolled under another name")
        references = tuple(_reference(prepared, k, descriptor) for k, descriptor in enumerate(found))
        changed = await resources.write(prepared, channel, Change(references, prepared.write.erase))
        return Outcome(_ids_outcome(prepared.asked), changed)

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome(_ids_outcome(asked))


def _reference(prepared: Prepared, index: int, descriptor: Elements) -> Reference:
    request = prepared.request
    born = request.sent_unix_ms
    expires = born + 1000 * request.ttl_seconds if request.ttl_seconds else 0
    share = Secret(descriptor.tobytes())
    name = reference_ids(prepared.asked.digest, request.images)[index]
    times, who = (born, born, expires), prepared.asked.caller
    return Reference(name, request.subject, request.model, 1, *times, request.metadata, share, who)


def reference_ids(digest: bytes, count: int) -> list[str]:
    """The same ids at every party: 16 bytes of SHA-256 over the request and the image's number, in hex."""
    return [hashlib.sha256(b"visard reference v1" + digest + bytes([k])).hexdigest()[:32] for k in range(count)]


def _ids_outcome(asked: Asked) -> common_pb2.Outcome:
    return common_pb2.Outcome(reference_ids=reference_ids(asked.digest, asked.request.images))
