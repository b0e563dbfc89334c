"""The questions that the services ask of the engine, small, as parts that a liar can be set among."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from visard_engine import matching
from visard_engine.bits import unpack
from visard_engine.describe import describe, describe_plan, evaluate
from visard_engine.errors import EngineError
from visard_engine.field import Elements, Field, Integers, field_of
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.execute import Model
from visard_engine.nn.operations.activations import Relu, Truncate
from visard_engine.nn.operations.arithmetic import Flatten
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.operations.weighted import Conv, Linear
from visard_engine.nn.program import MATCH, OPEN, Program
from visard_engine.session import Run
from visard_engine.shamir import share

from tests.engine.harness import Outcome, Part

SHAPE = (2, 6, 6)
OPERATIONS: tuple[Operation, ...] = (
    *(Conv(0, 3, (3, 3), (1, 1), (1, 1), 14, bias=True), MaxPool(1, (2, 2), (2, 2)), Relu(2, 12)),
    *(Flatten(3), Linear(4, 4, 10, bias=True), Truncate(5, 8)),
)
PIXELS = np.random.default_rng(5).integers(0, 256, (1, *SHAPE))
GALLERY = np.random.default_rng(6).integers(-50, 51, (5, 4))
PROBE = GALLERY[3] + [1, -1, 0, 2]  # at a squared distance of 6


@dataclass(frozen=True)
class Question:
    """A plan, each party's part, and what the parties' results amount to for whoever asked."""

    plan: KitPlan
    part: Part
    answer: Callable[[Mapping[int, Any]], Any]  # from what two parties or three have, by party

    def answer_of(self, outcome: Outcome) -> Any:
        """From what the honest parties have."""
        return self.answer({i: result for i, result in enumerate(outcome.results) if i != outcome.liar})


def on_line(field: Field, shares: Mapping[int, Elements]) -> Integers:
    """The values of a sharing of degree 1 from two shares."""
    a, b = sorted(shares)[:2]
    inverse = pow(b - a, -1, field.p)
    x, y = (field.scale(shares[i], factor) for i, factor in ((a, (b + 1) * inverse), (b, -(a + 1) * inverse)))
    return field.decode(field.add(x, y))


def together(pieces: Mapping[int, Elements], count: int) -> list[bool]:
    """Bits from the pieces (2, words) of two parties or three: each piece is held by one of them at least."""
    held = {(i - k) % 3: piece for i, own in pieces.items() for k, piece in enumerate(own)}
    found: list[bool] = unpack(held[0] ^ held[1] ^ held[2], count).tolist()
    return found


def with_norms(vectors: Integers) -> Integers:
    """Descriptors (..., D) with their squared norms behind them."""
    return np.concatenate([vectors, (vectors**2).sum(axis=-1, keepdims=True)], axis=-1)


def program(q: int, purpose: str) -> Program:
    """A network with a convolution, maxima, a ReLU and a linear layer, whose descriptors are short."""
    return Program(q, SHAPE, 0, OPERATIONS, {"default": 1.0} if purpose == MATCH else {}, purpose)


def described(q: int, purpose: str = MATCH, pixels: Any = PIXELS) -> Question:
    """Outputs of one image or several: for the parties, or for the caller alone."""
    field, network = field_of(q), program(q, purpose)
    weights = np.random.default_rng(7).integers(-400, 401, network.weight_count)
    own, images = (share(field, field.encode(x)) for x in (weights, pixels))

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        model = Model(network, own[i])
        if purpose == OPEN:
            return await evaluate(run, kits[0], model, images[i])
        return np.stack(await describe(run, kits, model, images[i]))

    return Question(describe_plan(network), part, lambda results: on_line(field, results).tolist())


def matched(q: int, question: str, limit: int = 6, probe: Any = PROBE, gallery: Any = GALLERY) -> Question:
    """``verify``, ``is_known`` or ``identify``; the answer of the first and last are bits that the caller puts together."""
    field, (count, size) = field_of(q), gallery.shape
    ask: Callable[..., Awaitable[Any]] = getattr(matching, question)
    plan = (matching.identify_plan if question == "identify" else matching.verify_plan)(q, count, size)
    own, references = (share(field, field.encode(with_norms(x))) for x in (probe, gallery))

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        return await ask(run, kits[0], own[i], references[i], limit)

    def answer(results: Mapping[int, Any]) -> Any:
        if question == "is_known":
            return set(results.values())
        (bits,) = {result.count for result in results.values()}
        return together({i: result.shared for i, result in results.items()}, bits)

    return Question(plan, part, answer)


QUESTIONS: dict[str, Callable[[], Question]] = {
    "describe": lambda: described(31),
    "describe in 61 bits": lambda: described(61),
    "evaluate": lambda: described(31, OPEN),
    "verify": lambda: matched(31, "verify"),
    "is known": lambda: matched(31, "is_known"),
    "identify": lambda: matched(31, "identify"),
    "identify in 61 bits": lambda: matched(61, "identify"),
}


def stopped(outcome: Outcome) -> bool:
    """Whether both honest parties ended with an error of the engine: nobody answers."""
    return all(isinstance(result, EngineError) for result in outcome.honest)
