"""Import: a page that another deployment has exported becomes references here, as if its photos had been enrolled.

Functionality: each party puts the three pieces that were sealed to it together (visard_party.operations.crossing). Before
anything is stored all three compare hashes of what must be the same if every party of the source has split its own share, and of
what must be if the page's network has the weights of the model here: who lies at the source loses a page, and changes none.
Cost: two rounds, and those of a write.
What is here already, by its id, is left as it is, so that the same page again stores nothing; what was erased here since the page
was made does not come back, because a page may be no older than tombstones are kept; and what has expired does not come.
Consent: an administrator signs, and each operator has said by its own configuration whose authorities vouch for the source.
"""

import hashlib
from dataclasses import dataclass, field

from typing_extensions import override
from visard_engine.kits import Kit
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations import arriving, crossing, fitting, images, newcomers
from visard_party.operations.arriving import Arrived
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change, Place, Reference


@dataclass(frozen=True)
class Arriving(Prepared):
    """A page about to be stored: what came, and which of its references are not here and not over, by number."""

    came: Arrived = field(kw_only=True)
    fresh: tuple[int, ...] = field(kw_only=True)

    @property
    @override
    def rows_digest(self) -> bytes:
        """Of the page, too: a caller may have brought the parties different ones, and then none of them has lied."""
        return hashlib.sha256(super().rows_digest + self.came.digest).digest()


class Import(Operation):
    """Store a page of another deployment's references."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Ids that are free must stay so, and names that nobody else has."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        trust = resources.abroad.source(request.deployment)
        model = await resources.models.get(request.model)
        images.require_matching(model)
        came = arriving.arrived(asked.present.share, resources.party, trust, resources.keys, model)
        arriving.check_age(came.page, request.sent_unix_ms)
        here, fresh = await newcomers.among(resources, asked, came.page.references)
        return Arriving(asked, names=names_of(here), model=model, came=came, fresh=fresh)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared, Arriving)
        assert prepared.model is not None
        own = await resources.abroad.fingerprint(prepared.model)
        came, party, of_field = prepared.came, resources.party, prepared.model.model.field
        shares = crossing.joined(of_field, came.pieces)
        lines = crossing.slope(of_field, came.pieces, party)
        weights = crossing.difference(of_field, shares[: crossing.FINGERPRINT], own, party)
        erased = await resources.store.erased([row.reference_id for row in came.page.references])
        flags = bytes(row.reference_id in erased for row in came.page.references)
        gone = await fitting.agreed(channel, prepared.terms, lines.tobytes(), weights.tobytes(), flags)
        rows = shares[crossing.FINGERPRINT :].reshape(len(came.page.references), came.page.descriptor_size)
        add = tuple(_reference(prepared, n, Secret(rows[n].tobytes())) for n in prepared.fresh if not gone[n])
        return Outcome(references_changed=await resources.write(prepared, channel, Change(add)))

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome()


def _reference(prepared: Arriving, number: int, share: Secret) -> Reference:
    """What is stored: the importer's, as nobody here has enrolled it.

    Its version begins at the time of the import, in seconds: an id that was here before, was erased, and comes by another export
    again, has other shares, and must have another name for whoever compares.
    """
    row, request, place = prepared.came.page.references[number], prepared.request, Place.of(prepared.request)
    times = (row.created_unix_ms, request.sent_unix_ms, row.expires_unix_ms)
    names = (row.reference_id, row.subject, place.model, request.sent_unix_ms // 1000)
    return Reference(*names, *times, row.metadata, share, prepared.asked.caller, place.gallery)
