"""From the wire to what callers receive: no message of protobuf leaves the client.

Classes of visard.results have the fields of the messages that they come from, by the same names.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from google.protobuf.message import Message
from visard_wire.v1 import common_pb2, gateway_pb2

from visard.results import (
    Attempts,
    Gallery,
    Held,
    Holdings,
    KitAudits,
    KitStock,
    LayerCost,
    ModelCost,
    ModelInfo,
    OperatingPoint,
    PartyCost,
    PartyStatus,
    PeerState,
    Report,
    Status,
    StoredReference,
    WorkerState,
)

T = TypeVar("T")


def taken(kind: type[T], message: Message, **others: object) -> T:
    """An instance with the message's fields of the same names, but for ``others``."""
    names = [field.name for field in fields(kind) if field.name not in others]  # type: ignore[arg-type]
    same: Mapping[str, Any] = {name: getattr(message, name) for name in names}
    return kind(**same, **others)


def gallery(message: gateway_pb2.Gallery) -> Gallery:
    """A gallery, as it is told of to this caller."""
    by_kind = {
        may: tuple(rule.callers for rule in message.rules if rule.may == may) for may in ("enrol", "verify", "search")
    }
    locks = [rule.callers for rule in message.rules if rule.may == "lock"]
    return taken(Gallery, message, **by_kind, lock_after=int(locks[0]) if locks and locks[0].isdecimal() else 0)


def status(message: gateway_pb2.GetStatusResponse) -> Status:
    """How the services are, with all that the three parties tell of themselves."""
    return taken(Status, message, parties=tuple(map(party_status, message.parties)))


def party_status(message: common_pb2.PartyStatus) -> PartyStatus:
    """How one party is, as it tells itself."""
    return taken(
        PartyStatus,
        message,
        peers=tuple(taken(PeerState, peer) for peer in message.peers),
        audits=taken(KitAudits, message.audits),
        stock=tuple(taken(KitStock, stock) for stock in message.stock),
        models=tuple(map(model_info, message.models)),
        attempts=tuple(taken(Attempts, allowed) for allowed in message.attempts),
        workers=tuple(taken(WorkerState, worker) for worker in message.workers),
    )


def model_info(message: common_pb2.ModelInfo) -> ModelInfo:
    """A published model, with what a run of it costs and its operating points."""
    layers = tuple(taken(LayerCost, layer, shape=tuple(layer.shape)) for layer in message.cost.layers)
    return taken(
        ModelInfo,
        message,
        input_shape=tuple(message.input_shape),
        output_shape=tuple(message.output_shape),
        cost=taken(ModelCost, message.cost, layers=layers),
        points=tuple(map(operating_point, message.points)),
    )


def operating_point(message: common_pb2.OperatingPoint) -> OperatingPoint:
    """A threshold of a model: on the wire a rate of 0 says that nobody knows it."""
    return taken(OperatingPoint, message, false_match_rate=message.false_match_rate or None)


def stored_reference(message: gateway_pb2.ReferenceInfo) -> StoredReference:
    """A reference of a subject: on the wire it expires at 0 when it never does."""
    return taken(StoredReference, message, expires_unix_ms=message.expires_unix_ms or None)


def holdings(message: gateway_pb2.AuditNode) -> Holdings:
    """What a party says that it holds below a prefix."""
    return taken(Holdings, message, rows=tuple(taken(Held, row) for row in message.rows))


def report(seconds: float, result: gateway_pb2.Result) -> Report:
    """What a request cost: ``seconds`` for the client, and what the result says of gateway and parties."""
    costs = tuple(
        PartyCost(
            party=r.party,
            engine_seconds=r.engine_seconds,
            cpu_seconds=r.cpu_seconds,
            queue_seconds=r.queue_seconds,
            rounds=r.rounds,
            sent_mb=r.sent_bytes / 1e6,
            kit_mb=r.kit_bytes / 1e6,
            peak_memory_mb=r.peak_rss_bytes / 1e6,
        )
        for r in result.reports
    )
    return Report(seconds, result.gateway_seconds, costs)
