"""What every operation offers to a run, and what those that write nothing have in common.

Three things are called after operations, and none is another: ``common_pb2.Operation`` is the number in a request;
``visard_common.operations.Declared`` says of each what a request may hold, who may ask and what it costs, for gateway and
parties alike; ``Operation`` here is how a party does it, and visard_party.operations.OPERATIONS has one for each number.
"""

from typing import Protocol

from typing_extensions import override
from visard_common.errors import InvalidArgument
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


class Operation(Protocol):
    """How a party does one operation. ``exclusive`` ones go on while no other write of theirs does (party 0 sees to it)."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Whether no enrolment may be under way while this request is: asked at party 0, and of writes alone."""

    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        """Read what the request is about, before the parties agree to start; nothing is changed.

        Raises ServiceFault naming what is missing, StoreError.
        """

    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        """Compute with the other parties and make the writes, with one kit for each plan that was prepared.

        Raises ServiceFault, EngineError, StoreError.
        """

    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        """The outcome of a write that was made before, again; raises InvalidArgument where nothing is written."""


class Reading(Operation):
    """An operation that writes nothing, or a count alone: never asked about again, never exclusive."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        return False

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        raise InvalidArgument.of("request.request_id", "fresh for every request")
