"""The dealer's service."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from visard_common.errors import InvalidArgument
from visard_common.identity import require_party
from visard_common.limits import MAX_KITS, MAX_PLAN_BYTES
from visard_engine.errors import PlanError
from visard_engine.kits import DealtKit, KitPlan
from visard_wire.v1 import dealer_pb2, dealer_pb2_grpc

from visard_dealer.factory import KitFactory
from visard_dealer.metrics import DELIVERED

_CHUNK = 1 << 20

Context = grpc.aio.ServicerContext[Any, Any]


class DealerServicer(dealer_pb2_grpc.DealerServicer):
    """Kit delivery to the three parties."""

    def __init__(self, factory: KitFactory) -> None:
        self._factory = factory

    async def Fetch(  # noqa: N802
        self, request: dealer_pb2.FetchRequest, context: Context
    ) -> AsyncIterator[dealer_pb2.KitChunk]:
        """The calling party's part of consecutive kits."""
        party = require_party(context)
        plan = _plan(request)
        for kit_id in range(request.first, request.first + request.count):
            for chunk in _chunks(plan, kit_id, await self._factory.kit(plan, kit_id), party):
                yield chunk
                DELIVERED.labels(party).inc(len(chunk.data))


def _plan(request: dealer_pb2.FetchRequest) -> KitPlan:
    if len(request.plan) > MAX_PLAN_BYTES:
        raise InvalidArgument.of("plan", f"at most {MAX_PLAN_BYTES} bytes")
    if not 1 <= request.count <= MAX_KITS:
        raise InvalidArgument.of("count", f"1 to {MAX_KITS}")
    if not 1 <= request.first < 1 << 62:
        raise InvalidArgument.of("first", "1 to 2^62 - 1")
    try:
        return KitPlan.parse(request.plan)
    except PlanError as error:
        raise InvalidArgument.of("plan", str(error)) from error


def _chunks(plan: KitPlan, kit_id: int, kit: DealtKit, party: int) -> Iterator[dealer_pb2.KitChunk]:
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
            yield dealer_pb2.KitChunk(data=bytes(corrections[start : start + _CHUNK]))
