"""A counter of failures follows the bits that it is given, in shares that say nothing; only its end is ever opened."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from visard_engine.bits import pack
from visard_engine.field import M31, M61, Elements, Field
from visard_engine.kits import KitPlan
from visard_engine.protocols import lockout
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.shamir import is_degree_1, reconstruct
from visard_engine.views import VIEW_BYTES

from tests.engine.asking import counted, matched, stopped
from tests.engine.harness import Outcome, play, run, shares_of
from tests.engine.liar import Liar
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])


def bit_shares(bit: bool) -> list[np.ndarray]:
    """Pieces (2, 1) of each party of a random sharing of one bit; the rest of the word is whatever it is."""
    pieces = np.random.default_rng().integers(0, 1 << 63, 3, np.uint64)
    word = pieces[0] << np.uint64(1) | pack(np.array([bit]))[0]
    pieces[0] = pieces[1] ^ pieces[2] ^ word
    return [np.stack([pieces[i : i + 1], pieces[i - 1 : i or None][:1]]) for i in range(3)]


async def count(field: Field, counters: Sequence[Elements], bit: bool) -> Outcome:
    """The counters' n places, and afterwards n + 1, by a run of their own."""
    bits, plan = bit_shares(bit), KitPlan(field.q, (Section("lockout", counters[0].size),))

    async def body(s: Session, party: int) -> Any:
        return await lockout.counted(s, bits[party], counters[party])

    return await run(plan, body)


def after(failed: int, allowed: int, bit: bool) -> int:
    """The plain model."""
    return 0 if bit else min(failed + 1, allowed)


@FIELDS
@pytest.mark.parametrize("allowed", [1, 2, 5, 100])
async def counter__should_go_on_by_each_bit(field: Field, allowed: int) -> None:
    for failed, bit in product({0, allowed // 2, allowed - 1}, (False, True)):
        shares = shares_of(field, np.arange(allowed) == failed)
        outcome = await count(field, shares, bit)
        expected = (np.arange(allowed + 1) == after(failed, allowed, bit)).astype(int)
        assert field.decode(reconstruct(field, outcome.results)).tolist() == expected.tolist()
        assert is_degree_1(field, outcome.results)
        assert outcome.rounds == 1
        assert outcome.sent_bytes == [allowed * field.itemsize + 8 + VIEW_BYTES] * 3


@FIELDS
async def sequences_of_answers__should_end_where_the_plain_counter_does(field: Field) -> None:
    allowed, rng = 3, np.random.default_rng(0)
    for bits in rng.random((4, 8)) < 0.3:
        shares, failed = [lockout.nothing(field, allowed + 1)] * 3, 0
        for bit in bits:
            if failed == allowed:
                break
            shares = (await count(field, [share[:-1] for share in shares], bool(bit))).results
            failed = after(failed, allowed, bool(bit))
            assert field.decode(reconstruct(field, shares)).tolist() == [int(k == failed) for k in range(allowed + 1)]


@FIELDS
@pytest.mark.parametrize("before", [2, 5, 9])
@pytest.mark.parametrize("now", [1, 2, 5, 9])
def other_limit__should_keep_what_is_counted(field: Field, before: int, now: int) -> None:
    """A lower limit locks who has failed as often; a higher one lets whoever was locked go on from there."""
    for failed in range(before + 1):
        stored = np.concatenate([field.encode(np.arange(before + 1) == failed), np.zeros(20, field.dtype)])
        expected = (np.arange(now + 1) == min(failed, now)).astype(int).tolist()
        assert field.decode(lockout.folded(field, stored, now)).tolist() == expected
        assert lockout.folded(field, stored[: before + 1], now).tolist() == expected


@FIELDS
@pytest.mark.parametrize("bit", [False, True])
async def party__should_see_uniform_words_and_keep_fresh_shares(field: Field, bit: bool) -> None:
    """The sharing that goes in is constant: nothing of it is in what a party hears, nor in what it stores."""
    allowed, runs = 100, 60
    shares = [field.encode(np.arange(allowed) == 3)] * 3
    outcomes = [await count(field, shares, bit) for _ in range(runs)]
    for party in range(3):
        heard = [outcome.received(party) for outcome in outcomes]
        assert {(kind, sender) for messages in heard for kind, sender, _ in messages} == {("failures", (party + 1) % 3)}
        lines, words = (
            b"".join(message[part] for ((_, _, message),) in heard) for part in (slice(0, -8), slice(-8, None))
        )
        assert looks_uniform(np.frombuffer(lines, field.dtype), field.q)
        assert looks_balanced(np.unpackbits(np.frombuffer(words, np.uint8)).astype(np.bool_))
        stored = np.concatenate([outcome.results[party] for outcome in outcomes])
        assert looks_uniform(stored, field.q)
    slopes = np.concatenate([field.subtract(one.results[1], one.results[0]) for one in outcomes])
    assert looks_uniform(slopes, field.q), "one party's old share and another's new one must not fit together"


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("match", [True, False])
async def verification__should_answer_and_count_in_one_round_more(q: int, match: bool) -> None:
    for failed in (0, 4):
        asked = counted(q, failed, 5, match=match)
        outcome = await play(asked.plan, asked.part)
        expected = [int(k == after(failed, 5, match)) for k in range(6)]
        assert asked.answer_of(outcome) == ([match], expected)
        plain = matched(q, "verify")
        assert outcome.rounds == (await play(plain.plan, plain.part)).rounds + 2
        assert outcome.kinds.count("lockout") == outcome.kinds.count("failures") == 1


@pytest.mark.parametrize("q", [31, 61])
async def locked_counter__should_end_before_anything_else_is_computed(q: int) -> None:
    asked = counted(q, 5, 5)

    outcome = await play(asked.plan, without_rest(asked.part))
    assert asked.answer_of(outcome) == {"locked"}
    assert outcome.kinds == ["lockout", "last views", "agreement"]


@pytest.mark.parametrize("failed", [2, 5])
@pytest.mark.parametrize("party", range(3))
@pytest.mark.parametrize("flatters", [False, True])
async def wrong_share_of_a_counter__should_be_found(failed: int, party: int, flatters: bool) -> None:
    """Nobody is locked, nor let in, by the word of one party."""
    asked = counted(31, failed, 5, wrong=(party, 1))
    honest = counted(31, failed, 5)
    kinds = (await play(honest.plan, without_rest(honest.part))).kinds if flatters else ()
    outcome = await play(
        asked.plan, asked.part, liar=Liar(party, lambda message: [message.payload], kinds, bool(kinds))
    )
    assert stopped(outcome)


def without_rest(part: Any) -> Any:
    """A part whose kit may be left over."""

    async def shorter(own: Any, kits: Any) -> Any:
        result = await part(own, kits)
        for kit in kits:
            kit._used = len(kit._corrections[0])
        return result

    return shorter
