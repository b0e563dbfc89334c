"""The questions that the services ask of the engine, small, as parts that a liar can be set among."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from visard_engine import matching, nearest, searching
from visard_engine.bits import unpack
from visard_engine.describe import describe, describe_plan, evaluate
from visard_engine.errors import EngineError
from visard_engine.field import Elements, Field, Integers, Words, field_of
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.execute import Model
from visard_engine.nn.operations.activations import Relu, Truncate
from visard_engine.nn.operations.arithmetic import Align, Flatten
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.operations.weighted import Conv, Linear
from visard_engine.nn.program import MATCH, OPEN, Program
from visard_engine.protocols.mean import VECTOR_BITS, Mean
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.search import Labels
from visard_engine.searching import Tables
from visard_engine.session import Run
from visard_engine.shamir import share
from visard_engine.stack import Matrix
from visard_wire.cells import CELLS, HASHES, Label, hash_keys, peeled

from tests.engine.harness import Outcome, Part

SHAPE = (2, 6, 6)
OPERATIONS: tuple[Operation, ...] = (
    *(Conv(0, 3, (3, 3), (1, 1), (1, 1), 14, bias=True), MaxPool(1, (2, 2), (2, 2)), Relu(2, 12)),
    *(Flatten(3), Linear(4, 4, 10, bias=True)),
)
LENGTHENED = {31: 0, 61: 14}  # bits: so that lengths are such as either field is made for
PIXELS = np.random.default_rng(5).integers(0, 256, (1, *SHAPE))
# directions; the probe's is near to that of row 3
GALLERY = np.random.default_rng(6).normal(size=(5, 4))
PROBE = GALLERY[3] + [0.01, -0.01, 0, 0.02]


@dataclass(frozen=True)
class Question:
    """A plan or one a kit, each party's part, and what the parties' results amount to for whoever asked."""

    plan: KitPlan | Sequence[KitPlan]
    part: Part
    answer: Callable[[Mapping[int, Any]], Any]  # from what two parties or three have, by party

    def answer_of(self, outcome: Outcome) -> Any:
        """From what the honest parties have."""
        return self.answer({i: result for i, result in enumerate(outcome.results) if i != outcome.liar})


def on_line(field: Field, shares: Mapping[int, Elements]) -> Integers:
    """The values of a sharing of degree 1 from two shares."""
    a, b = sorted(shares)[:2]
    inverse = pow(b - a, -1, field.p)
    x, y = (field.scale(shares[i], factor) for i, factor in ((a, (b + 1) * inverse), (b, -(a + 1) * inverse)))
    return field.decode(field.add(x, y))


def together(pieces: Mapping[int, Elements], count: int) -> list[bool]:
    """Bits from the pieces (2, words) of two parties or three: each piece is held by one of them at least."""
    held = {(i - k) % 3: piece for i, own in pieces.items() for k, piece in enumerate(own)}
    found: list[bool] = unpack(held[0] ^ held[1] ^ held[2], count).tolist()
    return found


def on_sphere(q: int, vectors: Any) -> Integers:
    """Descriptors (..., D) of these directions, as they are compared; of no direction zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.rint(vectors / np.maximum(length, 1e-9) * 2.0 ** unit_bits(q)), np.int64)


def halves(q: int, probe: Any, gallery: Any) -> Integers:
    """Half the squared distances (N,) between directions (D,) and (N, D), as integers."""
    one, many = on_sphere(q, probe), on_sphere(q, gallery)
    return np.asarray((1 << 2 * unit_bits(q)) - many @ one)


def program(q: int, purpose: str) -> Program:
    """A network with a convolution, maxima, a ReLU and a linear layer, whose descriptors are within the norm bound."""
    last = (Align(5, LENGTHENED[q]), Truncate(6, 2)) if LENGTHENED[q] else (Truncate(5, 2),)
    return Program(q, SHAPE, 0, (*OPERATIONS, *last), {"default": 1.0} if purpose == MATCH else {}, purpose)


def described(q: int, purpose: str = MATCH, pixels: Any = PIXELS) -> Question:
    """Outputs of one image or several: for the parties, or for the caller alone."""
    field, network = field_of(q), program(q, purpose)
    weights = np.random.default_rng(7).integers(-400, 401, network.weight_count)
    own, images = (share(field, field.encode(x)) for x in (weights, pixels))

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        model = Model(network, own[i])
        if purpose == OPEN:
            return await evaluate(run, kits[0], model, images[i])
        return np.stack(await describe(run, kits, model, images[i]))

    return Question(describe_plan(network), part, lambda results: on_line(field, results).tolist())


