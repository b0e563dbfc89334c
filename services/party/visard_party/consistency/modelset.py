"""Whether the three parties have published the same models: said and heard every few seconds, and shown in the status.

A publication is made at all three parties or at none, but not in the same instant: a difference counts when two reports
of a peer in a row show it.
"""

import hashlib
from collections.abc import Iterable

import structlog
from visard_common.errors import FailedPrecondition, NotFound
from visard_wire.v1 import peer_pb2

from visard_party.errors import StoreError
from visard_party.models import ModelShelf, Published
from visard_party.peers.links import PeerLinks
from visard_party.store.base import Store

REPORT_SECONDS = 2.0
_CERTAIN = 2  # reports in a row

log = structlog.get_logger()


def digest(models: Iterable[Published]) -> bytes:
    """SHA-256 over which publication each model is, in order of name."""
    hasher = hashlib.sha256(b"visard model set v2")
    for model in sorted(models, key=lambda m: m.name):
        hasher.update(model.publication)
    return hasher.digest()


class Differences:
    """Which peers have other models, by what they report. Pure."""

    def __init__(self) -> None:
        self._strikes: dict[int, int] = {}

    def hear(self, peer: int, theirs: bytes, ours: bytes) -> None:
        """A peer's report, next to what we have at this moment."""
        self._strikes[peer] = self._strikes.get(peer, 0) + 1 if theirs != ours else 0

    def forget(self, peer: int) -> None:
        """A peer that is away says nothing any more."""
        self._strikes.pop(peer, None)

    def clear(self) -> None:
        """What was reported so far counts no more."""
        self._strikes.clear()

    def peers(self) -> list[int]:
        """Those whose models differ for certain."""
        return sorted(peer for peer, strikes in self._strikes.items() if strikes >= _CERTAIN)


class ModelSets:
    """Tells the peers what is published here, and hears what is there."""

    def __init__(self, store: Store, models: ModelShelf, links: PeerLinks) -> None:
        self._store = store
        self._models = models
        self._links = links
        self._differences = Differences()
        links.on("model_set", self.hear)

    def differing(self) -> list[int]:
        """Connected peers that have other models."""
        return [peer for peer in self._differences.peers() if self._links.connected(peer)]

    def require_same(self) -> None:
        """Raise FailedPrecondition while a peer has other models for certain."""
        if differing := self.differing():
            others = " and ".join(f"party {peer}" for peer in differing)
            text = f"its models are not those of {others}: run visard admin recover where they are wrong"
            raise FailedPrecondition(f"party {self._links.party}: {text}")

    def mended(self) -> None:
        """A party was restored from the two others, its models too."""
        self._differences.clear()

    async def look(self) -> None:
        """Tell the peers which models are published here; those that recovery has made are read first, if they can be."""
        try:
            await self._load_recovered()
        except (StoreError, NotFound) as error:
            log.warning("the models cannot be read", reason=str(error))
        self._report()

    async def hear(self, peer: int, report: peer_pb2.ModelSet) -> None:
        """Compare a peer's models with ours at this moment; logged when they differ for certain."""
        before = self._differences.peers()
        self._differences.hear(peer, report.digest, digest(self._models.listed()))
        if peer in self._differences.peers() and peer not in before:
            log.error("a peer has published other models", peer=peer)

    async def _load_recovered(self) -> None:
        """A publication, or a change of one, that recovery has finished is in the store and not yet in memory."""
        for name in await self._store.models():
            if self._models.known(name) is None:
                await self._models.get(name)

    def _report(self) -> None:
        frame = peer_pb2.Frame(model_set=peer_pb2.ModelSet(digest=digest(self._models.listed())))
        for peer in self._links.peers:
            if self._links.connected(peer):
                self._links.link(peer).send(frame)
            else:
                self._differences.forget(peer)
