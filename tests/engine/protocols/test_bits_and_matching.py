"""Threshold, tournament and the questions built on them give the right bits, to nobody but the holder of all pieces."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from visard_engine import matching, nearest
from visard_engine.bits import words_for
from visard_engine.field import M31, M61, Field
from visard_engine.kits import Kit, KitPlan
from visard_engine.protocols import minimum, threshold
from visard_engine.protocols.minimum import Sums
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.opening import AGREED, fresh_share
from visard_engine.protocols.verification import COIN
from visard_engine.sections import Section
from visard_engine.session import Run, Session
from visard_engine.shamir import is_degree_1, reconstruct
from visard_engine.views import VIEW_BYTES

from tests.engine.asking import admitted, halves, like_the_mean, matched, mean_of, on_sphere
from tests.engine.harness import Outcome, open_bits, play, run, shares_of, wide_shares_of
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
OPENED = {31: 15, 61: 33}  # bits of an exact comparison's gates


def sums_of(share: np.ndarray) -> Sums:
    return Sums(share, np.arange(len(share)), np.zeros_like(share))


NONE = np.zeros(0, np.uint32)  # margins of no mean


def comparison_bytes(field: Field, n: int, words: int = 0) -> int:
    """An exact comparison of n values of degree 2, and so many words of a sign and what is opened with it."""
    rounds = 4 if words else 3
    return 2 * n * field.itemsize + 8 * (OPENED[field.q] * words_for(n) + words) + rounds * VIEW_BYTES


@FIELDS
@pytest.mark.parametrize("n", [1, 2, 5, 33, 130])
async def minimum__should_be_least_value_and_its_position(field: Field, n: int) -> None:
    z = np.random.default_rng(n).permutation(n) * 1000 - 700
    shares, pairs = wide_shares_of(field, z), minimum.levels(n)
    sections = [Section("min", k, level) for level, k in enumerate(pairs)]
    plan = KitPlan(field.q, (*sections, Section("compare", 1)))

    async def body(s: Session, party: int) -> Any:
        value, row = await minimum.minimum(s, sums_of(shares[party]))
        assert len(s.claims._claims) == len(pairs)
        return value, row, await threshold.exceeds(s, value, int(z.min()), NONE.astype(field.dtype))

    outcome = await run(plan, body)
    assert field.decode(reconstruct(field, [value.share for value, _, _ in outcome.results])).tolist() == [z.min()]
    # the least one is the value of its row, plus what is known with degree 1
    offsets = [value.offset for value, _, _ in outcome.results]
    (row_of_it,) = {int(value.rows[0]) for value, _, _ in outcome.results}
    assert is_degree_1(field, offsets)
    assert z[row_of_it] + field.decode(reconstruct(field, offsets))[0] == z.min()
    rows = [row for _, row, _ in outcome.results]
    bits = rows[0][0] ^ rows[1][0] ^ rows[2][0]
    assert sum(int(b) << k for k, b in enumerate(bits)) == z.argmin()
    assert open_bits([more for _, _, more in outcome.results], 1).tolist() == [False]
    levels = (n - 1).bit_length()
    assert outcome.rounds == levels * 4 + 3
    opened = sum(comparison_bytes(field, k, (1 + level) * words_for(k)) for level, k in enumerate(pairs))
    assert outcome.sent_bytes == [opened + comparison_bytes(field, 1)] * 3


async def equal_values__should_leave_the_later_position() -> None:
    shares = wide_shares_of(M31, np.full(5, 7))
    plan = KitPlan(31, tuple(Section("min", k, level) for level, k in enumerate(minimum.levels(5))))
    outcome = await run(plan, lambda s, i: minimum.minimum(s, sums_of(shares[i])))
    rows = [row for _, row in outcome.results]
    bits = rows[0][0] ^ rows[1][0] ^ rows[2][0]
    assert sum(int(b) << k for k, b in enumerate(bits)) == 4


@FIELDS
async def distances__should_be_local(field: Field) -> None:
    rng = np.random.default_rng(0)
    probe, references = (on_sphere(field.q, rng.normal(size=shape)) for shape in ((6,), (4, 6)))
    shares = shares_of(field, probe), shares_of(field, references)

    async def body(s: Session, party: int) -> Any:
        found = await threshold.distances(s, shares[0][party], shares[1][party])
        assert s.claims.rows is not None
        assert s.claims.rows.count == 4
        return found

    outcome = await run(KitPlan(field.q, (Section("degree", 1),)), body)
    assert field.decode(reconstruct(field, [sums.share for sums in outcome.results])).tolist() == (
        ((1 << 2 * unit_bits(field.q)) - references @ probe).tolist()
    )
    assert not any(sums.offset.any() for sums in outcome.results)
    assert outcome.sent_bytes == [0] * 3


async def ask(question: Any, plan: KitPlan | tuple[KitPlan, ...], probe: Any, references: Any, limit: int) -> Outcome:
    async def part(own: Run, kits: list[Kit]) -> Any:
        i = own.channel.party
        return await question(own, kits if isinstance(plan, tuple) else kits[0], probe[i], references[i], limit)

    return await play(plan, part)


def verification_bytes(field: Field, size: int) -> int:
    """The coin, an inner product of a descriptor's length twice, two zeros; then what each has seen, and that it agrees."""
    return (COIN + 2 * 2 * size + 2) * field.itemsize + 4 * VIEW_BYTES + 2 * len(AGREED)


