"""What operations work with, put together from what a party has opened."""

from visard_party.batching.batches import Batches
from visard_party.budgets.attempts import Attempts
from visard_party.config import PartyConfig
from visard_party.consistency import Consistency
from visard_party.gallery import Galleries
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.kits.stock import KitStock
from visard_party.models import ModelShelf
from visard_party.operations.abroad import Abroad
from visard_party.operations.resources import Resources
from visard_party.peers.links import PeerLinks
from visard_party.store.base import Store
from visard_party.workers import Workers


def assembled(
    config: PartyConfig,
    store: Store,
    links: PeerLinks,
    stock: KitStock,
    models: ModelShelf,
    consistency: Consistency,
    keys: SealingKeys,
) -> Resources:
    """This party's resources; the attempts made before are to be loaded, and the galleries kept tidy."""
    return Resources(
        party=config.index,
        store=store,
        models=models,
        stock=stock,
        writes=consistency.writes,
        galleries=Galleries(store, consistency.writes),
        attempts=Attempts(config, store),
        batches=Batches(links, config.max_batches, config.peer_timeout, config.run_timeout, config.batch_wait),
        keys=keys,
        workers=Workers(config, consistency.writes, stock.distrust),
        abroad=Abroad(config, store),
        max_references=config.max_references,
    )
