"""One run of a question by three parties in one process of which one lies, and what came of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from visard.errors import InconsistentAnswer
from visard_engine.bits import ReplicatedBits
from visard_engine.errors import EngineError
from visard_engine.field import Elements, Field, Integers
from visard_engine.kits import deal_kit, dealt_part
from visard_engine.nn.execute import Model
from visard_engine.prf import KEY_BYTES
from visard_engine.session import Run
from visard_wire.v1 import common_pb2

from tests.attacks.campaign import questions
from tests.attacks.campaign.questions import ENROL, RUN, UNIQUE, Desk
from tests.attacks.campaign.world import MASTER, World, shared
from tests.engine.liar import CredulousViews, Liar, LyingChannel, RecordedViews
from tests.engine.wires import Wires, wired_channels

DEADLINE = 60  # seconds for what takes a tenth of one; nothing here waits for a clock (tests/engine/wires.py)
ABORTED, RIGHT, WRONG, HUNG = "aborted", "right", "wrong", "hung"
Rng = np.random.Generator


@dataclass
class Case:
    """A question with everything that is needed to ask it, the same for the same seed."""

    question: str
    world: World
    images: Integers
    rng: Rng = field(repr=False)
    refused: bool = False  # the images are such that no party may work with them

    def __post_init__(self) -> None:
        field, rng, network = self.field, self.rng, self.world.network
        self.weights = list(shared(rng, field, network.weights))
        self.shares = list(shared(rng, field, self.images))
        self.references = list(shared(rng, field, self.world.references)) if self.question != RUN else [_NONE] * 3
        self.first_kit = int(rng.integers(1, 1 << 40))
        self.coin = rng.bytes(32)
        self.plans = questions.plans_of(self.question, network, len(self.images), len(self.world.enrolled))

    @property
    def field(self) -> Field:
        """That of its network."""
        return self.world.network.field

    @property
    def right(self) -> Any:
        """The right answer."""
        kits = range(self.first_kit, self.first_kit + len(self.images))
        return questions.right_answer(self.question, self.world, self.images, self.plans[0], kits)


_NONE = np.zeros((0, 0), np.uint32)


@dataclass
class Deviation:
    """What the liar does: lies by session, what else is another at it, and how it changes its pieces of the answer."""

    party: int
    what: str
    lies: Mapping[str, Callable[..., Sequence[bytes]]] = field(default_factory=dict)
    flatters: bool = False
    around: AbstractContextManager[Any] = field(default_factory=nullcontext)
    pieces: Callable[[common_pb2.Outcome], object] | None = None
    weights: Elements | None = None
    images: Elements | None = None
    references: Elements | None = None


@dataclass
class Outcome:
    """What each party returned or raised, and the kinds of its rounds by session."""

    results: list[Any]
    kinds: dict[str, list[str]]
    hung: bool = False


async def play(case: Case, deviation: Deviation | None = None, kinds: Mapping[str, list[str]] | None = None) -> Outcome:
    """Three parties' parts; ``kinds`` are those of an honest run, which a liar must know."""
    sessions = questions.sessions_of(case.question)
    wires, runs = dict[str, Wires](), dict[str, list[Run]]()
    for session in sessions:
        keys = [case.rng.bytes(KEY_BYTES) for _ in range(3)]
        channels, wires[session] = wired_channels(keys)
        runs[session] = []
        if deviation is not None and kinds is not None:
            lie = deviation.lies.get(session, _truth)
            liar = Liar(deviation.party, lie, kinds[session], deviation.flatters)
            channels[liar.party] = LyingChannel(channels[liar.party], liar, wires[session], runs[session])
        for channel in channels:
            run = Run(channel)
            credulous = deviation is not None and deviation.party == channel.party
            run.views = CredulousViews(channel) if credulous else RecordedViews(channel)
            run.views.saw(b"terms of " + session.encode())
            runs[session].append(run)
    numbers = [(plan, case.first_kit + k) for k, plan in enumerate(case.plans)]
    dealt = [deal_kit(plan, MASTER, number) for plan, number in numbers]

    async def party(i: int) -> Any:
        own = deviation if deviation is not None and deviation.party == i else Deviation(i, "")
        kits = [dealt_part(plan, n, kit, i, case.coin) for (plan, n), kit in zip(numbers, dealt, strict=True)]
        weights, images, references = (
            mine if theirs is None else theirs
            for mine, theirs in (
                (case.weights[i], own.weights),
                (case.shares[i], own.images),
                (case.references[i], own.references),
            )
        )
        limit = case.world.limit if case.question != RUN else 0
        model = Model(case.world.network.program, weights)
        desk = Desk(
            {session: runs[session][i] for session in sessions},
            kits,
            model,
            images,
            references,
            limit,
            lambda session: wires[session].ended(i),
        )
        try:
            return await desk.answer(case.question)
        finally:
            for one in wires.values():
                one.ended(i)

    tasks = [asyncio.ensure_future(party(i)) for i in range(3)]
    with deviation.around if deviation is not None else nullcontext():
        _, pending = await asyncio.wait(tasks, timeout=DEADLINE)
        for task in pending:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return Outcome(list(results), {s: _kinds(runs[s]) for s in sessions}, bool(pending))


