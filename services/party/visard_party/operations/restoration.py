"""Recover: write the store of a party that has lost it anew, from the two others.

Functionality: helpers a and b hold F(a + 1) and F(b + 1); the target t gets F(t + 1) and nothing else; a and b get nothing.
Cost: a round for each page (200 references, 1,000 writes) and one for each million elements; each helper sends one element
for each stored one. Nothing that callers have written makes a message larger than a page.
Security: F(t + 1) = l_a F(a + 1) + l_b F(b + 1). Helper a sends l_a F(a + 1) + m and helper b sends l_b F(b + 1) - m, where m is
expanded from the key that a and b share and t does not know: what t sees is uniform but for its sum. Nobody learns anything by
lying, a target least of all.
Not covered: a helper that lies about its part. What both tell in pages is compared, so that names, models, writes and rights
are what both hold; but the parts of shares come from each alone, and no test among the three would find a wrong one: any two
shares lie on a line, and the target's own is gone. So a helper can shift what is restored by a vector that it chooses, without
knowing what it shifts.
Source: Shamir 1979 (interpolation); the masking is that of additive resharing.
"""

from typing_extensions import override
from visard_common.errors import InvalidArgument
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.helping import help_restore
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.receiving import receive
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


class Recover(Operation):
    """The target's store is written anew and takes the place of what it held; its kits are thrown away."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nothing may be written meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        return Prepared(asked)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        target = prepared.request.party
        restored = (
            receive(resources, channel) if resources.party == target else help_restore(resources, channel, target)
        )
        return Outcome(references_changed=await restored)

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        raise InvalidArgument.of("request.request_id", "fresh for every request")
