"""What comes in: what a request may look like, who signs it, the shares that are handed in, the keys they are sealed to."""

from visard_common.background import Background
from visard_common.vouching import Vouching

from visard_party.config import PartyConfig
from visard_party.intake.callers import Callers
from visard_party.intake.deposits import DepositBox
from visard_party.intake.sealingkeys import LOOK_SECONDS, SealingKeys


class Intake:
    """One party's: whom it lets in, the shares that wait, and its sealing keys. Raises what these raise when it is made."""

    def __init__(self, config: PartyConfig) -> None:
        self.keys = SealingKeys(config.index, config.tls, config.data_dir / "sealing", config.sealing_key_hours)
        self.callers = Callers(Vouching(config.tls), config.refused_callers)
        self.deposits = DepositBox(config.max_deposit_mb << 20)

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: making and erasing sealing keys as time goes by."""
        work.every(LOOK_SECONDS, "sealing keys", self.keys.look)
