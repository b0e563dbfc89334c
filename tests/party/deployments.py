"""Two deployments of three linked parties each, in one process: what an export and an import need, and nothing more."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from visard import certs
from visard_common.limits import FOLLOWERS, LEADER, SESSION_BYTES
from visard_engine.field import M31, Elements
from visard_engine.nn.execute import Model
from visard_engine.nn.program import Program
from visard_party.config import Partner
from visard_party.consistency.writes import Writes
from visard_party.intake.asked import Asked
from visard_party.intake.deposits import Deposit
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.models import Published
from visard_party.operations import OPERATIONS
from visard_party.operations.abroad import Abroad
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.runs.agreement import Terms
from visard_party.store.base import Store, restored
from visard_party.store.contents import ModelRecord, Page, Place, Reference
from visard_party.store.sqlite import SqliteStore
from visard_wire.crossing import record, share_for
from visard_wire.limits import SERIES_BYTES
from visard_wire.sealing import Context, new_reply_key
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, crossing_pb2

from tests.engine.nn.test_program import CONV, TAIL, program
from tests.party.harness import LinkedParty, linked, tls

PROGRAM: Program = program(CONV, *TAIL, q=31)
SIZE = PROGRAM.output.size
ADMIN = "admin/ops"
RNG = np.random.default_rng(5)
# what a party sends in a round to a peer, given what it would send
Lie = Callable[[int, int, int, bytes], bytes]


def uniform(size: int) -> Elements:
    """Elements."""
    return RNG.integers(0, M31.p, size, dtype=np.uint64).astype(M31.dtype)


def shared(secret: Elements) -> list[Elements]:
    """Three shares of degree 1."""
    slope = uniform(secret.size)
    return [M31.add(secret, M31.scale(slope, at)) for at in (1, 2, 3)]


def opened(shares: Sequence[Elements]) -> Elements:
    """The secret that each two of three shares lie on a line with."""
    one = M31.subtract(M31.scale(shares[0], 2), shares[1])
    other = M31.subtract(M31.scale(shares[1], 3), M31.scale(shares[2], 2))
    assert np.array_equal(one, other), "three shares of degree 1"
    return one


def held(weights: Elements, rows: Sequence[tuple[Reference, Elements]]) -> list[Page]:
    """What each of three parties holds: a network, and references with their descriptors."""
    of_weights = shared(weights)
    descriptors = [shared(descriptor) for _, descriptor in rows]

    def page(party: int) -> Page:
        references = [
            Reference(**{**vars(row), "descriptor": Secret(shares[party].tobytes())})
            for (row, _), shares in zip(rows, descriptors, strict=True)
        ]
        model = ModelRecord("face", PROGRAM.to_json(), 1, 5, Secret(of_weights[party].tobytes()))
        return Page(references, [model])

    return [page(party) for party in range(3)]


def row(number: int, subject: str = "", **others: Any) -> tuple[Reference, Elements]:
    """A reference, and its descriptor."""
    fields: dict[str, Any] = {"metadata": b"note", "enrolled_by": "enroller/kiosk-7"} | others
    times = 10 + number, 20 + number, fields.pop("expires", 0)
    named = Reference(f"{number:032x}", subject or f"p{number}", "face", 3, *times, descriptor=Secret(b""), **fields)
    return named, uniform(SIZE)


class Shelf:
    """The one model of a party."""

    def __init__(self, record: ModelRecord) -> None:
        weights = np.frombuffer(record.weights.reveal(), M31.dtype)
        self.model = Published(record.name, record.version, record.created_unix_ms, Model(PROGRAM, weights))

    async def get(self, name: str) -> Published:
        """It."""
        assert name == "face"
        return self.model


class Deployment:
    """Three parties with their stores, and who may send here and from here."""

    def __init__(
        self, folder: Path, parties: Sequence[LinkedParty], stores: Sequence[Store], pages: Sequence[Page]
    ) -> None:
        self.pki = folder / "pki"
        self.stores = stores
        self.parties = parties
        self.resources: list[Resources] = []
        self.config = [
            SimpleNamespace(index=party, tls=tls(self.pki, f"party{party}"), export_to={}, import_from={})
            for party in range(3)
        ]
        for party, (link, store, page) in enumerate(zip(parties, stores, pages, strict=True)):
            keys = SealingKeys(party, self.config[party].tls, folder / f"sealing{party}", 1.0)
            rest: Any = dict.fromkeys(("stock", "galleries", "attempts", "batches", "workers"))
            self.resources.append(
                Resources(
                    party=party,
                    store=store,
                    models=cast(Any, Shelf(page.models[0])),
                    writes=Writes(store, link.links),
                    keys=keys,
                    abroad=Abroad(cast(Any, self.config[party]), store),
                    max_references=1000,
                    **rest,
                )
            )

    def pins(self, field: str, name: str, other: "Deployment", parties: Sequence[int] = (0, 1, 2)) -> None:
        """Let these parties' operators name another deployment."""
        for party in parties:
            getattr(self.config[party], field)[name] = Partner({"ca": other.pki / "ca.pem"})

    def recipients(self) -> list[common_pb2.PartyKey]:
        """The parties' sealing keys."""
        return [one.keys.offered() for one in self.resources]

    async def run(
        self,
        request: common_pb2.Request,
        shares: Sequence[bytes],
        lie: Lie | None = None,
        callers: Sequence[str] = (ADMIN,) * 3,
        nodding: bool = False,
    ) -> list[Any]:
        """How a request ended at each party: its outcome, or why not; ``lie`` changes what the parties send.

        With ``nodding`` party 0 tells each of the others that it has seen the same.
        """
        session = os.urandom(SESSION_BYTES)
        channels = [SessionChannel(party.links, session, 20) for party in self.parties]
        for channel in channels if lie is not None else ():
            _lying(channel, cast(Lie, lie))
        try:
            return await asyncio.gather(
                *(self._one(request, *of_one, nodding) for of_one in zip(shares, channels, callers, strict=True)),
                return_exceptions=True,
            )
        finally:
            for channel in channels:
                channel.close()

    async def _one(
        self, request: common_pb2.Request, share: bytes, channel: SessionChannel, caller: str, nodding: bool
    ) -> Outcome:
        """One party's run, with what matters of the agreement before it: party 0 tells the others, who look."""
        try:
            prepared = await self.prepared(request, share, channel.party, caller)
            own = json.dumps(asdict(Terms.of(prepared))).encode()
            if channel.party == LEADER:
                await channel.exchange(dict.fromkeys(FOLLOWERS, own), [])
            else:
                told = (await channel.exchange({}, [LEADER]))[LEADER]
                assert nodding or told == own, "the parties would not begin"
            return await OPERATIONS[request.operation].perform(self.resources[channel.party], prepared, channel, [])
        except Exception as error:
            channel.abort("ABORTED", str(error))
            raise

    async def prepared(self, request: common_pb2.Request, share: bytes, party: int, caller: str = ADMIN) -> Prepared:
        """A request as one party is about to run it."""
        context = Context.from_request(request)
        deposit = Deposit(request, context, new_reply_key(), Secret(share), b"", caller=caller)
        asked = Asked(request, context.digest, deposit, 20)
        return await OPERATIONS[request.operation].prepare(self.resources[party], asked)

    async def exports(
        self, to: "Deployment", name: str = "there", after: str = "", lie: Lie | None = None, **others: Any
    ) -> list[Any]:
        """How an export ended at each party."""
        terms = crossing_pb2.ExportTerms(recipients=to.recipients(), after=after, series=bytes(SERIES_BYTES))
        ask = asking(common_pb2.OPERATION_EXPORT, deployment=name, **others)
        return await self.run(ask, [terms.SerializeToString()] * 3, lie)

    async def page(self, to: "Deployment", after: str = "") -> crossing_pb2.CrossingRecord:
        """An exported page."""
        return recorded(await self.exports(to, after=after))

    async def imports(
        self, page: crossing_pb2.CrossingRecord, name: str = "here", lie: Lie | None = None, **others: Any
    ) -> list[Any]:
        """How the import of a page ended at each party."""
        ask = asking(common_pb2.OPERATION_IMPORT, deployment=name, **others)
        return await self.run(ask, [share_for(party, page).SerializeToString() for party in range(3)], lie)

    async def stored(self, gallery: str = "default") -> list[tuple[Reference, Elements]]:
        """What the three parties hold together."""
        rows = [await store.gallery(Place("face", gallery)) for store in self.stores]
        return [
            (of_all[0], opened([np.frombuffer(one.descriptor.reveal(), M31.dtype) for one in of_all]))
            for of_all in zip(*rows, strict=True)
            if len({one.name for one in of_all}) == 1
        ]


