"""The dealer's service."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from visard_common.errors import FailedPrecondition, InvalidArgument
from visard_common.identity import require_party
from visard_common.kitchunks import Chunk, chunk
from visard_common.limits import MAX_KITS, MAX_PLAN_BYTES
from visard_engine.errors import PlanError
from visard_engine.kits import DealtKit, KitPlan
from visard_wire.v1 import dealer_pb2

from visard_dealer.factory import KitFactory
from visard_dealer.metrics import DELIVERED, REVEALED
from visard_dealer.reveals import Reveals

_CHUNK = 1 << 20

Context = grpc.aio.ServicerContext[Any, Any]


class DealerServicer:
    """Kit delivery to the three parties, and what they need to audit it."""

    def __init__(self, factory: KitFactory) -> None:
        self._factory = factory
        self._reveals = Reveals()

    async def Fetch(self, request: dealer_pb2.FetchRequest, context: Context) -> AsyncIterator[Chunk]:  # noqa: N802
        """The calling party's part of consecutive kits."""
        party = require_party(context)
        plan = _plan(request.plan)
        if not 1 <= request.count <= MAX_KITS:
            raise InvalidArgument.of("count", f"1 to {MAX_KITS}")
        _check_number("first", request.first)
        for kit_id in range(request.first, request.first + request.count):
            if self._reveals.shown((plan.digest, kit_id)):
                raise FailedPrecondition(f"kit {kit_id} was shown to all parties")
            for piece in _chunks(plan, kit_id, await self._factory.kit(plan, kit_id), party):
                yield piece
            DELIVERED.labels(party).inc(plan.correction_bytes)

    async def Reveal(  # noqa: N802
        self, request: dealer_pb2.RevealRequest, context: Context
    ) -> dealer_pb2.RevealResponse:
        """All seeds of a kit, once all three parties have asked for them."""
        party = require_party(context)
        plan = _plan(request.plan)
        _check_number("id", request.id)
        if not self._reveals.ask(party, (plan.digest, request.id)):
            return dealer_pb2.RevealResponse()
        kit = await self._factory.kit(plan, request.id)
        REVEALED.inc()
        return dealer_pb2.RevealResponse(seeds=kit.seeds)


def _plan(data: bytes) -> KitPlan:
    if len(data) > MAX_PLAN_BYTES:
        raise InvalidArgument.of("plan", f"at most {MAX_PLAN_BYTES} bytes")
    try:
        return KitPlan.parse(data)
    except PlanError as error:
        raise InvalidArgument.of("plan", str(error)) from error


def _check_number(field: str, number: int) -> None:
    if not 1 <= number < 1 << 62:
        raise InvalidArgument.of(field, "1 to 2^62 - 1")


def _chunks(plan: KitPlan, kit_id: int, kit: DealtKit, party: int) -> Iterator[Chunk]:
    """A party's part of a kit, piece by piece: three parties at once must not hold three copies."""
    keys = kit.keys(party)
    header = dealer_pb2.KitHeader(
        id=kit_id,
        plan_digest=plan.digest,
        seed_own=keys.own,
        seed_previous=keys.previous,
        size=plan.correction_bytes,
        tag=kit.tag,
    )
    yield dealer_pb2.KitChunk(header=header)
    for corrections in kit.part(party):
        for start in range(0, len(corrections), _CHUNK):
            yield chunk(corrections[start : start + _CHUNK])
