"""Requests to services of which one party lies: in the messages by which they agree, batch, compute and decide writes."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from visard.capture import Chip
from visard.client import Client, Connection
from visard.cluster import free_port_base
from visard.errors import DeadlineExceeded, InternalError, NotFound, VisardError
from visard.owner import bring, publish

from tests.attacks.campaign.engine import ABORTED, HUNG, RIGHT, WRONG
from tests.attacks.campaign.plan import RUNS, Report
from tests.attacks.campaign.turncoat import ENGINE, HOWS, Order, TurncoatCluster
from tests.conftest import UNLIMITED
from tests.engine.liar import AGREEMENT
from tests.waiting import PATIENCE, at_rest, until

SHAPE = (3, 12, 12)
BLOCKS = 6  # of one grey a picture's side: what is left of a chip at the model's size
MATCHING, OPENED = "face", "opened"
OPERATIONS = ("verify", "identify", "enrol", "run")
SECONDS = 40.0  # for a request; a party waits for a message for a tenth of that
OPTIONS = UNLIMITED | {"peer_timeout": "4.0", "run_timeout": "20.0"}
FRESH = "newcomer"
TURN = 12  # one lie in so many is about the state of a write
SPOILT = 15  # and in one request of so many a stored share is another
STATES = ("COMMITTED", "DROPPED", "COMMITTED", "UNKNOWN")
Rows = dict[str, tuple[str, bytes]]
T = TypeVar("T")


def chip(seed: int) -> Chip:
    """A picture of somebody who is known by its blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS, BLOCKS, 3), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((25, 25, 1), np.uint8)).astype(np.uint8)
    return Chip(pixels, pixels)


def module(*, opens: bool) -> nn.Module:
    """The network of a model."""
    torch.manual_seed(1)
    entry = nn.Conv2d(3, 2, 3)
    last = [] if opens else [nn.Flatten(), nn.Linear(50, 4)]
    made = nn.Sequential(entry, nn.MaxPool2d(2), nn.ReLU(), *last).eval().requires_grad_(False)
    entry.weight.div_(32)
    return made


@dataclass(frozen=True)
class Sent:
    """A message of an operation: which of a party's, by its number, and to whom."""

    operation: str
    party: int
    nth: int
    kind: str
    peers: tuple[int, ...]


