"""Configuration of a worker."""

from pathlib import Path

from pydantic import Field

from visard_party.config import ComputingConfig
from visard_party.spread import MAX_WORKERS

ORDINAL = "{ordinal}"


class WorkerConfig(ComputingConfig):
    """One worker's settings. ``index`` is its party's, ``peers`` are the workers of the same ordinal at the three parties.

    In an address {ordinal} stands for the ordinal, so that all workers of a party can be configured alike.
    """

    ordinal: int = Field(ge=0, lt=MAX_WORKERS, description="which of the party's workers it is, from 0")
    store_dir: Path | None = Field(
        default=None, description="where the party keeps its store, if that is sqlite: its data_dir; it is only read"
    )

    @property
    def number(self) -> int:
        """Which one it is next to the party itself, which is 0: in its kits' numbers, and to its peers."""
        return self.ordinal + 1

    @property
    def addresses(self) -> tuple[str, str, str]:
        """Those of ``peers``, with the ordinal in its place."""
        one, two, three = (peer.replace(ORDINAL, str(self.ordinal)) for peer in self.peers)
        return one, two, three
