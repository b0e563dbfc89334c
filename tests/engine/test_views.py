"""A lie told to one of two honest parties is heard of by the other in the next round, whatever the liar says it has seen."""

from typing import Any

import pytest
from visard_engine.errors import (
    CheckFailed,
    EngineError,
    InputRefused,
    PartyDeviates,
    PeerLost,
    ProtocolError,
    RoundTimeout,
    ViewsDiffer,
)
from visard_engine.prss import PairKeys
from visard_engine.views import DIGEST_BYTES, VIEW_BYTES, Views

from tests.engine import liar as lies
from tests.engine.asking import QUESTIONS, Question
from tests.engine.harness import TO_BOTH, Outcome, play
from tests.engine.liar import AGREEMENT, LAST_VIEWS, Liar, Told

ASKED = pytest.mark.parametrize("question", ["describe", "evaluate", "verify", "is known", "identify"])
KEYS = PairKeys(b"own key " * 2, b"previous" * 2)
PARTIES = pytest.mark.parametrize("party", [0, 1, 2])


def after(party: int) -> int:
    return (party + 1) % 3


def before(party: int) -> int:
    return (party + 2) % 3


async def lied(asked: Question, kinds: list[str], party: int, told: Told, **options: Any) -> Outcome:
    outcome = await play(asked.plan, asked.part, liar=Liar(party, told, kinds, **options))
    assert told.told == 1
    return outcome


@ASKED
@PARTIES
@pytest.mark.parametrize("flatters", [False, True])
async def lie_told_to_one__should_be_heard_of_in_the_next_round(question: str, party: int, flatters: bool) -> None:
    """In every round: the party that was not lied to, or was, sees that the other has opened something else."""
    asked = QUESTIONS[question]()
    kinds = (await play(asked.plan, asked.part)).kinds
    for number, kind in enumerate(kinds[:-2]):
        for receiver in (before(party), after(party)) if kind in TO_BOTH else (before(party),):
            told = Told(lies.flipped(), kind, [receiver], kinds[:number].count(kind))
            outcome = await lied(asked, kinds, party, told, flatters=flatters)
            found, other = outcome.results[after(party)], outcome.results[before(party)]
            if isinstance(other, CheckFailed) and outcome.channels[before(party)].rounds == number + 1:
                assert kind == "differences"  # who sees that a check has failed says no more
                assert isinstance(found, ViewsDiffer | PeerLost | CheckFailed)
                continue
            if kind == "degree" and isinstance(found, RoundTimeout):
                assert len(outcome.kinds_of(before(party))) <= 2  # they are in different rounds, and the liar waits too
                continue
            assert isinstance(found, ViewsDiffer), (kind, receiver)  # it hears the other honest party
            # whom the degree test was falsified to has nothing left to do but agree
            assert found.kind in ((kinds[1], LAST_VIEWS) if kind == "degree" else (kinds[number + 1],))
            assert (found.number, found.peer) == (number + 2, before(party))
            assert outcome.channels[after(party)].rounds == number + 2  # nothing went out after it had heard
            assert isinstance(other, PartyDeviates | PeerLost | RoundTimeout | ProtocolError)
            # it alone goes on, if it is flattered, as far as it needs only the liar: what it says goes to nobody else
            heard = outcome.channels[party].received
            sent_by_honest = [peer for peer, _ in heard[_messages(kinds[: number + 2]) :]]
            assert set(sent_by_honest) <= {before(party)}


@pytest.mark.parametrize("question", ["describe", "evaluate"])
async def refusal__should_wait_until_both_have_seen_the_same(question: str) -> None:
    """A liar that falsifies the degree test towards one party must not make it blame the caller."""
    asked = QUESTIONS[question]()
    kinds = (await play(asked.plan, asked.part)).kinds
    for party in range(3):
        for receiver in (before(party), after(party)):
            outcome = await lied(asked, kinds, party, Told(lies.flipped(), "degree", [receiver]), flatters=True)
            assert not any(isinstance(result, InputRefused) for result in outcome.honest)


def _messages(kinds: list[str]) -> int:
    return sum(2 if kind in TO_BOTH else 1 for kind in kinds)


@ASKED
@PARTIES
async def wrong_hash__should_stop_whoever_hears_it_at_once(question: str, party: int) -> None:
    asked = QUESTIONS[question]()
    kinds = (await play(asked.plan, asked.part)).kinds
    for number, kind in enumerate(kinds[:-1]):
        told = Told(lies.other_view, kind, [before(party)], kinds[:number].count(kind))
        outcome = await lied(asked, kinds, party, told)
        found = outcome.results[before(party)]
        assert isinstance(found, ViewsDiffer)
        assert (found.kind, found.number, found.peer) == (kind, number + 1, party)
        assert outcome.channels[before(party)].rounds == number + 1


