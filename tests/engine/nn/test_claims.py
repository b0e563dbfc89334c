"""What a run of a program has claimed is verified: honest claims hold for every operation, and one wrong element is found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from visard_engine.claims import Stream
from visard_engine.errors import CheckFailed, KitError, PartyDeviates
from visard_engine.field import Elements, field_of
from visard_engine.kits import KitPlan
from visard_engine.nn.execute import Model, embed, embed_plan
from visard_engine.nn.operations import OPERATIONS
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.program import Program
from visard_engine.nn.tape import Picked, Used, pairs
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.shamir import is_degree_1, share

from tests.engine.harness import Outcome, run
from tests.engine.liar import Liar, other_shares, plus
from tests.engine.nn.chains import CHAINS, chain, pictures, weights_of

NAMES = pytest.mark.parametrize("name", CHAINS)
Spoiler = Callable[[Session, Any], None]


def honest(party: int, kinds: list[str] | None = None) -> Liar:
    """A party whose messages are true: what is wrong is in its shares."""
    return Liar(party, lambda message: [message.payload], kinds or [])


class Case:
    """A program with shares of weights and pictures; a party may have others than it should."""

    def __init__(self, program: Program, batch: int = 1, kits: int = 1) -> None:
        self.program, self.batch, self.kits = program, batch, kits
        self.field, self.each = field_of(program.q), batch // kits
        self.weights = share(self.field, self.field.encode(weights_of(program)))
        self.images = share(self.field, self.field.encode(pictures(program, batch)))
        self.pairs = self.each * program.pairs  # a kit
        sections = embed_plan(program, self.each).sections
        checked = (Section("coin", 1), Section("inner", self.pairs))
        self.plan = KitPlan(program.q, (*sections, *checked))

    async def run(
        self, liar: Liar | None = None, weights: Elements | None = None, between: Spoiler | None = None
    ) -> Outcome:
        """Embedded and verified; the liar works with other weights, and ``between`` is called before it is verified."""

        async def body(s: Session, i: int) -> Any:
            lying = liar is not None and liar.party == i
            own = Model(self.program, weights if lying and weights is not None else self.weights[i])
            output = await embed(s, own, self.images[i])
            if lying and between is not None:
                between(s, Model(self.program, self.weights[i]))
            await verify(s, self.pairs)
            return output

        return await run(self.plan, body, kits=self.kits, liar=liar)


def wide_kinds(operations: tuple[Operation, ...], program: Program) -> set[str]:
    return {op.kind for op, value in zip(operations, program.values[1:], strict=True) if value.wide}


def every_operation__should_be_in_a_chain_with_a_wide_result() -> None:
    """A new one that passes factors backwards is to be added to the chains."""
    covered = set().union(*(wide_kinds(operations, chain(name, 31)) for name, operations in CHAINS.items()))
    assert covered == {kind for kind, op in OPERATIONS.items() if op.pull is not Operation.pull}
    assert {op.kind for operations in CHAINS.values() for op in operations} == set(OPERATIONS)


@NAMES
@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize(("batch", "kits"), [(1, 1), (3, 1), (3, 3), (4, 2)])
async def honest_claims__should_hold(name: str, q: int, batch: int, kits: int) -> None:
    outcome = await Case(chain(name, q), batch, kits).run()
    assert is_degree_1(field_of(q), outcome.results)


@NAMES
async def pairs__should_be_what_claims_come_to(name: str) -> None:
    """Exactly for one image; batches need no more than as many times."""
    program = chain(name, 31)
    for batch in (1, 3):
        case = Case(program, batch)
        counted = batch * pairs(program.operations, program.values, case.field)
        assert program.pairs == max(1, counted // batch)

        async def body(s: Session, i: int, case: Case = case) -> tuple[int, int]:
            await embed(s, Model(case.program, case.weights[i]), case.images[i])
            (folded,) = s.claims.fold(s.field, Stream(s.field, bytes(16)), 1)
            assert [x.size for x in folded.left] == [x.size for x in folded.right]
            await verify(s, case.pairs)
            return sum(x.size for x in folded.left), len(s.claims._claims)

        outcome = await run(case.plan, body)
        ((found, claims),) = set(outcome.results)
        assert found == counted if batch == 1 else found <= counted
        assert claims == sum(op.claims(program.values[op.x]) for op in program.operations)
        assert claims == outcome.kinds.count("masked product") > 0


@NAMES
@pytest.mark.parametrize("batch", [1, 3])
async def one_wrong_element__should_be_found_by_both(name: str, batch: int) -> None:
    """One party adds something to its share of an opened product, the same towards both others."""
    case, rng = Case(chain(name, 31), batch), np.random.default_rng(len(name) + batch)
    openings = (await case.run()).kinds.count("masked product")
    for nth in range(openings):
        for party in range(3):
            place, error = int(rng.integers(1 << 20)), int(rng.integers(1, 1 << 31 - 1))
            with other_shares(party, {place: [1, error, -1][party]}, nth) as spoilt:
                outcome = await case.run(honest(party))
            assert len(spoilt) == 1
            assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize(("batch", "kits"), [(3, 3), (4, 2)])
@pytest.mark.parametrize("name", ["overlapping max pool", "filter of grouped conv", "prelu", "product by one"])
async def one_wrong_element_of_a_batch__should_be_found(name: str, q: int, batch: int, kits: int) -> None:
    case = Case(chain(name, q), batch, kits)
    openings = (await case.run()).kinds.count("masked product")
    for nth in range(openings):
        with other_shares(nth % 3, {-1: 1}, nth):
            outcome = await case.run(honest(nth % 3))
        assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


@NAMES
async def every_element__should_count_in_its_claim(name: str) -> None:
    """A claim is linear in what was opened; no element's factor is zero, so no wrong element is overlooked."""
    case = Case(chain(name, 31), 2)

    async def body(s: Session, i: int) -> Any:
        output = await embed(s, Model(case.program, case.weights[i]), case.images[i])
        if i == 0:
            for k, (source, opened) in enumerate(list(s.claims._claims)):
                assert isinstance(source, Used | Picked)
                claims = type(s.claims)()

                def rest(value: Elements, claims: Any = claims, source: Any = source) -> int:
                    claims._claims[:] = [(source, value)]
                    return int(claims.fold(s.field, Stream(s.field, bytes([k + 1] * 16)), 1)[0].rest[0])  # noqa: B023

                right = rest(opened)
                wrong = [rest(plus(s, opened, {place: 1})) for place in range(opened.size)]
                factors = {(right - one) % s.field.p for one in wrong}
                assert 0 not in factors
                assert len(factors) == opened.size  # nor are two the same, whose errors would cancel
        await verify(s, case.pairs)
        return output

    await run(case.plan, body)


