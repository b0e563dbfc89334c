"""The requests of a batch, each with what it brings; and the evaluation of their network, all at once."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from visard_common.errors import Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.describe import describe_each
from visard_engine.errors import InputRefused, ProtocolError
from visard_engine.field import Elements
from visard_engine.kits import Kit

from visard_party.metrics import BATCH_IMAGES
from visard_party.models import Published
from visard_party.peers.channel import SessionChannel


@dataclass(eq=False)
class Member:
    """A request's images, their kits, and the future of their descriptors."""

    channel: SessionChannel
    kits: Sequence[Kit]
    model: Published
    images: Elements = field(repr=False)
    descriptors: "asyncio.Future[list[Elements]]" = field(
        repr=False, default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    since: float = field(default_factory=time.monotonic)
    rounds: int = 0  # of the engine, that its request has been through before

    @property
    def network(self) -> object:
        """What it goes through: a version of a model; a name that was withdrawn and published again is another model."""
        return self.model.name, self.model.created_unix_ms, self.model.version

    @property
    def size(self) -> int:
        """How many images it has."""
        return len(self.images)

    def begin(self) -> None:
        """Its turn has come; the call was a part of the agreement, not a round of the engine."""
        self.channel.begin_engine()
        self.channel.add_cost(self.rounds, 0)
        self.channel.add_wait(time.monotonic() - self.since)

    def fail(self, error: BaseException) -> None:
        """End it without descriptors, for this reason; nothing where it has ended already."""
        if not self.descriptors.done():
            self.descriptors.set_exception(error)

    def answer(self, found: list[Elements | InputRefused], channel: SessionChannel, part: float) -> None:
        """The member's descriptors, unless one of its images is refused, and its part of what the batch has cost."""
        self.channel.add_cost(channel.rounds, int(part * channel.sent_bytes))
        for refused in found:
            if isinstance(refused, InputRefused):
                self.fail(refused)
        if not self.descriptors.done():
            self.descriptors.set_result([output for output in found if not isinstance(output, InputRefused)])


async def evaluate(channel: SessionChannel, members: list[Member]) -> None:
    """Evaluate the network on all members' images, one after the other, and give each its own descriptors.

    Raises EngineError; an image that is refused ends its member alone. What comes out is verified, and all three parties have
    seen the same: a party that deviates spoils the answers of all that ride together, and of nobody else.
    """
    for member in members:
        member.begin()
    if not members:
        return
    if len({member.network for member in members}) > 1:
        raise ProtocolError("the leader calls requests of several networks to one batch")
    kits = [kit for member in members for kit in member.kits]
    images = np.concatenate([member.images for member in members])
    BATCH_IMAGES.observe(len(images))
    channel.begin_engine()
    model = members[0].model
    run = channel.begin_run(model.publication, model.version.to_bytes(8, "big"), *(m.channel.session for m in members))
    found = await describe_each(run, kits, model.model, images)
    for member in members:
        member.answer(found[: member.size], channel, member.size / len(images))
        found = found[member.size :]


def given_up() -> Unavailable:
    """What a member is told that is not taken along, or whose batch has ended without it."""
    return Unavailable("a party gave the request up", retry_after=RETRY_SECONDS)


def chosen_of(members: Sequence[Member | None], taken: Sequence[bool]) -> list[Member]:
    """The members that are taken along; the others are told that they are not."""
    for member, chosen in zip(members, taken, strict=True):
        if member is not None and not chosen:
            member.fail(given_up())
    return [member for member, chosen in zip(members, taken, strict=True) if member is not None and chosen]
