"""Export: a page of a gallery becomes shares of another deployment's parties, sealed to them.

Functionality: each party splits its share of each descriptor, and of its model's fingerprint, as visard_party.operations.crossing
says, seals a piece to each party of the destination, and signs what it has made. Nothing is opened, and nothing stored.
Cost: a round of 32 bytes.
Consent: an administrator signs for this gallery, and each operator has said by its own configuration whose authorities vouch for
the parties of the destination. Keys that these do not vouch for are refused by each party for itself.
"""

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence

from typing_extensions import override
from visard_engine.kits import Kit
from visard_wire import crossing as wire
from visard_wire.v1 import common_pb2, crossing_pb2

from visard_party.intake.asked import Asked
from visard_party.intake.requests import check_row_id
from visard_party.operations import images, leaving
from visard_party.operations.base import Reading
from visard_party.operations.crossing import network_digest
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Place


@dataclasses.dataclass(frozen=True)
class Leaving(Prepared):
    """A page about to leave, as its bytes, and the keys of those who get it."""

    page: bytes = dataclasses.field(kw_only=True)
    keys: Sequence[bytes] = dataclasses.field(kw_only=True)

    @property
    @override
    def rows_digest(self) -> bytes:
        """Of the page, too: a caller may have told the parties different terms, and then none of them has lied."""
        return hashlib.sha256(super().rows_digest + wire.page_digest(self.page)).digest()


class Export(Reading):
    """A page of a gallery's references for the parties of another deployment."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request, place = asked.request, Place.of(asked.request)
        trust = resources.abroad.destination(request.deployment)
        terms = leaving.terms_of(asked.present.share)
        keys = await asyncio.to_thread(leaving.keys_of, trust, terms)
        if terms.after:
            check_row_id("share.after", terms.after)
        model = await resources.models.get(request.model)
        images.require_matching(model)
        size = model.program.output.size
        row_bytes = size * model.model.field.itemsize
        rows, last = await leaving.page_of(resources.store, place, terms.after, request.sent_unix_ms, row_bytes)
        for row in rows:
            images.check_size(len(row.descriptor) // model.model.field.itemsize, model)
        page = crossing_pb2.CrossingPage(
            request_digest=asked.digest,
            series=terms.series,
            destination=request.deployment,
            recipients_digest=wire.recipients_digest(keys),
            gallery=place.gallery,
            model=model.name,
            network_digest=network_digest(model.program),
            field_bits=model.program.q,
            descriptor_size=size,
            sent_unix_ms=request.sent_unix_ms,
            after=terms.after,
            last=last,
            references=map(leaving.told, rows),
        )
        return Leaving(asked, names=names_of(rows), model=model, stored=rows, page=page.SerializeToString(), keys=keys)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared, Leaving)
        assert prepared.model is not None
        # the page, and who has asked: party 0 has compared them with each of the others; now all three do, before anybody signs
        await channel.compare("page", prepared.terms)
        own = await resources.abroad.fingerprint(prepared.model)
        field, page, keys = prepared.model.model.field, prepared.page, prepared.keys
        part = await asyncio.to_thread(resources.abroad.part, field, page, keys, own, prepared.stored)
        return Outcome(common_pb2.Outcome(crossing=part.SerializeToString()))