@dataclass
class Services:
    """A cluster whose parties lie when they are told to, with two models and two who are enrolled."""

    cluster: TurncoatCluster
    client: Client
    number: int = 0
    sent: list[Sent] = field(default_factory=list)

    async def prepare(self) -> None:
        """Publish, enrol, and write down what honest parties send."""
        async with Client(Connection.from_home(self.cluster.home, "owner"), deadline=PATIENCE) as owner:
            for name, opens in ((MATCHING, False), (OPENED, True)):
                points = None if opens else {"default": self._distance()}
                made = bring.compile_own(module(opens=opens), SHAPE, points=points, opens=opens)
                await publish.publish(owner, name, made, allow_loose=True)
        for seed in (1, 2):
            await self._patiently(lambda seed=seed: self.client.enrol(f"subject-{seed}", [chip(seed)]))  # type: ignore[misc]
        for operation in OPERATIONS:
            self.sent += await self._patiently(lambda operation=operation: self._recorded(operation))  # type: ignore[misc]
            await self._patiently(self._forget)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What honest parties answer, on however busy a machine; raises VisardError."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return await work()
            except VisardError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.3)

    async def _recorded(self, operation: str) -> list[Sent]:
        """What honest parties send."""
        await at_rest(self.client)
        for party in range(3):
            self.cluster.sent(party)
            self._order(party, record=True)
        try:
            assert await self._right(operation, None), f"an honest {operation}"
        finally:
            for party in range(3):
                self._order(party)
        sent = [(party, n, *said) for party in range(3) for n, said in enumerate(self.cluster.sent(party))]
        return [Sent(operation, party, n, kind, tuple(to)) for party, n, kind, to in sent]

    def _distance(self) -> float:
        """Half of that between the nearest two of those whom we ask about."""
        inputs = [torch.from_numpy(_small(seed)).float()[None] for seed in (1, 2, 3, 4)]
        found = functional.normalize(torch.cat([module(opens=False)(one) for one in inputs]))
        apart = torch.cdist(found, found)
        return float(apart[apart > 0].min()) / 2

    def _order(self, party: int, **order: Any) -> None:
        self.number += 1
        self.cluster.order(party, Order(self.number, **order))

    async def _right(self, operation: str, seed: int | None) -> bool:
        """Ask, of the first one enrolled or of somebody else, and say whether the answer is right; raises VisardError."""
        self.client.model = OPENED if operation == "run" else MATCHING
        known = seed is None or seed % 2 == 0
        asked = chip(1 if known else 3)
        match operation:
            case "verify":
                return (await self.client.verify("subject-1", asked)).match is known
            case "identify":
                return (await self.client.identify(asked, operating_point="default")).subject == (
                    "subject-1" if known else None
                )
            case "enrol":
                return len((await self.client.enrol(FRESH, [chip(4)])).references) == 1
        values = (await self.client.run(asked.pixels)).values
        expected = module(opens=True)(torch.from_numpy(_small(1 if known else 3)).float()[None])[0].numpy()
        return values.shape == expected.shape and bool(np.abs(values - expected).max() < 0.1)

    async def _forget(self) -> None:
        self.client.model = MATCHING
        with suppress(NotFound):
            await self.client.delete(FRESH)

    def rows(self, party: int) -> Rows:
        """What a party shows: by reference id its subject and its share."""
        with closing(self._database(party)) as db:
            found = db.execute("SELECT reference_id, subject, descriptor FROM refs WHERE visible").fetchall()
        return {name: (subject, share) for name, subject, share in found}

    def pending(self, party: int) -> int:
        """How many writes are undecided at a party."""
        with closing(self._database(party)) as db:
            return int(db.execute("SELECT count(*) FROM writes WHERE state = 2").fetchone()[0])

    def _database(self, party: int) -> sqlite3.Connection:
        return sqlite3.connect(self.cluster.home / f"party{party}" / "visard.sqlite", timeout=60)

    async def run(self, seed: int) -> Report:
        """The request of this seed."""
        k = seed % RUNS
        if k % SPOILT == SPOILT - 1:
            return await self.spoilt(seed, k // SPOILT % 3)
        return await self.lied(seed, *planned(self, seed))

    async def lied(self, seed: int, sent: Sent, order: Order) -> Report:
        """One request with one lie: what became of it and of the stores, and an honest one after it."""
        await at_rest(self.client)
        before = [self.rows(party) for party in range(3)]
        self.number += 1
        self.cluster.order(sent.party, replace(order, number=self.number))
        became, why = await self._asked(sent.operation, seed)
        honest = [party for party in range(3) if party != sent.party]
        if order.reports:  # as long as it lies, nobody may believe it; afterwards nothing stays undecided
            await asyncio.sleep(3 * 2.0)  # the parties ask every two seconds
            if became == ABORTED and [self.rows(p) for p in honest] != [before[p] for p in honest]:
                became, why = WRONG, f"stored on the word of one, after {why}"
        self._order(sent.party)
        trouble = await self._trouble(became, honest, before)
        to = f" to {list(order.peers)}" if order.nth >= 0 else ""
        what = (
            f"{sent.operation} of services, party {sent.party}: {order.how}: {sent.kind}{to} {order.reports}".rstrip()
        )
        return Report(seed, what, sent.kind.removeprefix(ENGINE), *(trouble or (became, why)))

    async def _asked(self, operation: str, seed: int) -> tuple[str, str]:
        try:
            async with asyncio.timeout(SECONDS * 1.5):
                return (RIGHT, "") if await self._right(operation, seed) else (WRONG, "another answer")
        except (TimeoutError, DeadlineExceeded) as error:
            return HUNG, f"{type(error).__name__}"
        except InternalError as error:
            return WRONG, f"no clean status: {error}"
        except VisardError as error:
            return ABORTED, f"{type(error).__name__}: {error}"

    async def _trouble(self, became: str, honest: Sequence[int], before: Sequence[Rows]) -> tuple[str, str] | None:
        """What is wrong after a request: with the stores, or with the next request; None if nothing is."""
        try:
            await until(lambda: not any(self.pending(party) for party in range(3)))
        except TimeoutError:
            return HUNG, "a write stays undecided"
        after = [self.rows(party) for party in range(3)]
        names = [{name: subject for name, (subject, _) in rows.items()} for rows in after]
        if names[0] != names[1] or names[1] != names[2]:
            return WRONG, f"the parties hold different references after {became}"
        fresh = [name for name, subject in names[0].items() if subject == FRESH]
        for party in honest:
            if {k: v for k, v in after[party].items() if k not in fresh} != before[party]:
                return WRONG, "what was stored before is another"
        return await self._next(bool(fresh))

    async def _next(self, enrolled: bool) -> tuple[str, str] | None:
        try:
            return await self._patiently(lambda: self._afterwards(enrolled))
        except VisardError as error:
            return HUNG, f"no honest request is served any more: {error}"

    async def _afterwards(self, enrolled: bool) -> tuple[str, str] | None:
        if not await self._right("verify", None):
            return WRONG, "the next request is answered wrong"
        if enrolled and not (await self.client.verify(FRESH, chip(4))).match:
            return WRONG, "somebody else was enrolled"
        await self._forget()
        return None

    async def spoilt(self, seed: int, party: int) -> Report:
        """A stored reference is another at one party; then it is put back."""
        await at_rest(self.client)
        before = [self.rows(i) for i in range(3)]
        name = next(name for name, (subject, _) in before[party].items() if subject == "subject-1")
        share = bytearray(before[party][name][1])
        share[4 * (seed % (len(share) // 4))] ^= 1
        self._put(party, name, bytes(share))
        became, why = await self._asked("verify", seed)
        self._put(party, name, before[party][name][1])
        trouble = await self._trouble(became, range(3), before)
        return Report(
            seed, f"verify of services, party {party}: a stored share is another", "", *(trouble or (became, why))
        )

    def _put(self, party: int, name: str, share: bytes) -> None:
        with closing(self._database(party)) as db, db:
            db.execute("UPDATE refs SET descriptor = ? WHERE reference_id = ?", (share, name))


def _small(seed: int) -> np.ndarray:
    """A chip as the model sees it."""
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS, BLOCKS, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((2, 2, 1), np.uint8)).transpose(2, 0, 1)


def planned(services: Services, seed: int) -> tuple[Sent, Order]:
    """The lie of this seed: about every message that is none of the engine's first, then about any; and of what became of a
    write, which was staged at one honest party while the other has given it up."""
    campaign, k = divmod(seed, RUNS)
    reports, place = divmod(k, TURN)
    if not place:
        last = [one for one in services.sent if one.operation == "enrol" and one.kind == f"{ENGINE}{AGREEMENT}"]
        sent = last[(campaign + reports) % len(last)]
        return sent, Order(0, sent.nth, (sent.peers[reports // 3 % 2],), "flipped", STATES[reports % len(STATES)])
    rng = np.random.default_rng(campaign)
    others = [one for one in services.sent if not one.kind.startswith(ENGINE)]
    others = [others[n] for n in rng.permutation(len(others))]
    first = [(sent, HOWS[n % len(HOWS)]) for n, sent in enumerate(others)]
    rest = [one for one in product(services.sent, HOWS) if one not in first]
    k -= reports + 1
    sent, how = first[k] if k < len(first) else rest[int(rng.permutation(len(rest))[(k - len(first)) % len(rest)])]
    peers = [sent.peers, sent.peers[:1], sent.peers[-1:]][int(np.random.default_rng(seed).integers(3))]
    return sent, Order(0, sent.nth, peers, how)


def reports(seeds: Sequence[int]) -> Iterator[Report]:
    """A request each to services of their own; those after one that is bad would say nothing, and are not made."""
    with tempfile.TemporaryDirectory() as home, asyncio.Runner() as runner:
        cluster = TurncoatCluster(Path(home), free_port_base(), options=OPTIONS)
        cluster.prepare()
        client = Client(Connection.from_home(cluster.home), deadline=SECONDS, retry=False)
        try:
            cluster.start()
            runner.run(client.__aenter__())
            services = Services(cluster, client)
            runner.run(services.prepare())
            for seed in seeds:
                yield (report := runner.run(services.run(seed)))
                if report.bad:
                    return
        finally:
            runner.run(client.__aexit__())
            cluster.stop()
