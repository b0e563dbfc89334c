"""The liar of the tests does what it says, on every kind of message there is, and nobody waits for ever."""

from pathlib import Path

import pytest
import visard_engine
from visard_engine.errors import EngineError, PeerLost, ProtocolError, RoundTimeout
from visard_engine.views import VIEW_BYTES

from tests.engine import liar as lies
from tests.engine.asking import QUESTIONS, stopped
from tests.engine.harness import TO_BOTH, play
from tests.engine.liar import AGREEMENT, LAST_VIEWS, Liar, Message, Told

KINDS = {
    *("degree", "masked product", "masked line", "digits, level 1", "digits, level 2", "sign", "sign and positions"),
    *("digits and coin", "tables and triples"),
    *("conjunction", "choice", "coin", "triples", "differences", "alarms", "answer", "mean"),
    *("lockout", "failures"),
    *("last views", "agreement"),
}


async def kinds_of(question: str) -> list[str]:
    asked = QUESTIONS[question]()
    return (await play(asked.plan, asked.part)).kinds


async def questions__should_open_every_kind() -> None:
    """A new kind of opening must come up in one of the questions, so that what lies about it is tried."""
    found = {kind for question in QUESTIONS for kind in await kinds_of(question)}
    assert found == KINDS
    text = "".join(path.read_text() for path in Path(visard_engine.__file__).parent.rglob("*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in text.replace("{number + 1}", "1")] == ["digits, level 2"]


@pytest.mark.parametrize("question", QUESTIONS)
async def truthful_liar__should_change_nothing(question: str) -> None:
    asked = QUESTIONS[question]()
    honest = await play(asked.plan, asked.part, kit_id=1)
    expected = asked.answer_of(honest)
    for flatters in (False, True):
        heard = list[Message]()

        def told(message: Message, heard: list[Message] = heard) -> list[bytes]:
            heard.append(message)
            return [message.payload]

        outcome = await play(asked.plan, asked.part, kit_id=1, liar=Liar(1, told, honest.kinds, flatters))
        assert asked.answer_of(outcome) == expected
        assert outcome.sent_bytes == honest.sent_bytes
        assert len(heard) == len(honest.kinds) + sum(kind in TO_BOTH for kind in honest.kinds)


HARMLESS = ((AGREEMENT, "repeated"),)  # a message that nobody reads
LIES: dict[str, lies.Lie] = {
    **{"dropped": lies.dropped, "repeated": lies.repeated, "swapped": lies.swapped, "emptied": lies.emptied},
    **{"shortened": lies.shortened, "lengthened": lies.lengthened, "invalid": lies.invalid},
    **{"other view": lies.other_view},
    **{"flipped": lies.flipped(), "flipped high": lies.flipped(29), "of last round": lies.OfLastRound()},
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("question", ["describe", "identify", "search"])
async def lie__should_stop_both_or_change_nothing(question: str, lie: str) -> None:
    asked = QUESTIONS[question]()
    honest = await play(asked.plan, asked.part, kit_id=1)
    expected = asked.answer_of(honest)
    for number, kind in enumerate(honest.kinds):
        party = number % 3
        both = ([(party + 1) % 3], [(party + 2) % 3], [0, 1, 2])
        for receivers in both if kind in TO_BOTH else both[2:]:
            nth = honest.kinds[:number].count(kind)
            told = Told(LIES[lie], kind, receivers, nth)
            outcome = await play(asked.plan, asked.part, kit_id=1, liar=Liar(party, told, honest.kinds))
            answered = [not isinstance(result, EngineError) for result in outcome.honest]
            if all(answered):  # nothing was said that was not true, or it was not read
                assert told.told == 0 or (kind, lie) in HARMLESS, (kind, receivers)
                assert asked.answer_of(outcome) == expected
            elif any(answered):  # all has been verified by then: who hears the truth in the agreement may go on
                (other,) = (i for i in outcome.honest_parties if isinstance(outcome.results[i], EngineError))
                assert outcome.kinds_of(other)[: len(honest.kinds) - 1] == honest.kinds[:-1], (kind, receivers)
            else:
                assert stopped(outcome)


async def message__should_be_taken_apart() -> None:
    seen: list[Message] = []

    def look(message: Message) -> list[bytes]:
        seen.append(message)
        return [message.payload]

    asked = QUESTIONS["identify"]()
    kinds = await kinds_of("identify")
    outcome = await play(asked.plan, asked.part, liar=Liar(2, look, kinds))
    assert [one.kind for one in seen if one.receiver == 1] == kinds
    assert {one.kind for one in seen if one.receiver == 0} == {"masked product", AGREEMENT}
    for message in seen:
        assert message.view + message.opened == message.payload
        assert len(message.view) == (VIEW_BYTES if message.receiver == 1 and message.kind != AGREEMENT else 0)
        assert (message.opened == b"") == (message.kind == LAST_VIEWS)
        assert (message.beside is not None) == (message.kind in TO_BOTH)
        assert set(message.heard) == ({0, 1} if message.kind in TO_BOTH else {0})
    received = [(sender, message) for sender, message in outcome.channels[1].received if sender == 2]
    assert [message for _, message in received] == [one.payload for one in seen if one.receiver == 1]


async def dropped_message__should_end_in_an_error_for_everybody() -> None:
    asked = QUESTIONS["verify"]()
    kinds = await kinds_of("verify")
    for kind in dict.fromkeys(kinds):
        outcome = await play(asked.plan, asked.part, liar=Liar(0, Told(lies.dropped, kind), kinds))
        assert stopped(outcome)


async def silent_party__should_be_waited_for_no_longer_than_a_round_may_take() -> None:
    asked = QUESTIONS["verify"]()
    kinds = await kinds_of("verify")
    for kind in (None, *kinds):
        outcome = await play(asked.plan, asked.part, liar=Liar(0, since(kind), kinds))
        assert all(isinstance(result, RoundTimeout | PeerLost) for result in outcome.honest)


def since(kind: str | None) -> lies.Lie:
    """Nothing more from the first round of this kind on."""
    said = [kind is not None]

    def lie(message: Message) -> list[bytes]:
        said[0] = said[0] and message.kind != kind
        return [message.payload] if said[0] else []

    return lie


@pytest.mark.parametrize("lie", [lies.shortened, lies.lengthened, lies.invalid, lies.emptied])
async def malformed_message__should_be_refused_as_such(lie: lies.Lie) -> None:
    asked = QUESTIONS["verify"]()
    kinds = await kinds_of("verify")
    for kind in ("masked product", "triples", "coin"):
        outcome = await play(asked.plan, asked.part, liar=Liar(1, Told(lie, kind), kinds, flatters=True))
        errors = [type(result) for result in outcome.honest]
        assert ProtocolError in errors or lie is lies.emptied
        assert all(issubclass(error, EngineError) for error in errors)
