"""A party whose shares are not what they were is found out before anybody answers: images, references, opened products."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from visard_engine import describe as describing
from visard_engine.claims import Squares
from visard_engine.errors import CheckFailed, InputRefused, PartyDeviates, PeerLost
from visard_engine.field import Elements, field_of
from visard_engine.kits import Kit
from visard_engine.protocols import comparison, degree, norm, search, threshold
from visard_engine.protocols import normalise as normalising
from visard_engine.protocols import verification as verifying
from visard_engine.protocols.lookup import Lookup
from visard_engine.protocols.normalise import unit_bits
from visard_engine.session import Run, Session
from visard_engine.shamir import share

from tests.engine.asking import (
    ASKED,
    GALLERY,
    PIXELS,
    PROBE,
    SHAPE,
    Question,
    described,
    halves,
    matched,
    mean_of,
    on_sphere,
    searched,
    stopped,
)
from tests.engine.harness import Outcome, play
from tests.engine.liar import Liar, Message, Told, flipped, instead, other_shares, plus

QS = pytest.mark.parametrize("q", [31, 61])
FLATTERS = pytest.mark.parametrize("flatters", [False, True])


async def with_liar(asked: Question, party: int, kinds: Sequence[str] = ()) -> Outcome:
    """A party that says what its shares are, whatever is wrong with them; it flatters if it knows the kinds of the rounds."""
    return await play(asked.plan, asked.part, liar=Liar(party, lambda message: [message.payload], kinds, bool(kinds)))


async def kinds_if(flatters: bool, asked: Question) -> Sequence[str]:
    return (await play(asked.plan, asked.part)).kinds if flatters else ()


def found_by_both(outcome: Outcome) -> bool:
    return all(isinstance(result, PartyDeviates) for result in outcome.honest)


# -- products of degree 2 ----------------------------------------------------------------------------------------------
@QS
@pytest.mark.parametrize("question", ["verify", "is_known", "identify"])
async def wrong_distance__should_be_found(q: int, question: str) -> None:
    """In every opening of the tournament and the decision, for every element."""
    asked = matched(q, question)
    sizes = [size for size, _ in await openings_of(asked)]
    assert sum(sizes) == (5 if question != "identify" else 2 + 1 + 1 + 1)
    for nth, size in enumerate(sizes):
        for place in range(size):
            with other_shares((nth + place) % 3, {place: [1, 7, -1][place % 3]}, nth) as spoilt:
                outcome = await with_liar(asked, (nth + place) % 3)
            assert [of for _, of in spoilt] == [size]
            assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


async def openings_of(asked: Question) -> list[tuple[int, str]]:
    """The openings of degree 2 of a question, in order: elements and kind."""
    found: list[tuple[int, str]] = []

    def wrap(opening: Any) -> Any:
        async def recording(s: Session, z: Elements, kind: str) -> Elements:
            if s.party == 0:
                found.append((z.size, kind))
            value: Elements = await opening(s, z, kind)
            return value

        return recording

    with instead(comparison, "open_parabolas", wrap), instead(search, "open_parabolas", wrap):
        await play(asked.plan, asked.part)
    return found


@QS
async def wrong_element_of_a_description__should_be_found(q: int) -> None:
    """In the network's openings, and in each element that the norm test (lines, nodes, the root) and the normalisation open."""
    asked = described(q)
    sizes = [size for size, _ in await openings_of(asked)]
    assert sizes[-2:] == [norm.comparisons(4), 4] == [9, 4]
    for nth, size in enumerate(sizes):
        for place in range(size) if nth >= len(sizes) - 2 else {0, size // 2, size - 1}:
            with other_shares(place % 3, {place: 3}, nth) as spoilt:
                outcome = await with_liar(asked, place % 3)
            assert len(spoilt) == 1
            assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


async def errors_that_cancel__should_be_found() -> None:
    """Several elements at once, whose plain sum is right."""
    asked = described(31)
    for nth, (size, _) in enumerate(await openings_of(asked)):
        for errors in ({0: 1, 1: -1}, {0: 5, size // 2: -10, -1: 5}, dict.fromkeys(range(size), 1)):
            with other_shares(nth % 3, errors, nth):
                outcome = await with_liar(asked, nth % 3)
            assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


# -- shares of degree 1 ------------------------------------------------------------------------------------------------
@QS
@FLATTERS
@pytest.mark.parametrize("question", ["verify", "is_known", "identify"])
async def changed_reference__should_be_found(q: int, question: str, flatters: bool) -> None:
    """Every element of a stored vector, and of the probe, changed at one party for good."""
    field = field_of(q)
    kinds, plan = await kinds_if(flatters, matched(q, question)), matched(q, question).plan
    own, stored = (share(field, field.encode(on_sphere(q, x))) for x in (PROBE, GALLERY))
    limit = int(halves(q, PROBE, GALLERY).min())
    ask, _ = ASKED[question]
    for place in range(own[0].size + stored[0].size):
        liar = place % 3

        async def part(run: Run, kits: list[Kit], liar: int = liar, place: int = place) -> Any:
            i = run.channel.party
            probe, gallery = own[i].copy(), stored[i].copy()
            if i == liar:
                changed, at = (probe, place) if place < probe.size else (gallery.reshape(-1), place - probe.size)
                changed[at] = (int(changed[at]) + 1) % field.p
            return await ask(run, kits if isinstance(plan, tuple) else kits[0], probe, gallery, limit)

        outcome = await with_liar(Question(plan, part, lambda results: None), liar, kinds)
        assert stopped(outcome)
        assert any(isinstance(result, PartyDeviates) for result in outcome.honest)
        assert found_by_both(outcome) or flatters


@QS
@FLATTERS
async def changed_reference__should_be_found_by_a_search(q: int, flatters: bool) -> None:
    """Likewise where all that are near enough are wanted."""
    honest = searched(q, [1 << 2 * unit_bits(q) - 2])
    kinds = await kinds_if(flatters, honest)
    for place in range(PROBE.size + GALLERY.size):
        liar = place % 3

        def spoil(party: int, x: Elements, place: int = place, liar: int = liar) -> Elements:
            at = place if x.ndim == 1 else place - PROBE.size
            if party != liar or not 0 <= at < x.size:
                return x
            changed = x.copy()
            changed.reshape(-1)[at] = (int(changed.reshape(-1)[at]) + 1) % field_of(q).p
            return changed

        outcome = await with_liar(searched(q, [1 << 2 * unit_bits(q) - 2], spoil=spoil), liar, kinds)
        assert stopped(outcome)
        assert any(isinstance(result, PartyDeviates) for result in outcome.honest)
        assert found_by_both(outcome) or flatters


@QS
async def wrong_product_of_a_search__should_be_found(q: int) -> None:
    """In what is opened of each row, and of the margin behind them."""
    asked = searched(q, [1 << 2 * unit_bits(q) - 2], mean=mean_of(q, GALLERY[0], 0.9))
    for place in range(len(GALLERY) + 1):
        with other_shares(place % 3, {place: [1, 7, -1][place % 3]}) as spoilt:
            outcome = await with_liar(asked, place % 3)
        assert spoilt == [("masked product", len(GALLERY) + 1)]
        assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


@QS
@FLATTERS
async def wrong_factor__should_be_found(q: int, flatters: bool) -> None:
    """What a descriptor is multiplied with is what was looked up of its length."""
    asked = described(q)
    kinds = await kinds_if(flatters, asked)
    for party in range(3):

        def wrap(normalise: Any, party: int = party) -> Any:
            async def other(s: Session, e: Elements, squares: Lookup) -> Any:
                if s.party == party:
                    ones = s.field.add(squares.ones, np.ones_like(squares.ones))
                    squares = Lookup(s.field, squares.opened, ones)
                return await normalise(s, e, squares)

            return other

        with instead(normalising, "normalise", wrap):
            outcome = await with_liar(asked, party, kinds)
        assert stopped(outcome)
        assert any(isinstance(result, PartyDeviates) for result in outcome.honest)


@FLATTERS
async def distance_to_another_reference__should_be_found(flatters: bool) -> None:
    """Changed while the distances are made alone: verified are those to what is stored."""
    asked = matched(31, "verify")
    kinds = await kinds_if(flatters, asked)
    for place in range(GALLERY.size):
        probes = dict[int, Any]()

        def wrap(share_of: Any, place: int = place, probes: dict[int, Any] = probes) -> Any:
            def other(self: Any) -> Elements:
                if self._probe is not probes.get(place % 3):
                    return np.asarray(share_of(self))
                gallery: Any = self._gallery.copy()
                gallery.reshape(-1)[place] = (int(gallery.reshape(-1)[place]) + 1) % self._field.p
                return np.asarray(
                    share_of(threshold.Distances(self._field, np.asarray(self._probe), np.asarray(gallery)))
                )

            return other

        def remember(distances: Any, probes: dict[int, Any] = probes) -> Any:
            async def of(s: Session, probe: Elements, gallery: Elements) -> Any:
                probes[s.party] = probe
                return await distances(s, probe, gallery)

            return of

        with instead(threshold.Distances, "share", wrap), instead(threshold, "distances", remember):
            outcome = await with_liar(asked, place % 3, kinds)
        assert [type(result) for result in outcome.honest] == [CheckFailed] * 2


@QS
@FLATTERS
async def image_changed_after_its_test__should_be_found(q: int, flatters: bool) -> None:
    field, kinds = field_of(q), await kinds_if(flatters, described(q))
    for place in range(0, int(np.prod(SHAPE)), 5):
        liar, asked = place % 3, described(q)

        def wrap(embed: Any, liar: int = liar, place: int = place) -> Any:
            async def other(s: Session, model: Any, images: Elements) -> Any:
                if s.party == liar:
                    images = images.copy()
                    images.reshape(-1)[place] = (int(images.reshape(-1)[place]) + 1) % field.p
                return await embed(s, model, images)

            return other

        with instead(describing, "embed", wrap):
            outcome = await with_liar(asked, liar, kinds)
        assert stopped(outcome)
        assert any(isinstance(result, PartyDeviates) for result in outcome.honest)
        assert found_by_both(outcome) or flatters


@pytest.mark.parametrize("party", [0, 1, 2])
async def image_changed_before_its_test__should_be_refused_by_all(party: int) -> None:
    """Nobody can tell whether the client has shared no line or a party says so."""
    asked = described(31)

    def wrap(test: Any) -> Any:
        async def other(s: Session, shares: Elements) -> Any:
            return await test(
                s, plus(s, shares.reshape(-1), {3: 1}).reshape(shares.shape) if s.party == party else shares
            )

        return other

    with instead(degree, "is_degree_1", wrap):
        outcome = await with_liar(asked, party)
    assert [type(result) for result in outcome.results] == [InputRefused] * 3


@QS
@FLATTERS
async def changed_row_of_squares__should_be_found(q: int, flatters: bool) -> None:
    """What is verified as the norm test's squares is the descriptor itself: every element, changed at one party."""
    asked = described(q)
    kinds = await kinds_if(flatters, asked)
    for place in range(norm.FAN_IN):  # those that fill up a row too

        def wrap(verify: Any, place: int = place) -> Any:
            async def other(s: Session, pairs: int) -> None:
                if s.party == place % 3:
                    assert isinstance(s.claims.rows, Squares)
                    matrix = s.claims.rows.matrix
                    s.claims.rows = Squares(plus(s, matrix.reshape(-1), {place: 1}).reshape(matrix.shape))
                await verify(s, pairs)

            return other

        with instead(describing, "verify", wrap):
            outcome = await with_liar(asked, place % 3, kinds)
        assert stopped(outcome)
        assert any(isinstance(result, PartyDeviates) for result in outcome.honest)
        assert found_by_both(outcome) or flatters


# -- the verification itself -------------------------------------------------------------------------------------------
async def zero_said_to_one__should_not_help() -> None:
    """A liar that listens first can make one party's difference zero; the other has seen that it is not."""
    field = field_of(31)
    for party in range(3):
        asked = matched(31, "verify")
        before, after = (party + 2) % 3, (party + 1) % 3
        own: list[Elements] = []

        def wrap(opening: Any, own: list[Elements] = own, party: int = party) -> Any:
            async def recording(s: Session, value: Elements, kind: str) -> Any:
                if s.party == party and kind == "differences":
                    own.append(value)
                return await opening(s, value, kind)

            return recording

        def zero(message: Message, own: list[Elements] = own, party: int = party) -> list[bytes]:
            after = (party + 1) % 3
            theirs = np.frombuffer(message.heard[after], field.dtype, offset=message.start).astype(object)
            # the line through both gives the victim's share; with which share of ours is its value at 0 zero?
            x, y, z = party + 1, after + 1, message.receiver + 1
            slope = (theirs - own[-1].astype(object)) * pow(y - x, -1, field.p)
            victim = (own[-1].astype(object) + slope * (z - x)) % field.p
            lie = victim * x * pow(z, -1, field.p) % field.p
            return [message.with_opened(field.encode(lie.tolist()).tobytes())]

        honest = await play(asked.plan, asked.part)
        with other_shares(party, {0: 1}), instead(verifying, "open_lines", wrap):
            told = Told(zero, "differences", [before])
            outcome = await play(asked.plan, asked.part, liar=Liar(party, told, honest.kinds, flatters=True))
        assert told.told == 1
        assert isinstance(outcome.results[after], CheckFailed)
        assert isinstance(outcome.results[before], PeerLost)  # it has seen zeros, and waits for the other to agree
        assert outcome.kinds_of(before)[-1] == "differences"


async def lie_in_the_verification__should_not_pass() -> None:
    asked = described(31)
    honest = await play(asked.plan, asked.part)
    for kind in ("coin", "triples", "differences"):
        for bit in (0, 7, 32 + 3):
            for party in range(3):
                told = Told(flipped(bit), kind)
                outcome = await play(asked.plan, asked.part, liar=Liar(party, told, honest.kinds, flatters=True))
                assert told.told == 1
                assert stopped(outcome)


def examples__should_be_in_range() -> None:
    assert PIXELS.min() >= 0
    for q in (31, 61):
        distances = halves(q, PROBE, GALLERY)
        assert distances.argmin() == 3
        assert distances[3] * 100 < sorted(distances)[1]
