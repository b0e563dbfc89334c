"""What writes to rights have in common: those of callers to subjects, and the rules of galleries."""

from typing_extensions import override
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


class Ruling(Operation):
    """A write to the rights, of which nothing is told but that it is done."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may be changing meanwhile what a right decides."""
        return True

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert prepared.write is not None
        await resources.write(prepared, channel, prepared.write)
        return Outcome()

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome()
