"""The questions as the services compose them of the engine: each party's part, and what the client makes of three answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from visard import opening
from visard_engine import matching, nearest, searching
from visard_engine.bits import ReplicatedBits
from visard_engine.describe import describe, describe_plan, evaluate
from visard_engine.field import Elements, Integers, field_of
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.execute import Model
from visard_engine.protocols import lockout
from visard_engine.protocols.search import Labels
from visard_engine.searching import Tables
from visard_engine.session import Run
from visard_wire import cells
from visard_wire.digests import of_row_table
from visard_wire.v1 import common_pb2

from tests.attacks.campaign.world import MATCH, OPEN, Network, World, rounding_of

VERIFY, IDENTIFY, ENROL, UNIQUE, RUN, SEARCH = "verify", "identify", "enrol", "enrol unique", "run", "search"
COUNTED, ALLOWED = "verify counted", 5  # failures in a row
QUESTIONS = (VERIFY, IDENTIFY, ENROL, UNIQUE, RUN, SEARCH, COUNTED)
SEED, ROOM = bytes(range(16)), cells.ROOMS[0]
POINTS = ("default", "strict")  # of a search: the limit, and half of it
KNOWN, LIKE_THE_MEAN = "known", "like the mean"  # why a photo is not stored
BATCH, SESSION = "batch", "session"  # the sessions of a request: its images are described in a batch's


def purpose_of(question: str) -> str:
    """What a network must be for."""
    return OPEN if question == RUN else MATCH


def sessions_of(question: str) -> tuple[str, ...]:
    """Those in which the engine runs, in order."""
    return (SESSION,) if question == RUN else (BATCH, SESSION)


def plans_of(question: str, network: Network, images: int, references: int) -> tuple[KitPlan, ...]:
    """Of its kits: one an image, then those of what is asked."""
    q, size, each = network.program.q, network.program.output.size, (describe_plan(network.program),) * images
    match question:
        case "verify":
            return (*each, matching.verify_plan(q, references, size, 1))
        case "verify counted":
            return (*each, matching.counted_plan(q, references, size, 1, ALLOWED))
        case "identify":
            return (*each, *nearest.identify_plans(q, references, size, 1))
        case "search":
            shape = Tables(len(POINTS), cells.words_of(ROOM), cells.HASHES)
            return (*each, *searching.search_plans(q, references, size, shape, 1))
        case "enrol":
            return (*each, matching.mean_plan(q, images))
        case "enrol unique":
            known = searching.known_plans(q, references, size) * images
            return (*each, matching.mean_plan(q, images), *known)
    return each


@dataclass
class Desk:
    """What a party has on its desk for one request: its runs by session, its kits, and its shares."""

    runs: dict[str, Run] = field(repr=False)
    kits: list[Kit]
    model: Model
    images: Elements = field(repr=False)  # (B, C, H, W)
    references: Elements = field(repr=False)  # (N, D)
    limit: int
    done: Any  # is told when a session is over here

    async def answer(self, question: str) -> Any:
        """This party's part; raises EngineError. Bits, an output's share, why a photo is not stored, or what it would store."""
        if question == RUN:
            return await evaluate(self.runs[SESSION], self.kits[0], self.model, self.images)
        count = len(self.images)
        found = await describe(self.runs[BATCH], self.kits[:count], self.model, self.images)
        self.done(BATCH)
        first, *rest = self.kits[count:]
        run, args, mean = self.runs[SESSION], (self.references, self.limit), self.model.program.mean_test
        assert mean is not None
        match question:
            case "verify":
                return await matching.verify(run, first, found[0], *args, mean)
            case "verify counted":
                counter = lockout.nothing(field_of(self.model.program.q), ALLOWED + 1)
                assert not await matching.is_locked(run, first, counter)
                bits, _ = await matching.verify_counted(run, first, found[0], *args, mean, counter)
                return bits
            case "identify":
                return await nearest.identify(run, self.kits[count:], found[0], *args, mean)
            case "search":
                limits = [self.limit, self.limit // 2]
                labels = labels_of(len(self.references))
                return await searching.search(run, self.kits[count:], found[0], self.references, limits, labels, mean)
        if (await matching.resembles_mean(run, first, np.stack(found), mean)).any():
            return LIKE_THE_MEAN
        each = len(rest) // len(found)
        for k, descriptor in enumerate(found if rest else ()):
            if await searching.is_known(run, rest[k * each :][:each], descriptor, *args):
                return KNOWN
        return np.stack(found)


def right_answer(question: str, world: World, images: Integers, plan: KitPlan, kits: Sequence[int]) -> Any:
    """What plain integers say, with these kits' rounding, to images (B, C, H, W)."""
    found = world.network.describe(images, rounding_of(plan, kits))
    if question == RUN:
        return found[0] / 2.0**world.network.program.output.scale
    within = [world.distances(one) <= world.limit for one in found]
    alike = [world.network.resembles_mean(one) for one in found]
    match question:
        case "verify" | "verify counted":
            return bool(within[0].any()) and not alike[0]
        case "identify":
            matches = within[0].any() and not alike[0]
            return names(world)[int(world.distances(found[0]).argmin())] if matches else None
        case "search":
            distances = world.distances(found[0])
            return {
                (names(world)[k], POINTS[int(distances[k] <= world.limit // 2)])
                for k in np.flatnonzero(within[0] & (not alike[0]))
            }
    if any(alike):
        return LIKE_THE_MEAN
    return KNOWN if question == UNIQUE and any(one.any() for one in within) else found


def names(world: World) -> list[str]:
    """Of the gallery's rows."""
    return [f"subject-{k}" for k in range(len(world.enrolled))]


def labels_of(count: int) -> Labels:
    """Of so many rows."""
    packed = b"".join(cells.Label(f"{k:032x}", f"subject-{k}").packed(ROOM) for k in range(count))
    keys = np.array(cells.hash_keys(SEED, ROOM), np.uint64)
    return Labels(np.frombuffer(packed, np.uint64).reshape(count, -1), keys, cells.HASHES)


def outcome(question: str, world: World, answer: Any, party: int) -> common_pb2.Outcome:
    """A party's answer as it is sealed for the client."""
    if question == RUN:
        output = world.network.program.output
        return common_pb2.Outcome(output_share=answer.tobytes(), output_shape=output.shape, output_scale=output.scale)
    assert isinstance(answer, ReplicatedBits)
    own, previous = answer.pieces()
    found = common_pb2.Outcome(bits=answer.count, piece_own=own, piece_previous=previous)
    if question == IDENTIFY:
        found.row_digest = of_row_table(names(world))
        found.row_subjects.extend(names(world) if party == 0 else ())
    if question == SEARCH:
        found.points.extend(POINTS)
        found.cell_seed, found.room = SEED, ROOM
    return found


def taken(question: str, world: World, outcomes: Sequence[common_pb2.Outcome]) -> Any:
    """What the client takes for the answer; raises InconsistentAnswer."""
    match question:
        case "verify" | "verify counted":
            return opening.match_bit(outcomes)
        case "identify":
            return opening.matched_subject(outcomes)
        case "search":
            ((candidates, more),) = opening.candidates(outcomes, 1)
            return "more" if more else {(one.subject, one.operating_point) for one in candidates}
    return opening.output(outcomes, world.network.program.q)[0]