@pytest.mark.parametrize("name", [name for name in CHAINS if chain(name, 31).weight_count])
async def changed_weight__should_be_found(name: str) -> None:
    """Changed at one party for good, or only while it multiplies with it."""
    case, rng = Case(chain(name, 31)), np.random.default_rng(len(name))
    kinds = (await case.run()).kinds

    def restore(s: Session, true: Model) -> None:
        for source, _ in s.claims._claims:
            source.tape.weights = true.weights  # type: ignore[attr-defined]

    for place in {0, case.program.weight_count - 1, int(rng.integers(case.program.weight_count))}:
        party = place % 3
        weights = case.weights[party].copy()
        weights[place] = (int(weights[place]) + 1) % case.field.p
        for flatters in (False, True):
            liar = Liar(party, lambda message: [message.payload], kinds, flatters)
            for between in (None, restore):
                outcome = await case.run(liar, weights, between)
                assert all(isinstance(result, PartyDeviates) for result in outcome.honest)
                if between:
                    assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


async def too_few_pairs__should_be_refused() -> None:
    case = Case(chain("conv", 31))

    async def body(s: Session, i: int) -> None:
        await embed(s, Model(case.program, case.weights[i]), case.images[i])
        await verify(s, case.pairs - 1)

    with pytest.raises(KitError, match="1 kits verify"):
        await run(case.plan, body)
