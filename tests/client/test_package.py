"""What users import is all that they can receive or catch, no message of the wire among it; it works without async, too."""

import asyncio
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import numpy as np
import pytest
import visard
from google.protobuf.message import Message
from visard import auditlog, received, results
from visard.capture import Chip
from visard.client import Connection
from visard.errors import InvalidRequest, NotFound, VisardError
from visard.sync import SyncClient
from visard_common import errors as faults
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.client.double import serving

PIXELS = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
CHIP = Chip(PIXELS, PIXELS)


async def sync_client__should_answer_in_a_thread_without_a_loop(tmp_path: Path) -> None:
    def work(connection: Connection) -> tuple[bool, int, str]:
        with SyncClient(connection) as client:
            found = client.verify("ann", CHIP).match, len(client.subjects())
            double.faults = [faults.NotFound("no subject")]
            with pytest.raises(NotFound) as caught:
                client.delete("bob")
            return *found, str(caught.value)

    async with serving(tmp_path / "certs") as (double, connection):
        assert await asyncio.to_thread(work, connection) == (True, 3, "no subject")


def connection__should_name_the_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"client\.toml"):
        Connection.from_home(tmp_path)


def public(kind: type) -> Iterator[Any]:
    """The public methods of a class, and what its public properties call."""
    for name, member in inspect.getmembers(kind):
        found = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isroutine(found):
            yield found


def mentioned(hint: Any) -> Iterator[Any]:
    """An annotation, and what stands in its brackets."""
    yield hint
    for inner in get_args(hint):
        yield from (part for each in (inner if isinstance(inner, list) else [inner]) for part in mentioned(each))


def reached() -> set[type]:
    """Every class that the clients take or give, and those that these are made of."""
    seen = set[type]()
    waiting = [kind for kind in exported() if not issubclass(kind, Exception)]
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        if kind.__module__.partition(".")[0] in ("visard", "visard_wire"):
            hints = [get_type_hints(kind), *(get_type_hints(member) for member in public(kind))]
            found = (part for hint in hints for each in hint.values() for part in mentioned(each))
            waiting += [part for part in found if isinstance(part, type)]
    return seen


def exported() -> list[type]:
    return [found for name in visard.__all__ if isinstance(found := getattr(visard, name), type)]


def tree(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield from (child, *tree(child))


def every_exported_name__should_be_there() -> None:
    assert visard.__all__ == sorted(visard.__all__)
    for name in visard.__all__:
        assert getattr(visard, name)
    with pytest.raises(AttributeError):
        _ = visard.nothing


def whatever_clients_take_or_give__should_be_exported() -> None:
    ours = {kind for kind in reached() if kind.__module__.partition(".")[0] in ("visard", "visard_wire")}
    assert {visard.SyncAdmin, visard.Status, visard.ModelCost, visard.Entry, visard.Held} <= ours
    assert ours <= set(exported())


def every_class_of_results__should_be_frozen_and_exported() -> None:
    found = (item for module in (results, auditlog) for item in vars(module).items() if not item[0].startswith("_"))
    made = {cast(Any, kind) for _, kind in found if dataclasses.is_dataclass(kind)}
    assert all(kind.__dataclass_params__.frozen for kind in made)
    assert made <= set(exported())


def messages_of_the_wire__should_not_leave_the_client() -> None:
    leaks = {kind for kind in reached() if issubclass(kind, Message) or kind.__module__.startswith("visard_wire.v1")}
    assert leaks == set()


def every_error__should_be_exported() -> None:
    for module in pkgutil.walk_packages(visard.__path__, "visard."):
        if not module.name.startswith(("visard.cli", "visard.owner", "visard.__main__")):
            importlib.import_module(module.name)
    found = {kind for kind in tree(VisardError) if kind.__module__.startswith(("visard.", "visard_wire."))}
    assert len(found) > 25
    assert found | {VisardError} <= set(exported())


@pytest.mark.parametrize(
    ("kind", "message", "others"),
    [
        (visard.Status, gateway_pb2.GetStatusResponse, set()),
        (visard.PartyStatus, common_pb2.PartyStatus, set()),
        (visard.PeerState, common_pb2.PeerState, set()),
        (visard.KitStock, common_pb2.KitStock, set()),
        (visard.KitAudits, common_pb2.KitAudits, set()),
        (visard.WorkerState, common_pb2.WorkerState, set()),
        (visard.Attempts, common_pb2.Attempts, set()),
        (visard.ModelInfo, common_pb2.ModelInfo, {"operating_points"}),  # the names of the points, which say more
        (visard.OperatingPoint, common_pb2.OperatingPoint, set()),
        (visard.ModelCost, common_pb2.ModelCost, set()),
        (visard.LayerCost, common_pb2.LayerCost, set()),
        (visard.StoredReference, gateway_pb2.ReferenceInfo, set()),
        (visard.SubjectCount, gateway_pb2.Subject, set()),
        (visard.Right, gateway_pb2.Right, set()),
        (visard.Holdings, gateway_pb2.AuditNode, set()),
        (visard.Held, gateway_pb2.AuditRow, set()),
    ],
)
def result__should_have_all_that_its_message_says(kind: type, message: Any, others: set[str]) -> None:
    told = {field.name for field in message.DESCRIPTOR.fields}
    assert {field.name for field in dataclasses.fields(kind)} == told - others


def status__should_be_taken_from_the_wire_as_it_is() -> None:
    point = common_pb2.OperatingPoint(name="default", distance=0.5)
    cost = common_pb2.ModelCost(rounds=3, layers=[common_pb2.LayerCost(kind="conv", shape=[1, 2, 3])])
    model = common_pb2.ModelInfo(name="face", input_shape=[3, 150, 150], output_shape=[128], cost=cost, points=[point])
    party = common_pb2.PartyStatus(
        party=1, reason="waits", peers=[common_pb2.PeerState(party=2, connected=True)], models=[model], runs_active=2
    )
    told = received.status(gateway_pb2.GetStatusResponse(version="1", parties=[party]))
    assert (told.ready, told.version, told.parties[0].reason, told.parties[0].runs_active) == (False, "1", "waits", 2)
    assert told.parties[0].peers == (visard.PeerState(2, True, "", False),)
    (info,) = told.parties[0].models
    assert (info.input_shape, info.points) == ((3, 150, 150), (visard.OperatingPoint("default", 0.5, None),))
    assert (info.cost.rounds, info.cost.layers[0].shape) == (3, (1, 2, 3))
    assert hash(told), "frozen through and through"
