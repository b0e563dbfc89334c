"""Three parties that count failures, in one process: their stores, and verifications whose descriptors are given."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from visard_common.errors import FailedPrecondition
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements, field_of
from visard_engine.kits import Kit
from visard_engine.nn.execute import Model
from visard_engine.session import Run
from visard_engine.shamir import reconstruct, share
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import locking
from visard_party.operations.counters import Counting
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.store.contents import Change, Name, Place, Reference, Rename, Right
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from tests.engine.asking import on_sphere, program, together
from tests.engine.harness import play

PLACE = Place("face", "doors")
RNG = np.random.default_rng(19)
ADA, STRANGER = RNG.normal(size=4), RNG.normal(size=4)
STRANGER -= ADA * (ADA @ STRANGER) / (ADA @ ADA)  # far from her
NOW = 1_000_000


class Kept:
    """A party's store, as much of it as is asked for here: rows in a list."""

    def __init__(self, rows: Sequence[Reference] = (), rules: Sequence[Right] = ()) -> None:
        self.rows, self.given = list(rows), list(rules)

    async def references(self, place: Place, subject: str) -> list[Reference]:
        found = [row for row in self.rows if (row.place, row.subject) == (place, subject)]
        return sorted(found, key=lambda row: row.reference_id)

    async def gallery(self, place: Place) -> list[Reference]:
        return sorted((row for row in self.rows if row.place == place), key=lambda row: row.reference_id)

    async def count(self, model: str) -> int:
        return sum(row.model == model for row in self.rows)

    async def model_page(self, model: str, after: str, limit: int) -> list[Reference]:
        return [row for row in self.rows if row.model == model][:limit]

    async def count_in(self, gallery: str) -> int:
        return sum(row.gallery == gallery for row in self.rows)

    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        return [row.name for row in self.rows if row.model == model and not row.live(before_unix_ms)]

    async def rules(self, gallery: str = "") -> list[Right]:
        return [rule for rule in self.given if rule.gallery == gallery]

    def made(self, write: Change | Rename) -> None:
        if isinstance(write, Change):
            gone = {*write.erase, *write.beside}
            self.rows = [row for row in self.rows if row.reference_id not in gone] + [*write.add]
            return
        moved = {*write.reference_ids, *write.beside}
        self.rows = [replace(r, subject=write.subject) if r.reference_id in moved else r for r in self.rows]


def request(number: int = 0, operation: int = common_pb2.OPERATION_VERIFY, **fields: Any) -> common_pb2.Request:
    times = {"sent_unix_ms": NOW, "expires_unix_ms": NOW + 60_000}
    named = {"subject": "ada", "model": PLACE.model, "gallery": PLACE.gallery, **times, **fields}
    return common_pb2.Request(request_id=number.to_bytes(16, "big"), operation=operation, **named)  # type: ignore[arg-type]


@dataclass
class Bench:
    """Three parties in one process, each with a store; the network is not evaluated: its descriptors are given."""

    q: int = 31
    allowed: int = 3
    stores: list[Kept] = field(default_factory=lambda: [Kept() for _ in range(3)])
    locked: list[dict[tuple[str, int], None]] = field(default_factory=lambda: [{} for _ in range(3)])
    asked: int = 0
    described: int = 0
    refused_writes: bool = False

    def __post_init__(self) -> None:
        words = field_of(self.q)
        network = program(self.q, "match")
        weights = np.zeros(network.weight_count, words.dtype)
        self.model = Published("face", 1, 1, Model(network, weights))
        for store, own in zip(self.stores, share(words, words.encode(on_sphere(self.q, ADA))), strict=True):
            if not store.rows:
                times = (1, 1, 0)
                store.rows = [
                    Reference("0" * 32, "ada", "face", 1, *times, b"", Secret(own.tobytes()), gallery=PLACE.gallery)
                ]

    def resources(self, party: int, probe: Elements) -> Resources:
        async def get(_: str) -> Published:
            return self.model

        async def describe(*_: Any) -> list[Elements]:
            self.described += 1
            return [probe]

        async def write(prepared: Prepared, _: Any, made: Change) -> int:
            if self.refused_writes:
                raise FailedPrecondition("the store is full")
            self.stores[party].made(made)
            return 1

        async def live(asked: common_pb2.Request, subject: str) -> list[Reference]:
            rows = await self.stores[party].references(Place.of(asked), subject)
            return [row for row in rows if row.live(asked.sent_unix_ms)]

        return cast(
            Resources,
            SimpleNamespace(
                party=party,
                store=self.stores[party],
                models=SimpleNamespace(get=get),
                batches=SimpleNamespace(describe=lambda _c, kits, *_: describe()),
                locked=self.locked[party],
                write=write,
                live=live,
            ),
        )

    async def verify(self, face: Any) -> bool:
        """One verification at all three parties; raises what they do."""
        self.asked += 1
        words, image = field_of(self.q), np.zeros((1, 2, 6, 6), field_of(self.q).dtype)
        probes = share(words, words.encode(on_sphere(self.q, face)))
        asked = Asked(request(self.asked, images=1), bytes(16), None, 1.0, lock_after=self.allowed)
        own = [self.resources(i, probes[i]) for i in range(3)]
        prepared = [await self.prepared(one, asked, image) for one in own]
        assert len({one.rows_digest for one in prepared}) == 1

        async def part(run: Run, kits: list[Kit]) -> ReplicatedBits | Exception:
            i = run.channel.party
            channel = Channel(run)
            try:
                return await locking.verified(
                    own[i], prepared[i], cast(Any, channel), [kits[0], *kits]
                )  # one of the network
            except FailedPrecondition as error:
                for kit in kits:
                    cast(Any, kit)._used = len(cast(Any, kit)._corrections[0])
                return error

        outcome = await play(prepared[0].plans[-1], part)
        if isinstance(outcome.results[0], Exception):
            raise outcome.results[0]
        (bit,) = together({i: bits.shared for i, bits in enumerate(outcome.results)}, 1)
        return bit

    @staticmethod
    async def prepared(resources: Resources, asked: Asked, image: Elements) -> Counting:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(locking, "images_to_match", lambda *_: image)
            found = await locking.prepared(resources, asked)
        assert isinstance(found, Counting)
        return found

    def failures(self) -> int:
        """What all three shares together say, which no party knows."""
        rows = [next((r for r in store.rows if r.gallery == PLACE.counting.gallery), None) for store in self.stores]
        shares = [np.frombuffer(row.descriptor.reveal(), field_of(self.q).dtype) for row in rows if row is not None]
        if not shares:
            return 0
        vector = field_of(self.q).decode(reconstruct(field_of(self.q), shares))
        assert sorted(vector)[-2:] == [0, 1]
        return int(vector.argmax())

    def copy(self) -> "Bench":
        stores = [Kept(store.rows) for store in self.stores]
        return replace(self, stores=stores, locked=[dict(one) for one in self.locked])


class Channel:
    """A session's channel, as much of it as a verification uses."""

    def __init__(self, run: Run) -> None:
        self._run, self.session, self.party = run, bytes(16), run.channel.party

    def begin_run(self, *seen: bytes) -> Run:
        for part in seen:
            self._run.views.saw(part)
        return self._run
