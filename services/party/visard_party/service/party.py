"""A party as what the gateway calls sees it."""

from dataclasses import dataclass

from visard_party.auditlog import AuditLog
from visard_party.budgets.budget import Budgets
from visard_party.config import PartyConfig
from visard_party.consistency import Consistency
from visard_party.intake import Intake
from visard_party.kits.auditing import Auditor
from visard_party.kits.stock import KitStock
from visard_party.models import ModelShelf
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import Runner
from visard_party.store.base import Store
from visard_party.workers import Workers


@dataclass(frozen=True)
class Party:
    """Everything that a party's services work with."""

    config: PartyConfig
    store: Store
    links: PeerLinks
    stock: KitStock
    auditor: Auditor
    models: ModelShelf
    consistency: Consistency
    budgets: Budgets
    runner: Runner
    intake: Intake
    audit: AuditLog
    workers: Workers

    @property
    def ready(self) -> bool:
        """Whether both peers are connected, and it is known whether they hold the same."""
        return self.links.up() and not self.consistency.watch.comparing
