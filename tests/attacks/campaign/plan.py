"""Which run does what: a run's seed alone decides, so that one can be repeated; every kind of message has its turn."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import numpy as np

from tests.attacks.campaign import deviations, questions
from tests.attacks.campaign.deviations import ALL_LIES, Place
from tests.attacks.campaign.engine import HUNG, WRONG, Case, Deviation, judged, play
from tests.attacks.campaign.questions import (
    BATCH,
    COUNTED,
    ENROL,
    IDENTIFY,
    QUESTIONS,
    RUN,
    SEARCH,
    SESSION,
    UNIQUE,
    VERIFY,
)
from tests.attacks.campaign.world import GLARING, world
from tests.engine.harness import raise_first
from tests.engine.liar import AGREEMENT, Lie
from tests.engine.liar import other_shares as lying_shares

RUNS = 1_000_000  # seeds of a campaign: run k of campaign s has seed s * RUNS + k
FIELDS = (31, 61)
OTHER_SHARES, OFTEN, REFERENCE, WEIGHT, IMAGE = "other shares", "often", "reference", "weight", "image"
PIECES, ACCOMPLICE = "pieces of the answer", "accomplice"
# what is done besides one lie about one message: each once in so many runs
BESIDE = (OTHER_SHARES, OFTEN, REFERENCE, WEIGHT, IMAGE, PIECES, ACCOMPLICE)
TURN = 20
Rng = np.random.Generator


@dataclass(frozen=True)
class Target:
    """A kind of message of a question, and which rounds it has, in an honest run."""

    question: str
    q: int
    kind: str
    session: str


@dataclass
class Report:
    """One run: its seed, what was asked and what the liar did, and what became of it."""

    seed: int
    what: str
    kind: str  # of the message that was lied about; empty where it was something else
    became: str
    why: str

    @property
    def bad(self) -> bool:
        """Whether this must not be."""
        return self.became in (WRONG, HUNG)

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.became}: {self.what}" + (f" ({self.why})" if self.why else "")


def case_of(question: str, q: int, rng: Rng, fewest: int = 1) -> Case:
    """A question about up to three enrolled, of one image, or for an enrolment of one or two."""
    people = 3 if question == IDENTIFY else int(rng.integers(fewest, 4))
    asked = world(rng, q, questions.purpose_of(question), people)
    images = [asked.probe]
    if question in (ENROL, UNIQUE) and rng.integers(2):
        images.append(rng.integers(0, 256, asked.probe.shape))
    return Case(question, asked, np.stack(images), rng)


@cache
def honest_kinds(question: str, q: int, people: int, images: int) -> dict[str, list[str]]:
    """The kinds of an honest run's rounds, by session; it is right."""
    rng = np.random.default_rng([q, people, images])
    for _ in range(100):  # an enrolment of somebody known ends early
        made = world(rng, q, questions.purpose_of(question), people)
        strangers = rng.integers(0, 256, (images, *made.probe.shape))
        case = Case(question, made, strangers if question in (ENROL, UNIQUE) else made.probe[None], rng)
        if isinstance(case.right, str) and question in (ENROL, UNIQUE):
            continue
        outcome = asyncio.run(play(case))
        raise_first(outcome.results)
        became, why = judged(case, Deviation(0, "nothing"), outcome)
        assert became == "right", f"an honest run of {question}: {why}"
        return outcome.kinds
    raise AssertionError("everybody is known here")


@cache
def targets() -> tuple[Target, ...]:
    """Every kind of message of every question, found by asking it."""
    found = [
        Target(question, q, kind, session)
        for question, q in product(QUESTIONS, FIELDS)
        for session, kinds in honest_kinds(question, q, 3, 1).items()
        for kind in dict.fromkeys(kinds)
    ]
    # neighbours ask different questions, and the shortest campaign has every kind
    mixed = [found[k] for k in np.random.default_rng(0).permutation(len(found))]
    first = list({target.kind: target for target in reversed(mixed)}.values())
    return (*first, *(target for target in mixed if target not in first))