def asking(operation: int, **fields: Any) -> common_pb2.Request:
    """An administrator's request that begins now."""
    now = time.time_ns() // 1_000_000
    told: dict[str, Any] = {"model": "face", "sent_unix_ms": now, "expires_unix_ms": now + 300_000} | fields
    return common_pb2.Request(operation=cast(Any, operation), **({"request_id": os.urandom(16)} | told))


def recorded(outcomes: Sequence[Any]) -> crossing_pb2.CrossingRecord:
    """The page that three parties have answered with."""
    assert all(isinstance(one, Outcome) for one in outcomes), outcomes
    return record([crossing_pb2.CrossingPart.FromString(one.sealed.crossing) for one in outcomes])


def _lying(channel: SessionChannel, lie: Lie) -> None:
    honest = channel.exchange

    async def exchange(outgoing: Any, incoming: Any, seconds: float | None = None) -> dict[int, bytes]:
        sent = {
            peer: lie(channel.party, channel.rounds + 1, peer, bytes(payload)) for peer, payload in outgoing.items()
        }
        return await honest(sent, incoming, seconds)

    channel.exchange = exchange  # type: ignore[method-assign]


@asynccontextmanager
async def deployment(folder: Path, pages: Sequence[Page]) -> AsyncIterator[Deployment]:
    """Three linked parties that hold these pages."""
    pki = folder / "pki"
    if not pki.exists():
        certs.init(pki)
    async with AsyncExitStack() as stack:
        stores = []
        for party, page in enumerate(pages):
            store = await SqliteStore.open(folder / f"party{party}", party)
            stack.push_async_callback(store.close)
            await restored(store, page)
            stores.append(store)
        yield Deployment(folder, await stack.enter_async_context(linked(pki)), stores, pages)


@asynccontextmanager
async def two(
    folder: Path, rows: Sequence[tuple[Reference, Elements]], there: Sequence[tuple[Reference, Elements]] = ()
) -> AsyncIterator[tuple[Deployment, Deployment]]:
    """A source with these references and a destination with those, with one network; their operators have named each other."""
    weights = uniform(PROGRAM.weight_count)
    async with (
        deployment(folder / "here", held(weights, rows)) as here,
        deployment(folder / "there", held(weights, there)) as away,
    ):
        here.pins("export_to", "there", away)
        away.pins("import_from", "here", here)
        yield here, away
