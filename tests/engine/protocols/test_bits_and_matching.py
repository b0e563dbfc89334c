"""AND, threshold, tournament and the two questions built on them give the right bits, to nobody but the holder of all pieces."""

from typing import Any

import numpy as np
import pytest
from visard_engine import matching
from visard_engine.bits import pack
from visard_engine.field import M31, M61, Field
from visard_engine.kits import KitPlan, Section
from visard_engine.protocols import comparison, minimum, threshold
from visard_engine.protocols.conjunction import conjunction
from visard_engine.protocols.opening import fresh_share
from visard_engine.session import Run, Session
from visard_engine.shamir import reconstruct

from tests.engine.harness import open_bits, run, shares_of, wide_shares_of
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])


def replicated(bits: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    a, b = (np.random.default_rng(seed + i).integers(0, 1 << 63, pack(bits).shape, dtype=np.uint64) for i in (1, 2))
    pieces = [a, b, pack(bits) ^ a ^ b]
    return [np.stack([pieces[i], pieces[i - 1]]) for i in range(3)]


async def run_without_kit(body: Any) -> Any:
    return await run_without_kit_in(M31, body)


async def conjunction__should_be_the_and_for_one_bit_a_gate() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 2, (2, 6400)).astype(np.bool_)
    xs, ys = replicated(x, 10), replicated(y, 20)
    outcome = await run_without_kit(lambda s, i: conjunction(s, xs[i], ys[i]))
    assert (open_bits(outcome.results, 6400) == (x & y)).all()
    assert (outcome.rounds, outcome.sent_bytes) == (1, [800] * 3)


@pytest.mark.parametrize("bit", [False, True])
async def conjunction__should_send_balanced_bits_whatever_the_inputs(bit: bool) -> None:
    x = replicated(np.full(20_000, bit), 30)
    outcome = await run_without_kit(lambda s, i: conjunction(s, x[i], x[i]))
    for channel in outcome.channels:
        assert looks_balanced(np.unpackbits(np.frombuffer(channel.received[0][1], np.uint8)).astype(np.bool_))


@pytest.mark.parametrize("n", [1, 2, 3, 64, 100])
@pytest.mark.parametrize("zeros", [0, 1])
async def conjunction_of_all__should_find_a_single_zero(n: int, zeros: int) -> None:
    x = np.ones(n, np.bool_)
    x[n // 2] = not zeros
    shares = replicated(x)
    outcome = await run_without_kit(lambda s, i: threshold.conjunction_of_all(s, shares[i], n))
    assert open_bits(outcome.results, 1).tolist() == [not zeros]
    assert outcome.rounds == (n - 1).bit_length()


@FIELDS
@pytest.mark.parametrize("n", [1, 2, 5, 33])
async def minimum__should_be_least_value_and_its_position(field: Field, n: int) -> None:
    z = np.random.default_rng(n).permutation(n) * 1000 - 700
    shares = wide_shares_of(field, z)
    plan = KitPlan(field.q, (*(Section("max", k) for k in minimum.levels(n)), Section("compare", 1)))

    async def body(s: Session, party: int) -> Any:
        value, row = await minimum.minimum(s, shares[party])
        await threshold.exceeds(s, value, 0)
        return value, row

    outcome = await run(plan, body)
    assert field.decode(reconstruct(field, [value for value, _ in outcome.results])).tolist() == [z.min()]
    rows = [row for _, row in outcome.results]
    bits = rows[0][0] ^ rows[1][0] ^ rows[2][0]
    assert sum(int(b) << k for k, b in enumerate(bits)) == z.argmin()
    levels = (n - 1).bit_length()
    assert outcome.rounds == levels * (5 if field.q == 31 else 6) + (4 if field.q == 31 else 5)


async def ask(question: Any, plan: KitPlan, probe: Any, references: Any, limit: int) -> Any:
    return await run(plan, lambda s, i: question(_resume(s), s.kit, probe[i], references[i], limit))


def _resume(s: Session) -> Run:
    """The run that a session belongs to."""
    run_ = Run.__new__(Run)
    run_.channel, run_.prss = s.channel, s.prss
    return run_


@FIELDS
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 130])
@pytest.mark.parametrize("slack", [0, -1])
async def questions__should_be_answered_right_up_to_the_limit(field: Field, rows: int, slack: int) -> None:
    rng = np.random.default_rng(rows)
    references = rng.integers(-100, 100, (rows, 8))
    probe = references[rng.integers(rows)] + rng.integers(-2, 3, 8)
    distances = ((references - probe) ** 2).sum(axis=1)
    limit = int(distances.min()) + slack
    shares = shares_of(field, probe), shares_of(field, references)
    verified = await ask(matching.verify, matching.verify_plan(field.q, rows), *shares, limit)
    match = slack == 0
    assert open_bits([r.shared for r in verified.results], 1).tolist() == [match]
    identified = await ask(matching.identify, matching.identify_plan(field.q, rows), *shares, limit)
    count = identified.results[0].count
    assert count == 1 + (rows - 1).bit_length()
    bits = open_bits([r.shared for r in identified.results], count)
    row = sum(int(b) << k for k, b in enumerate(bits[1:]))
    assert bits[0] == match
    assert row == (distances.argmin() if match else 0) or (match and distances[row] == distances.min())


async def answers__should_be_hidden_from_each_party() -> None:
    """The two pieces that one party holds of the answer are balanced, whatever the answer is."""
    references, probe = shares_of(M31, np.zeros((1, 4))), shares_of(M31, np.zeros(4))
    seen = []
    for _ in range(200):
        outcome = await ask(matching.verify, matching.verify_plan(31, 1), probe, references, 5)
        seen.append([int(piece[0]) & 1 for piece in outcome.results[0].shared])
    counts = np.array(seen).sum(axis=0)
    assert ((counts > 60) & (counts < 140)).all()  # 5.6 standard deviations


@FIELDS
@pytest.mark.parametrize("value", [0, -3])
async def fresh_share__should_say_nothing_but_the_value(field: Field, value: int) -> None:
    """The old sharing is constant: its slope, which may stem from secrets, must not be seen in the new one."""
    n = 20_000
    same = np.full(n, field.element(value))
    outcome = await run_without_kit_in(field, lambda s, i: _fresh(s, field.add(same, np.full(n, field.element(7 * i)))))
    one, two, three = outcome.results
    assert (field.decode(reconstruct(field, [one, two, three])) == value - 7).all()  # 7 i is a line through -7
    assert all(looks_uniform(share, field.q) for share in (one, two, three, field.subtract(two, one)))
    assert outcome.sent_bytes == [0] * 3


async def _fresh(s: Session, share: Any) -> Any:
    return fresh_share(s, share)


async def run_without_kit_in(field: Field, body: Any) -> Any:
    async def and_burn(s: Session, party: int) -> Any:
        s.kit.random(1), s.kit.bits(comparison.bit_rows(field), 1)
        return await body(s, party)

    return await run(KitPlan(field.q, (Section("compare", 1),)), and_burn)
