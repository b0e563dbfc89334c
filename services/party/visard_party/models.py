"""The published models at this party: programs, and weight shares prepared for the engine once."""

import asyncio
import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from visard_common.errors import InvalidArgument, NotFound
from visard_common.limits import MAX_PROGRAM_BYTES
from visard_engine.cost import cost
from visard_engine.describe import LARGEST_OPENING, describe_plan, largest_opening
from visard_engine.errors import PlanError
from visard_engine.field import field_of
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.execute import Model
from visard_engine.nn.program import OPEN, Program
from visard_wire.digests import sized
from visard_wire.v1 import common_pb2

from visard_party.kits.stock import KitStock
from visard_party.store.base import Store
from visard_party.store.contents import ModelRecord


@dataclass(frozen=True)
class Published:
    """A model that is ready to be evaluated."""

    name: str
    version: int
    created_unix_ms: int
    model: Model

    @property
    def program(self) -> Program:
        """The program, which is public."""
        return self.model.program

    @property
    def tested(self) -> int:
        """Photos of a comparison that are compared with the model's mean as well: the one that is asked about, or none."""
        return int(self.program.mean_test is not None)

    @property
    def image_bytes(self) -> int:
        """What the share of one image takes."""
        return self.program.values[0].size * self.model.field.itemsize

    @cached_property
    def publication(self) -> bytes:
        """SHA-256 over name, program and time: another for each publication under a name, and after its points have changed."""
        time = self.created_unix_ms.to_bytes(8, "big")
        said = b"visard publication v1" + sized(self.name.encode()) + self.program.digest + time
        return hashlib.sha256(said).digest()

    @property
    def digest(self) -> bytes:
        """Which publication it is, and the version of its shares: what parties compare of a model."""
        return self.publication + self.version.to_bytes(8, "big")

    def info(self, *, layers: bool = False) -> common_pb2.ModelInfo:
        """What callers are told about it: shapes, operating points and what an evaluation costs (and each layer); no weight."""
        program = self.program
        return common_pb2.ModelInfo(
            name=self.name,
            program_digest=program.digest,
            input_shape=program.input_shape,
            field_bits=program.q,
            descriptor_size=program.output.size,
            operating_points=sorted(program.operating_points),
            points=self._points(),
            opens_output=program.purpose == OPEN,
            output_shape=program.output.shape,
            cost=self._layered_cost if layers else self._cost,
            chip=program.chip,
            published_unix_ms=self.created_unix_ms,
        )

    def _points(self) -> list[common_pb2.OperatingPoint]:
        program = self.program
        return [
            common_pb2.OperatingPoint(
                name=name, distance=distance, false_match_rate=program.false_match_rate(name) or 0.0
            )
            for name, distance in sorted(program.operating_points.items())
        ]

    @cached_property
    def _cost(self) -> common_pb2.ModelCost:
        found = cost(self.program)
        return common_pb2.ModelCost(
            multiply_adds=found.multiply_adds,
            nonlinear=found.nonlinear,
            rounds=found.rounds,
            sent_bytes=found.sent_bytes,
            kit_bytes=found.kit_bytes,
            expected_seconds=found.seconds,
            weights=self.program.weight_count,
        )

    @cached_property
    def _layered_cost(self) -> common_pb2.ModelCost:
        layered = common_pb2.ModelCost()
        layered.CopyFrom(self._cost)
        layered.layers.extend(
            common_pb2.LayerCost(
                kind=layer.kind,
                shape=layer.shape,
                multiply_adds=layer.multiply_adds,
                nonlinear=layer.nonlinear,
                rounds=layer.rounds,
                sent_bytes=layer.sent_bytes,
            )
            for layer in cost(self.program).layers
        )
        return layered


class ModelShelf:
    """Models by name; loading prepares the weights and asks for kits."""

    def __init__(self, store: Store, stock: KitStock, stock_target: int) -> None:
        self._store = store
        self._stock = stock
        self._target = stock_target
        self._models: dict[str, Published] = {}
        self._listed: dict[
            str, Published
        ] = {}  # as they were last seen: what is read again meanwhile stays on the list
        self._lock = asyncio.Lock()
        self._forgotten = 0  # how often something was, so that nothing read before is kept after

    async def load_all(self) -> None:
        """Read every published model and prepare its weights; raises StoreError."""
        for name in await self._store.models():
            await self.get(name)

    async def get(self, name: str) -> Published:
        """A model, read and prepared at the first time; raises NotFound, StoreError."""
        async with self._lock:
            while (model := self._models.get(name)) is None:
                before = self._forgotten
                record = await self._store.model(name)
                if record is None:
                    self._listed.pop(name, None)
                    raise NotFound(f"model {name!r} is not published")
                prepared = await asyncio.to_thread(_prepare, record)
                if before == self._forgotten:
                    self._models[name] = self._listed[name] = prepared
                    self._stock.want(describe_plan(prepared.program), self._target)
            return model

    def known(self, name: str) -> Published | None:
        """A model if it is in memory, without asking the store."""
        return self._models.get(name)

    def forget(self, names: Collection[str] | None = None) -> None:
        """Read these models, or all, from the store again when they are asked for: they have changed, or are gone."""
        for name in list(self._models) if names is None else names:
            self._models.pop(name, None)
        self._forgotten += names is None or bool(names)

    async def renew(self, names: Collection[str] | None = None) -> None:
        """Forget these models, or all, and read them again at once; raises StoreError, and then they are read when asked for."""
        self.forget(names)
        for name in {*self._listed, *await self._store.models()} if names is None else names:
            with suppress(NotFound):
                await self.get(name)

    def listed(self) -> list[Published]:
        """What is published, as far as it was read: what is being read again counts as it was before."""
        return list(self._listed.values())


def parse_program(header: common_pb2.UploadHeader) -> Program:
    """The program of a Publish upload; raises InvalidArgument."""
    if not 0 < len(header.program) <= MAX_PROGRAM_BYTES:
        raise InvalidArgument.of("header.program", f"1 to {MAX_PROGRAM_BYTES} bytes of canonical JSON")
    try:
        program = Program.from_json(header.program)
        describe_plan(program)  # what the dealer could never deal is refused before anything is stored
    except (ProgramError, PlanError) as error:
        raise InvalidArgument.of("header.program", str(error)) from error
    if program.digest != header.request.program_digest or program.to_json() != header.program:
        raise InvalidArgument.of("request.program_digest", "SHA-256 of the program in canonical form")
    if largest_opening(program) > LARGEST_OPENING:
        raise InvalidArgument.of("header.program", f"layers of at most {LARGEST_OPENING} bytes to open at a time")
    return program


def calibrated(program: Program, points: Iterable[common_pb2.OperatingPoint]) -> Program:
    """The program with these operating points in the place of its own; raises InvalidArgument where they do not fit together."""
    told = list(points)
    distances = {point.name: point.distance for point in told}
    rates = {point.name: point.false_match_rate for point in told if point.false_match_rate}
    try:
        changed = replace(program, operating_points=distances, false_match_rates=rates)
    except ProgramError as error:
        raise InvalidArgument.of("request.points", str(error)) from error
    if len(changed.to_json()) > MAX_PROGRAM_BYTES:
        raise InvalidArgument.of("request.points", f"fewer: a program has at most {MAX_PROGRAM_BYTES} bytes")
    return changed


def _prepare(record: ModelRecord) -> Published:
    program = Program.from_json(record.program)
    weights = np.frombuffer(record.weights.reveal(), field_of(program.q).dtype)
    return Published(record.name, record.version, record.created_unix_ms, Model(program, weights))