@FIELDS
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 130])
@pytest.mark.parametrize("slack", [0, -1])
async def questions__should_be_answered_right_up_to_the_limit(field: Field, rows: int, slack: int) -> None:
    rng = np.random.default_rng(rows)
    references = rng.normal(size=(rows, 8))
    probe = references[rng.integers(rows)] + rng.normal(size=8) / 50
    distances = halves(field.q, probe, references)
    limit = int(distances.min()) + slack
    shares = shares_of(field, on_sphere(field.q, probe)), shares_of(field, on_sphere(field.q, references))
    verified = await ask(matching.verify, matching.verify_plan(field.q, rows, 8), *shares, limit)
    match = slack == 0
    assert open_bits([r.shared for r in verified.results], 1).tolist() == [match]
    gates = [-(-rows // 4**k) for k in range(1, 9) if 4 ** (k - 1) < rows]
    assert verified.rounds == 3 + len(gates) + 3 + 2
    ands = sum(8 * 4 * words_for(k) + VIEW_BYTES for k in gates)
    assert verified.sent_bytes == [comparison_bytes(field, rows) + ands + verification_bytes(field, 8)] * 3
    identified = await ask(nearest.identify, nearest.identify_plans(field.q, rows, 8), *shares, limit)
    count = identified.results[0].count
    assert count == 1 + (rows - 1).bit_length()
    bits = open_bits([r.shared for r in identified.results], count)
    row = sum(int(b) << k for k, b in enumerate(bits[1:]))
    assert bits[0] == match
    assert row == (distances.argmin() if match else 0) or (match and distances[row] == distances.min())


@FIELDS
@pytest.mark.parametrize("rows", [1, 3, 7])
async def mean__should_take_a_match_away_right_from_its_limit(field: Field, rows: int) -> None:
    """Whoever asks is told the same as of a stranger, for one round more."""
    q, rng = field.q, np.random.default_rng(rows)
    references, mean = rng.normal(size=(rows, 8)), rng.normal(size=8)
    probe = references[0] + rng.normal(size=8) / 50
    exact = mean_of(q, mean, 0.5)
    for slack in (0, -1):
        test = replace(exact, limit=int(on_sphere(q, probe) @ np.array(exact.vector)) + slack)
        for question in ("verify", "identify"):
            asked, plain = (matched(q, question, None, probe, references, m) for m in (test, None))
            outcome, without = await play(asked.plan, asked.part), await play(plain.plan, plain.part)
            bits, expected = asked.answer_of(outcome), plain.answer_of(without)
            assert expected[0]
            assert bits == (expected if slack == 0 else [False] * len(bits))
            assert outcome.rounds - without.rounds == 1
            assert outcome.sent_bytes == [size + 2 * field.itemsize + 8 * 4 + VIEW_BYTES for size in without.sent_bytes]


@FIELDS
@pytest.mark.parametrize("rows", [1, 3, 7])
async def admission__should_open_one_bit_which_is_set_if_all_holds(field: Field, rows: int) -> None:
    """Near enough, and like neither mean: of the model that compares, nor of the other, whose field may be another."""
    q, other, rng = field.q, 92 - field.q, np.random.default_rng(rows)
    references, mean = rng.normal(size=(rows, 8)), rng.normal(size=8)
    probe, photo = references[0] + rng.normal(size=8) / 50, rng.normal(size=8)
    exact, of_other = mean_of(q, mean, 0.5), mean_of(other, mean, 0.5)
    least = int(halves(q, probe, references).min())
    for near, own, new in product((0, -1), (None, 0, -1), (None, 0, -1)):
        means = [
            None if slack is None else replace(one, limit=int(on_sphere(p, x) @ np.array(one.vector)) + slack)
            for slack, one, p, x in ((own, exact, q, probe), (new, of_other, other, photo))
        ]
        asked = admitted(q, other, photo, least + near, means[0], means[1], probe, references)
        outcome = await play(asked.plan, asked.part)
        assert asked.answer_of(outcome) == {near == 0 and own in (None, 0) and new in (None, 0)}
        assert outcome.kinds.count("answer") == 1
        assert "mean" not in outcome.kinds, "what is not decided by alone is not opened"


@FIELDS
async def comparison_of_two_photos__should_hold_both_against_the_mean(field: Field) -> None:
    q, rng = field.q, np.random.default_rng(0)
    photos, mean = rng.normal(size=(2, 8)), rng.normal(size=8)
    photos[1] = photos[0] + (photos[1] - photos[0]) / 50
    own = on_sphere(q, photos)
    exact, limit = mean_of(q, mean, 0.5), int(halves(q, photos[0], photos[1:])[0])
    likeness = own @ np.array(exact.vector)
    shares = shares_of(field, own)
    for most, match in ((likeness.max(), True), (likeness.max() - 1, False), (likeness.min() - 1, False)):
        test = replace(exact, limit=int(most))

        async def part(run: Run, kits: list[Kit], test: Any = test) -> Any:
            return await matching.compare(run, kits[0], shares[run.channel.party], limit, test)

        outcome = await play(matching.verify_plan(q, 1, 8, 2), part)
        assert open_bits([r.shared for r in outcome.results], 1).tolist() == [match]
        assert outcome.rounds == 3 + 1 + 3 + 2


@FIELDS
async def likeness_to_the_mean__should_be_known_to_the_parties(field: Field) -> None:
    """Of photos that are to be stored; nothing else is opened of them but uniform words."""
    photos, mean = np.random.default_rng(0).normal(size=(5, 8)), np.ones(8)
    exact = mean_of(field.q, mean, 0.5)
    likeness = on_sphere(field.q, photos) @ np.array(exact.vector)
    asked = like_the_mean(field.q, photos, replace(exact, limit=int(np.sort(likeness)[3])))
    outcome = await play(asked.plan, asked.part)
    assert asked.answer_of(outcome) == {tuple((likeness > np.sort(likeness)[3]).tolist())}
    assert outcome.rounds == 3 + 1 + 2
    lines = 5 * field.itemsize + 8 * (OPENED[field.q] + 1) + 5 * VIEW_BYTES
    assert outcome.sent_bytes == [lines + 2 * len(AGREED)] * 3


async def answers__should_be_hidden_from_each_party() -> None:
    """The two pieces that one party holds of the answer are balanced, whatever the answer is."""
    references, probe = shares_of(M31, np.zeros((1, 4))), shares_of(M31, np.zeros(4))
    seen = []
    for _ in range(200):
        outcome = await ask(matching.verify, matching.verify_plan(31, 1, 4), probe, references, 5)
        seen.append([int(piece[0]) & 1 for piece in outcome.results[0].shared])
    counts = np.array(seen).sum(axis=0)
    assert ((counts > 60) & (counts < 140)).all()  # 5.6 standard deviations


@pytest.mark.parametrize("apart", [1, -1])
async def identification__should_show_uniform_words(apart: int) -> None:
    """A gallery of equal rows, near or far: what each party hears in every round says nothing."""
    rows, size = 3000, 4
    references, probe = (shares_of(M31, on_sphere(31, x)) for x in (np.full((rows, size), apart), np.ones(size)))
    outcome = await ask(nearest.identify, nearest.identify_plans(31, rows, size), probe, references, 5)
    kinds = set(outcome.kinds)
    assert kinds == {
        *("masked product", "digits, level 1", "digits, level 2", "sign and positions", "choice"),
        *("coin", "triples", "differences", "last views", "agreement"),
    }
    for party in range(3):
        # those that do not fill the intervals of the test are put together
        words = np.concatenate(outcome.words(party, M31, "masked product", "triples", "coin"))
        assert looks_uniform(words, 31)
        for kind in ("digits, level 1", "digits, level 2", "sign and positions"):
            assert looks_balanced(np.concatenate(outcome.bits(party, kind)))


@FIELDS
@pytest.mark.parametrize("value", [0, -3])
async def fresh_share__should_say_nothing_but_the_value(field: Field, value: int) -> None:
    """The old sharing is constant: its slope, which may stem from secrets, must not be seen in the new one."""
    n = 20_000
    same = np.full(n, field.element(value))

    async def body(s: Session, party: int) -> Any:
        return fresh_share(s, field.add(same, np.full(n, field.element(7 * party))))  # 7 i is a line through -7

    outcome = await run(KitPlan(field.q, (Section("degree", 1),)), body)
    one, two, three = outcome.results
    assert is_degree_1(field, [one, two, three])  # who gets all of them sees whether one was changed
    assert (field.decode(reconstruct(field, [one, two, three])) == value - 7).all()
    assert all(looks_uniform(share, field.q) for share in (one, two, three, field.subtract(two, one)))
    assert outcome.sent_bytes == [0] * 3