@ASKED
@PARTIES
@pytest.mark.parametrize("lie", [lies.flipped(), lies.emptied, lies.dropped])
async def disagreement__should_stop_whoever_hears_it(question: str, party: int, lie: lies.Lie) -> None:
    """Whoever does not hear it may go on: everything is verified, and both have seen the same."""
    asked = QUESTIONS[question]()
    honest = await play(asked.plan, asked.part, kit_id=1)
    for receiver in (before(party), after(party)):
        outcome = await play(
            asked.plan, asked.part, kit_id=1, liar=Liar(party, Told(lie, AGREEMENT, [receiver]), honest.kinds)
        )
        assert isinstance(outcome.results[receiver], ProtocolError | PeerLost)
        (other,) = {before(party), after(party)} - {receiver}
        assert not isinstance(outcome.results[other], EngineError)


@ASKED
async def last_opening__should_be_compared_before_anything_is_answered(question: str) -> None:
    """One hears of it in the round of the last views, and the other that it does not agree."""
    asked = QUESTIONS[question]()
    kinds = (await play(asked.plan, asked.part)).kinds
    assert kinds[-2:] == [LAST_VIEWS, AGREEMENT]
    last = kinds[-3]
    for party in range(3):
        told = Told(lies.flipped(), last, [before(party)], kinds[:-3].count(last))
        outcome = await lied(asked, kinds, party, told, flatters=True)
        errors = [type(result) for result in outcome.honest]
        assert any(issubclass(error, PartyDeviates) for error in errors)
        assert all(issubclass(error, PartyDeviates | PeerLost | RoundTimeout) for error in errors)


async def evidence__should_hold_digests_alone() -> None:
    """Round, kind, and what each message was by a hash, of the last two rounds: nothing of what was in them."""
    asked = QUESTIONS["identify"]()
    kinds = (await play(asked.plan, asked.part)).kinds
    number = kinds.index("masked product", 1)
    told = Told(lies.flipped(), "masked product", [0], kinds[:number].count("masked product"))
    outcome = await lied(asked, kinds, 1, told)
    evidence = [run.views.evidence() for run in outcome.runs]
    for party in (0, 2):
        assert [one["opening"] for one in evidence[party]] == kinds[number : number + 2]
        for one in evidence[party]:
            assert set(one) == {"round", "opening", "sent", "received"}
            digests = [*_values(one["sent"]), *_values(one["received"])]
            assert all(isinstance(text, str) and len(bytes.fromhex(text)) == DIGEST_BYTES for text in digests)
        raw = "".join(message.hex() for _, message in outcome.channels[party].received)
        shown = str(evidence[party])
        assert not any(digest in raw for one in evidence[party] for digest in _values(one["received"]))
        assert len(shown) < 2000
    # what a party has sent is what the other has received, but where the liar has said something else than it tells
    one, two = evidence[0][0], evidence[2][0]
    assert one["sent"][2] == two["received"][0]  # type: ignore[index]
    assert one["received"][2] == two["sent"][0]  # type: ignore[index]
    assert one["received"][1] != evidence[1][-2]["sent"][0]  # type: ignore[index]


def _values(found: Any) -> list[str]:
    return list(found.values())


def rounds__should_not_be_printed() -> None:
    views = Views(KEYS, 0)
    views.round("sign", {1: b"secret"}, {2: b"masked"})
    assert "secret" not in repr(views) + repr(views._rounds) + str(views.evidence())
    assert repr(views._rounds[0]) == "<Round: sign>"


def digests__should_be_of_use_to_the_two_ends_of_a_message_alone() -> None:
    """The third, who may have driven two views apart, has nothing to try its guesses of a message on."""
    links = {0: b"of 0 and 1------", 1: b"of 1 and 2------", 2: b"of 2 and 0------"}
    parties = [Views(PairKeys(links[i], links[(i + 2) % 3]), i) for i in range(3)]
    parties[0].round("sign", {1: b"bits"}, {})
    parties[1].round("sign", {2: b"bits"}, {0: b"bits"})
    (sent,), (passed_on,) = ([one["sent"] for one in views.evidence()] for views in parties[:2])
    (received,) = [one["received"] for one in parties[1].evidence()]
    assert sent[1] == received[0] != passed_on[2]  # type: ignore[index]


def view__should_depend_on_everything_opened_and_its_order() -> None:
    def digest(*opened: bytes) -> bytes:
        views = Views(KEYS, 0)
        for one in opened:
            views.saw(one)
        assert len(views.digest) == VIEW_BYTES
        return views.digest

    found = [
        digest(),
        digest(b""),
        digest(b"a"),
        digest(b"a", b"b"),
        digest(b"b", b"a"),
        digest(b"ab"),
        digest(b"", b"ab"),
    ]
    assert len(set(found)) == len(found)
