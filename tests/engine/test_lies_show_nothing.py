"""Whatever a party says, what it hears until the others stop is uniform: no lie makes them show anything of a secret."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from visard_engine.field import M31
from visard_engine.kits import KitPlan
from visard_engine.protocols import maximum, relu, verification
from visard_engine.sections import Section
from visard_engine.session import Session

from tests.engine import liar as lies
from tests.engine.asking import matched
from tests.engine.harness import NOWHERE, Outcome, play, run, wide_shares_of
from tests.engine.liar import Liar, Told, instead, other_shares
from tests.engine.statistics import looks_balanced, looks_uniform

WORDS = ("masked product", "triples", "coin")
BITS = ("digits, level 1", "digits, level 2", "sign", "sign and positions", "conjunction", "choice")
# nothing else is opened but what was verified before, a combination of the liar's own errors, and hashes
N = 6000
LIES: dict[str, lies.Lie] = {
    **{
        "flipped": lies.flipped(),
        "last round": lies.OfLastRound(),
        "other view": lies.other_view,
        "other bit": lies.flipped(37),
    },
}


async def two_layers(secret: int, liar: Liar | None) -> Outcome:
    """A ReLU of wide shares of one secret, and an exact one of what comes of it, whose product with itself is wide."""
    shares = wide_shares_of(M31, np.full(N, secret))
    plan = KitPlan(31, (Section("relu", N, 12), Section("max", N)))

    async def body(s: Session, i: int) -> Any:
        y = await relu.relu(s, shares[i], 12, NOWHERE)
        return await maximum.exact_relu(s, s.field.multiply(y, y), NOWHERE)

    return await run(plan, body, liar=liar)


def uniform(outcome: Outcome, party: int) -> None:
    """What the party has heard in each message, and what two messages of a round say together."""
    for words in outcome.words(party, M31, *WORDS):
        if words.size == N:
            assert looks_uniform(words, 31)
    pairs = outcome.words(party, M31, "masked product")
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        for a, b in ((1, 1), (1, -1), (3, -1), (2, 1)):  # lines and parabolas through two shares
            assert looks_uniform(M31.add(M31.scale(one, a), M31.scale(other, b)), 31)
    for bits in outcome.bits(party, *BITS):
        assert looks_balanced(bits)


@pytest.mark.parametrize("secret", [-(1 << 20), 1 << 20])
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("flatters", [False, True])
async def liar__should_hear_uniform_words(secret: int, lie: str, flatters: bool) -> None:
    kinds = (await two_layers(secret, None)).kinds
    heard = set[int]()
    for number, kind in enumerate(kinds):
        for receivers in ([0, 1, 2], [2]):
            told = Told(LIES[lie], kind, receivers, kinds[:number].count(kind))
            outcome = await two_layers(secret, Liar(1, told, kinds, flatters))
            uniform(outcome, 1)
            heard.add(len(outcome.kinds_of(1)))
            assert len(outcome.kinds_of(1)) <= max(number + 2, len(kinds))
    assert max(heard) >= len(kinds) - 1


@pytest.mark.parametrize("secret", [-(1 << 20), 1 << 20])
@pytest.mark.parametrize("error", [1, 1 << 20, 1 << 29])
async def liar_with_other_shares__should_hear_uniform_words(secret: int, error: int) -> None:
    """Nobody sees that anything is wrong before the end: all rounds go on, with values that the liar has moved."""
    for nth in range(2):
        with other_shares(1, dict.fromkeys(range(N), error), nth):
            outcome = await two_layers(secret, Liar(1, lambda message: [message.payload], []))
        assert len(outcome.results[1]) == N
        uniform(outcome, 1)


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("kind", ["none", "masked product", "digits, level 2", "sign and positions", "triples"])
async def liar_in_a_search__should_hear_uniform_words(kind: str, near: bool) -> None:
    """What comes in few words is put together from many runs; in a search for one and the same."""
    gallery = np.full((4, 4), 1 if near else -1)
    asked = matched(31, "identify", 6, np.ones(4), gallery)
    kinds = (await play(asked.plan, asked.part)).kinds
    words, bits = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
    for _ in range(60):
        told = Told(lies.flipped(), kind)
        outcome = await play(asked.plan, asked.part, liar=Liar(1, told, kinds, flatters=True))
        for one in WORDS:
            words[one] += outcome.words(1, M31, one)
        for one in BITS:
            bits[one] += outcome.bits(1, one)
    for found in words.values():
        if sum(part.size for part in found) > 300:
            assert looks_uniform(np.concatenate(found), 31)
    for found in bits.values():
        if found:
            assert looks_balanced(np.concatenate(found))
    assert words["masked product"]
    assert bits["digits, level 1"]


async def differences__should_be_the_liars_own() -> None:
    """What is opened at the end depends on what the liar has added and on the coin: it is the same whatever the secrets are."""
    for place in range(4):
        seen = list[list[int]]()

        def recording(opening: Any, seen: list[list[int]] = seen) -> Any:
            async def opened(s: Session, share: Any, kind: str) -> Any:
                value = await opening(s, share, kind)
                if kind == "differences" and s.party == 0:
                    seen.append(value.tolist())
                return value

            return opened

        for apart in (0, 3, 40):
            asked = matched(31, "verify", 6, np.ones(4), np.ones((4, 4)) + apart * np.eye(4))
            with other_shares(1, {place: 1}), instead(verification, "open_lines", recording):
                await play(asked.plan, asked.part, kit_id=7, liar=Liar(1, lambda message: [message.payload], []))
        assert len(seen) == 3
        assert all(0 not in one and one == seen[0] for one in seen)