def run(seed: int) -> Report:
    """The run of this seed."""
    rng, k = np.random.default_rng(seed), seed % RUNS
    nth, place = divmod(k, TURN)
    if place < len(BESIDE):
        return _beside(seed, BESIDE[place], nth, rng)
    message = nth * (TURN - len(BESIDE)) + place - len(BESIDE)
    target = targets()[message % len(targets())]
    lie = ALL_LIES[(message // len(targets()) + message) % len(ALL_LIES)]
    fewest = 2 if target.kind == "conjunction" else 1  # with a single reference there is none
    return _lied(seed, case_of(target.question, target.q, rng, fewest), lie, target.kind, target.session)


def _lied(seed: int, case: Case, name: str, kind: str, session: str) -> Report:
    rng, party = case.rng, int(case.rng.integers(3))
    kinds = _kinds(case)
    rounds = [n for n, one in enumerate(kinds[session]) if one == kind]
    place = Place(session, int(rng.choice(rounds)), kind)
    lie, to, where = _message_lie(place, name, party, case)
    what = f"{name}: round {place.number} of the {session} ({kind}) to {to}"
    return _told(seed, case, Deviation(party, what, {session: lie}, where), kind)


def _message_lie(place: Place, name: str, party: int, case: Case) -> tuple[Lie, str, bool]:
    others = [(party + 1) % 3, (party + 2) % 3]
    sent = others if place.kind in BOTH else others[1:]
    receivers = [sent, sent[:1], sent[-1:]][int(case.rng.integers(3))]
    flatters = bool(case.rng.integers(2)) and name != "other view"
    lie = deviations.lie_at(place, name, receivers, case.rng, case.field)
    return lie, f"{receivers}{' who are flattered' if flatters else ''}", flatters


BOTH = ("masked product", "degree", AGREEMENT)  # what goes to both others


def _kinds(case: Case) -> dict[str, list[str]]:
    return honest_kinds(case.question, case.field.q, len(case.world.enrolled), len(case.images))


def _told(seed: int, case: Case, deviation: Deviation, kind: str = "") -> Report:
    outcome = asyncio.run(play(case, deviation, _kinds(case)))
    became, why = judged(case, deviation, outcome)
    people = f"{len(case.world.enrolled)} enrolled, {len(case.images)} images"
    what = f"{case.question} (q {case.field.q}, {people}), party {deviation.party}: {deviation.what}"
    return Report(seed, what, kind, became, why)


# -- besides lies about one message ------------------------------------------------------------------------------------
def _beside(seed: int, sort: str, nth: int, rng: Rng) -> Report:
    q, party = FIELDS[nth % 2], int(rng.integers(3))
    askable = {
        REFERENCE: (VERIFY, IDENTIFY, UNIQUE, SEARCH, COUNTED),
        PIECES: (VERIFY, IDENTIFY, RUN, SEARCH),
        ACCOMPLICE: (VERIFY, IDENTIFY, ENROL, UNIQUE, SEARCH, COUNTED),
    }
    some: Sequence[str] = askable.get(sort, QUESTIONS)
    case = case_of(some[nth // 2 % len(some)], q, rng)
    deviation = Deviation(party, sort, flatters=bool(rng.integers(2)))
    match sort:
        case "other shares":
            _other_shares(case, deviation)
        case "often":
            often = deviations.Often(rng, case.field)
            deviation.lies = dict.fromkeys(questions.sessions_of(case.question), often)
        case "reference":
            # every element has its turn
            deviation.references = deviations.other(case.references[party], nth, rng, case.field)
            deviation.what = f"element {nth % case.references[party].size} of its references is another"
        case "weight":
            deviation.weights = deviations.other(case.weights[party], nth, rng, case.field)
            deviation.what = f"weight {nth % case.weights[party].size} is another"
        case "image":
            _other_image(case, deviation)
        case "pieces of the answer":
            deviation.pieces = partial(deviations.other_pieces, rng=rng)
        case "accomplice":
            return _accomplice(seed, case, deviation)
    return _told(seed, case, deviation)


def _other_shares(case: Case, deviation: Deviation) -> None:
    """The same to both, in an opening of degree 2: no views differ, and the liar goes on with it."""
    rng = case.rng
    count = sum(kinds.count("masked product") for kinds in _kinds(case).values())
    nth, place, error = int(rng.integers(count)), int(rng.integers(1 << 20)), int(rng.integers(1, case.field.p))
    deviation.around = lying_shares(deviation.party, {place: [1, error][int(rng.integers(2))]}, nth)
    deviation.what = f"other shares in opening {nth} of degree 2"


def _other_image(case: Case, deviation: Deviation) -> None:
    """Seen in the degree test, or hidden there and used after it."""
    true = case.shares[deviation.party]
    deviation.images = deviations.other(true, int(case.rng.integers(1 << 20)), case.rng, case.field)
    deviation.what = "another share of the image"
    if case.rng.integers(2):
        deviation.around = deviations.hidden(deviation.party, true)
        deviation.what += ", but not in the degree test"


def _accomplice(seed: int, case: Case, deviation: Deviation) -> Report:
    """The client has shared off the line, and the liar makes it pass: what two honest shares define must be worked with.

    Or the client has shared what no picture is, and the liar lies where it would be found out.
    """
    rng, party = case.rng, deviation.party
    if rng.integers(2):
        true = case.shares[party]
        deviation.images = rng.integers(0, case.field.p, true.shape, dtype=np.uint64).astype(true.dtype)
        deviation.around = deviations.hidden(party, true)
        deviation.flatters = True
        deviation.what = "the client's shares are on no line, and the party has them pass"
        return _told(seed, case, deviation)
    glaring = Case(case.question, case.world, case.images * GLARING, rng, refused=True)
    rounds = [Place(BATCH, n, kind) for n, kind in enumerate(_kinds(case)[BATCH]) if kind != AGREEMENT]
    late = rounds[-12:]  # the norm test, and the verification
    place = late[int(rng.integers(len(late)))]
    name = ALL_LIES[int(rng.integers(len(ALL_LIES)))]
    lie, to, flatters = _message_lie(place, name, party, glaring)
    what = f"the client's pixels are far outside, and {name}: round {place.number} ({place.kind}) to {to}"
    return _told(seed, glaring, Deviation(party, what, {BATCH: lie}, flatters))


def attacked(reports: Sequence[Report]) -> set[str]:
    """The kinds of messages that were lied about."""
    return {report.kind for report in reports if report.kind}


def reports(seeds: Iterator[int] | Sequence[int]) -> Iterator[Report]:
    """One after the other."""
    return map(run, seeds)


__all__ = ["RUNS", "SESSION", "Report", "attacked", "honest_kinds", "reports", "run", "targets"]
