"""Gates of every shape in use have their truth tables; ANDs and choices made of them too, and nobody sees more than noise."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from visard_engine.bits import words_for
from visard_engine.kits import KitPlan
from visard_engine.protocols import choice, comparison, conjunction, gates, kinds, sizes
from visard_engine.protocols.comparison import Digits
from visard_engine.protocols.gates import Gate
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.views import VIEW_BYTES

from tests.engine.harness import Outcome, open_bits, replicated, run
from tests.engine.statistics import looks_balanced


def shapes() -> Iterator[Gate]:
    """Of every comparison, of the AND of a row, of choices."""
    for q, most in ((31, 8), (61, 16)):
        for count in range(1, most + 1):
            yield from Digits(q, count).gates
    yield conjunction._ALL
    yield from (choice.gate(k) for k in range(1, 8))


SHAPES = sorted(set(shapes()), key=repr)


async def evaluated(patch: pytest.MonkeyPatch, gate: Gate, bits: np.ndarray) -> Outcome:
    """A gate on bits (inputs, n), from a kit of its own."""
    n, shares = bits.shape[1], replicated(bits, 7)
    kind = kinds.Kind(
        lambda d, n, _: gates.deal(d, gate, words_for(n)), lambda field, n, _: sizes.bits(len(gate.dealt), n)
    )
    patch.setitem(kinds.KINDS, "gate", kind)

    async def body(s: Session, party: int) -> Any:
        (out,) = await gates.evaluate(s, [(gate, shares[party], gates.read(s.kit, gate, n))], "gate")
        return out

    return await run(KitPlan(31, (Section("gate", n),)), body)


@pytest.mark.parametrize("gate", SHAPES, ids=lambda gate: f"{gate.inputs} to {len(gate.outputs)}, {len(gate.dealt)}")
async def gate__should_have_its_truth_table(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array(list(product([False, True], repeat=gate.inputs)), np.bool_).T
    bits = np.concatenate([table] * 3, axis=1)  # under several masks, and not in whole words
    outcome = await evaluated(monkeypatch, gate, bits)
    expected = [np.bitwise_xor.reduce([bits[list(s)].all(axis=0) for s in sets]) for sets in gate.outputs]
    n = bits.shape[1]
    assert (open_bits(outcome.results, n) == np.array(expected)).all()
    assert (outcome.rounds, outcome.sent_bytes) == (1, [gate.inputs * 8 * words_for(n) + VIEW_BYTES] * 3)


def digits__should_combine_to_less_than() -> None:
    """The gates' formulas on all four-digit orderings: lt and eq of each digit to lt of all, and eq of all."""
    for digits in range(2, 5):
        for order in product((-1, 0, 1), repeat=digits):  # highest first: less, equal, greater
            flat = [bit for o in order for bit in (o < 0, o == 0)]
            less, equal = order < (0,) * digits, order == (0,) * digits
            for with_equal in (True, False):
                gate = comparison._less(digits, equal=with_equal)
                inputs = flat[1:] if with_equal else flat[1:-1]
                assert len(inputs) == gate.inputs
                out = [sum(all(inputs[i] for i in s) for s in sets) % 2 == 1 for sets in gate.outputs]
                assert flat[0] ^ out[0] == less
                assert out[1:] == ([equal] if with_equal else [])


@pytest.mark.parametrize("bit", [False, True])
async def gate__should_send_balanced_bits_whatever_the_inputs(bit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = comparison._less(4, equal=True)
    outcome = await evaluated(monkeypatch, gate, np.full((gate.inputs, 6400), bit))
    heard = [outcome.bits(party, "gate")[0] for party in range(3)]
    assert all(looks_balanced(row) for bits in heard for row in bits.reshape(gate.inputs, -1))
    assert looks_balanced(heard[0] ^ heard[1] ^ heard[2])


def and_plan(n: int) -> KitPlan:
    return KitPlan(31, tuple(Section("and", k) for k in conjunction.levels(n)) or (Section("degree", 1),))


@pytest.mark.parametrize("n", [*range(1, 18), 63, 64, 65, 100])
@pytest.mark.parametrize("zeros", [0, 1, 2])
async def conjunction_of_all__should_find_a_single_zero(n: int, zeros: int) -> None:
    rng, repeats = np.random.default_rng(n), 3
    for _ in range(repeats):
        x = np.ones(n, np.bool_)
        x[rng.choice(n, min(zeros, n), replace=False)] = False
        shares = replicated(x, int(rng.integers(1000)))
        outcome = await run(and_plan(n), lambda s, i: conjunction.conjunction_of_all(s, shares[i], n))  # noqa: B023
        assert open_bits(outcome.results, 1).tolist() == [not zeros]
        levels = conjunction.levels(n)
        assert outcome.rounds == len(levels) == next(k for k in range(9) if 4**k >= n)
        assert outcome.sent_bytes == [sum(4 * 8 * words_for(k) + VIEW_BYTES for k in levels)] * 3


def conjunction__should_take_eleven_bits_a_gate() -> None:
    assert KitPlan(31, (Section("and", 192 * 8),)).pair_bytes == 11 * 64


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("k", [1, 5, 24])
async def choice__should_show_bits_where_allowed(allow: bool, k: int) -> None:
    bits = np.random.default_rng(k).integers(0, 2, (k, 64)).astype(np.bool_)
    allowed = np.full(64, allow)
    allowed[::2] = False
    shared, allow_shares = replicated(bits, 1), replicated(allowed, 5)
    plan = KitPlan(31, (Section("choose", 1, k),))
    outcome = await run(plan, lambda s, i: choice.allowed(s, allow_shares[i], shared[i]))
    assert (open_bits(outcome.results, 64) == (bits & allowed)).all()
    assert (outcome.rounds, outcome.sent_bytes) == (1, [8 * (1 + k) + VIEW_BYTES] * 3)
    assert plan.pair_bytes == 8 * -(-k // 3)