def _truth(message: Any) -> Sequence[bytes]:
    return [message.payload]


def _kinds(runs: list[Run]) -> list[str]:
    views = [run.views for run in runs]
    return max((v.kinds for v in views if isinstance(v, RecordedViews)), key=len)


def judged(case: Case, deviation: Deviation, outcome: Outcome) -> tuple[str, str]:
    """What became of it, and why."""
    if outcome.hung:
        return HUNG, "a party waits for ever"
    honest = [i for i in range(3) if i != deviation.party]
    raised = [r for i in honest if isinstance(r := outcome.results[i], BaseException)]
    if unforeseen := [error for error in raised if not isinstance(error, EngineError)]:
        return WRONG, f"an honest party ended in disorder: {unforeseen[0]!r}"
    if raised:
        return ABORTED, " and ".join(sorted({type(error).__name__ for error in raised}))
    if case.refused:
        return WRONG, "images that must be refused were worked with"
    try:
        found = _answer(case, deviation, [outcome.results[i] for i in honest], honest)
    except InconsistentAnswer as error:
        return ABORTED, str(error)
    right = case.right
    same = type(found) is type(right) and bool(np.array_equal(found, right))
    return (RIGHT, "") if same else (WRONG, f"{found!r} instead of {right!r}")


def _answer(case: Case, deviation: Deviation, answers: list[Any], honest: list[int]) -> Any:
    """What honest parties agree on, or would store; or what the client takes, of theirs and the best that a liar could say."""
    if case.question in (ENROL, UNIQUE):
        if any(isinstance(one, str) for one in answers):
            return answers[0] if answers[0] is answers[1] else answers
        return case.field.decode(_on_line(case.field, answers, honest, -1))
    outcomes: list[Any] = [None] * 3
    for i, one in zip(honest, answers, strict=True):
        outcomes[i] = questions.outcome(case.question, case.world, one, i)
    said = questions.outcome(case.question, case.world, _fitting(case, answers, honest), deviation.party)
    if deviation.pieces is not None:
        deviation.what += f", {deviation.pieces(said)}"
    outcomes[deviation.party] = said
    return questions.taken(case.question, case.world, outcomes)


def _fitting(case: Case, answers: list[Any], honest: list[int]) -> Any:
    """The third party's answer, as the two others' define it."""
    (third,) = {0, 1, 2} - set(honest)
    if case.question == RUN:
        return _on_line(case.field, answers, honest, third)
    shared = dict(zip(honest, answers, strict=True))
    following, before = shared[(third + 1) % 3], shared[(third + 2) % 3]
    return ReplicatedBits(np.stack([following.shared[1], before.shared[0]]), following.count)


def _on_line(field: Field, shares: list[Any], parties: list[int], at: int) -> Elements:
    """What a line through two parties' points gives at a third party's, or at 0 for ``at`` -1."""
    (a, b), x = (party + 1 for party in parties), at + 1
    slope = field.scale(field.subtract(shares[1], shares[0]), int(field.inverse(b - a)))
    return field.add(shares[0], field.scale(slope, x - a))
