"""A party that lies: ``python -m tests.attacks.lying --config FILE``, or ``Lie`` within a process.

What it is to lie about is written into the file ``lie`` in the party's data directory, as JSON. Nothing in the services knows
about it: what a session sends is changed on its way.
"""

import json
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from visard.cluster import Cluster
from visard_engine.channel import Payload
from visard_engine.views import VIEW_BYTES
from visard_party import __main__ as program
from visard_party.peers.channel import SessionChannel

NOTHING_SEEN = bytes(VIEW_BYTES)  # the views of a session in which the engine has not begun


@dataclass(frozen=True)
class Lie:
    """The message of round ``at`` of a session to one peer is another one; or, if there is none, the next after it.

    Rounds are those of the engine; with ``engine`` false those before count as well.
    """

    peer: int
    at: int
    place: int = (
        -1
    )  # of the byte that is changed: 0 is one of the hash of what was seen, in messages that begin with one
    cut: bool = False  # the byte is missing instead
    always: bool = False  # in every session from now on, not in one alone
    engine: bool = True
    size: int = 0  # of the message in bytes; any

    def told(self, channel: SessionChannel, outgoing: Mapping[int, Payload]) -> Mapping[int, Payload] | None:
        """What is sent instead; None where this is no message to lie in."""
        begun = not self.engine or channel.views.digest != NOTHING_SEEN
        if not begun or channel.rounds < self.at - 1 or self.peer not in outgoing:
            return None
        message = bytearray(outgoing[self.peer])
        if self.size and len(message) != self.size:
            return None
        if self.cut:
            del message[self.place]
        else:
            message[self.place] ^= 1
        return {**outgoing, self.peer: bytes(message)}


def lying(find: Callable[[SessionChannel], Lie | None], told: Callable[[Lie], object]) -> Callable[..., object]:
    """SessionChannel.exchange of a party that tells the lies that are found for it; each session hears one."""
    original = SessionChannel.exchange

    async def exchange(
        channel: SessionChannel,
        outgoing: Mapping[int, Payload],
        incoming: Collection[int],
        seconds: float | None = None,
    ) -> dict[int, bytes]:
        lie = None if "lied" in channel.__dict__ else find(channel)
        if lie is not None and (instead := lie.told(channel, outgoing)) is not None:
            channel.__dict__["lied"], outgoing = True, instead
            told(lie)
        return await original(channel, outgoing, incoming, seconds)

    return exchange


class LyingCluster(Cluster):
    """Parties that can be made to lie."""

    def module(self, name: str) -> str:
        return "tests.attacks.lying" if name.startswith("party") else super().module(name)

    def lie(self, party: int, lie: Lie) -> None:
        """From now on, once or always."""
        file = self.lies(party)
        file.with_suffix(".new").write_text(json.dumps(asdict(lie)))
        file.with_suffix(".new").rename(file)

    def lies(self, party: int) -> Path:
        """The file that says what the party is to lie about, for as long as it is to."""
        return self.home / f"party{party}" / "lie"


def _main() -> None:
    file = Path(tomllib.loads(Path(sys.argv[2]).read_text())["data_dir"]) / "lie"

    def find(channel: SessionChannel) -> Lie | None:
        return Lie(**json.loads(file.read_text())) if file.exists() else None

    exchange = lying(find, lambda lie: None if lie.always else file.unlink())
    setattr(SessionChannel, "exchange", exchange)  # noqa: B010 -- it takes the same
    program.main()


if __name__ == "__main__":
    _main()