ASKED: dict[str, tuple[Callable[..., Awaitable[Any]], Callable[..., KitPlan | tuple[KitPlan, ...]]]] = {
    "verify": (matching.verify, matching.verify_plan),
    "is_known": (searching.is_known, searching.known_plans),
    "identify": (nearest.identify, nearest.identify_plans),
}


def matched(
    q: int,
    question: str,
    limit: int | None = None,
    probe: Any = PROBE,
    gallery: Any = GALLERY,
    mean: Mean | None = None,
    laid: Callable[[int, Elements], Matrix] = lambda party, shares: shares,
) -> Question:
    """``verify``, ``is_known`` or ``identify``; the answer of the first and last are bits that the caller puts together.

    The limit is the smallest at which the probe matches, if none is given; ``laid`` says how a party's gallery lies in memory.
    """
    field, (count, size) = field_of(q), gallery.shape
    ask, plans = ASKED[question]
    tested = (int(mean is not None),) if question != "is_known" else ()
    plan = plans(q, count, size, *tested)
    own, references = (share(field, field.encode(on_sphere(q, x))) for x in (probe, gallery))
    most = int(halves(q, probe, gallery).min()) if limit is None else limit
    means = (mean,) if tested else ()

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        return await ask(
            run, kits if isinstance(plan, tuple) else kits[0], own[i], laid(i, references[i]), most, *means
        )

    def answer(results: Mapping[int, Any]) -> Any:
        if question == "is_known":
            return set(results.values())
        (bits,) = {result.count for result in results.values()}
        return together({i: result.shared for i, result in results.items()}, bits)

    return Question(plan, part, answer)


FAR = (1 << 23, 1 << 22)  # limits of a search, with a cosine of 0.5 and of 0.75
ROOM = 24  # bytes for a name
LABEL_KEYS = hash_keys(b"a request", ROOM)


def labels_of(count: int) -> tuple[Words, tuple[tuple[int, ...], ...]]:
    """Labels (N, W) of subjects named by their number, and the keys that place them."""
    packed = [Label(f"{7 * k:032x}", str(k)).packed(ROOM) for k in range(count)]
    return np.frombuffer(b"".join(packed), np.uint64).reshape(count, -1), LABEL_KEYS


def searched(
    q: int,
    limits: Sequence[int],
    probe: Any = PROBE,
    gallery: Any = GALLERY,
    mean: Mean | None = None,
    spoil: Callable[[int, Elements], Elements] = lambda party, shares: shares,
    laid: Callable[[int, Elements], Matrix] = lambda party, shares: shares,
) -> Question:
    """``search``: the rows in the table of each limit, in order, as the caller finds them; None where they are too many.

    ``spoil`` is given each party's shares of the probe, and of the gallery; ``laid`` says how this one lies in memory.
    """
    field, (count, size) = field_of(q), gallery.shape
    own, references = (share(field, field.encode(on_sphere(q, x))) for x in (probe, gallery))
    words, keys = labels_of(count)
    labels = Labels(words, np.array(keys, np.uint64), HASHES)

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        rows = laid(i, spoil(i, references[i]))
        return await searching.search(run, kits, spoil(i, own[i]), rows, limits, labels, mean)

    def answer(results: Mapping[int, Any]) -> Any:
        (bits,) = {result.count for result in results.values()}
        pieces = {i: result.shared for i, result in results.items()}
        table = np.packbits(together(pieces, bits), bitorder="little").reshape(len(limits), CELLS, -1)
        found = [peeled([cell.tobytes() for cell in one], keys) for one in table]
        return [None if one is None else sorted(int(label.subject) for label in one) for one in found]

    shape = Tables(len(limits), words.shape[1], HASHES)
    return Question(searching.search_plans(q, count, size, shape, int(mean is not None)), part, answer)


def like_the_mean(q: int, photos: Any, mean: Mean) -> Question:
    """Which photos (T, D) resemble the mean, as the parties know."""
    field = field_of(q)
    shares = share(field, field.encode(on_sphere(q, photos)))

    async def part(run: Run, kits: list[Kit]) -> Any:
        return await matching.resembles_mean(run, kits[0], shares[run.channel.party], mean)

    return Question(
        matching.mean_plan(q, len(photos)), part, lambda results: {tuple(one.tolist()) for one in results.values()}
    )


