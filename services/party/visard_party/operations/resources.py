"""What operations work with: this party's store, models, kits and the rest, and what several of them do with these."""

from dataclasses import dataclass, field

from visard_wire.v1 import common_pb2

from visard_party.batching.batches import Batches
from visard_party.budgets.attempts import Attempts
from visard_party.consistency.writes import Writes
from visard_party.gallery import Galleries
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.kits.stock import KitStock
from visard_party.models import ModelShelf
from visard_party.operations.abroad import Abroad
from visard_party.operations.prepared import Prepared
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Store, all_of
from visard_party.store.contents import Place, Reference, Write
from visard_party.workers import Workers


@dataclass(frozen=True)
class Resources:
    """One party's, for all of its runs. ``party`` is its number, ``max_references`` the most that one model may
    have; it may have no workers. ``locked`` are counters that were seen to have come to their end (operations.locking).
    """

    party: int
    store: Store
    models: ModelShelf
    stock: KitStock
    writes: Writes
    galleries: Galleries
    attempts: Attempts
    batches: Batches
    keys: SealingKeys
    workers: Workers
    abroad: Abroad
    max_references: int
    locked: dict[tuple[str, int], None] = field(default_factory=dict)

    async def write(self, prepared: Prepared, channel: SessionChannel, write: Write) -> int:
        """Make a write at all three parties; how many references it names. Raises EngineError, StoreError, RequestConflict."""
        request = prepared.request
        digest = prepared.asked.signed + channel.session
        return await self.writes.make(channel, request.request_id, digest, write, request.expires_unix_ms)

    async def live(self, request: common_pb2.Request, subject: str, place: Place | None = None) -> list[Reference]:
        """A subject's references, but for those whose time is over when the request is sent: they are Expire's alone.

        Those of the request's place, unless another is named.
        """
        rows = await self.store.references(place or Place.of(request), subject)
        return [row for row in rows if row.live(request.sent_unix_ms)]

    async def everything_of(self, model: str) -> list[Reference]:
        """Every reference of a model, in whatever gallery, by id; raises StoreError."""
        return await all_of(self.store, model)