def admitted(
    q: int,
    other: int,
    photo: Any = PROBE,
    limit: int | None = None,
    mean: Mean | None = None,
    others: Mean | None = None,
    probe: Any = PROBE,
    gallery: Any = GALLERY,
) -> Question:
    """Whether a probe may be moved, as the parties know; ``photo`` is what another model, in another field, makes of it."""
    field, field_of_other, (count, size) = field_of(q), field_of(other), gallery.shape
    own, references = (share(field, field.encode(on_sphere(q, x))) for x in (probe, gallery))
    fresh = share(field_of_other, field_of_other.encode(on_sphere(other, photo)))
    most = int(halves(q, probe, gallery).min()) if limit is None else limit
    tested, refused = int(mean is not None), int(others is not None)

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        unlike = None if others is None else await matching.like_mean(run, kits[1], fresh[i][None], others)
        return await matching.admits(run, kits[0], own[i], references[i], most, mean, unlike)

    plan = (
        matching.admission_plan(q, count, size, tested, refused),
        *((matching.mean_plan(other, 1),) if refused else ()),
    )
    return Question(plan, part, lambda results: set(results.values()))


def counted(q: int, failed: int, allowed: int, *, match: bool = True, wrong: tuple[int, int] | None = None) -> Question:
    """A verification of a subject with so many failures in a row: the bit, and the counter afterwards; "locked" where it is.

    ``wrong``: a party, and what it adds to its share of the counter.
    """
    field, size = field_of(q), GALLERY.shape[1]
    own, references = (share(field, field.encode(on_sphere(q, x))) for x in (PROBE, GALLERY))
    counters = share(field, field.encode(np.arange(allowed + 1) == failed))
    limit = int(halves(q, PROBE, GALLERY).min()) - (not match)

    async def part(run: Run, kits: list[Kit]) -> Any:
        i, (kit,) = run.channel.party, kits
        counter = counters[i]
        if wrong is not None and wrong[0] == i:
            counter = field.add(counter, np.full_like(counter, field.element(wrong[1])))
        if await matching.is_locked(run, kit, counter):
            return "locked"
        return await matching.verify_counted(run, kit, own[i], references[i], limit, None, counter)

    def answer(results: Mapping[int, Any]) -> Any:
        if "locked" in results.values():
            return set(results.values())
        bits = together({i: bits.shared for i, (bits, _) in results.items()}, 1)
        return bits, on_line(field, {i: after for i, (_, after) in results.items()}).tolist()

    return Question(matching.counted_plan(q, len(GALLERY), size, 0, allowed), part, answer)


def mean_of(q: int, direction: Any, cosine: float) -> Mean:
    """A mean of this direction that nothing may be nearer to than this cosine."""
    vector = np.rint(direction / np.linalg.norm(direction) * 2.0**VECTOR_BITS).astype(np.int64)
    return Mean(tuple(vector.tolist()), int(cosine * 2.0 ** (unit_bits(q) + VECTOR_BITS)))


QUESTIONS: dict[str, Callable[[], Question]] = {
    "describe": lambda: described(31),
    "describe in 61 bits": lambda: described(61),
    "evaluate": lambda: described(31, OPEN),
    "verify": lambda: matched(31, "verify"),
    "is known": lambda: matched(31, "is_known"),
    "identify": lambda: matched(31, "identify"),
    "identify in 61 bits": lambda: matched(61, "identify"),
    "verify with a mean": lambda: matched(31, "verify", mean=mean_of(31, GALLERY[0], 0.9)),
    "identify with a mean": lambda: matched(31, "identify", mean=mean_of(31, GALLERY[0], 0.9)),
    "search": lambda: searched(31, FAR),
    "search in 61 bits": lambda: searched(61, [limit << 24 for limit in FAR]),
    "search with a mean": lambda: searched(31, FAR, mean=mean_of(31, GALLERY[0], 0.9)),
    "admits": lambda: admitted(31, 61),
    "admits with means": lambda: admitted(
        31, 61, mean=mean_of(31, GALLERY[0], 0.9), others=mean_of(61, GALLERY[0], 0.9)
    ),
    "verify and count": lambda: counted(31, 2, 5, match=False),
    "verify and count in 61 bits": lambda: counted(61, 2, 5),
    "like the mean": lambda: like_the_mean(31, GALLERY, mean_of(31, GALLERY[0], 0.9)),
}


def stopped(outcome: Outcome) -> bool:
    """Whether both honest parties ended with an error of the engine: nobody answers."""
    return all(isinstance(result, EngineError) for result in outcome.honest)
