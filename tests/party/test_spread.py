"""Galleries in parts: every reference in one part, and answers that do not depend on how many parts there are."""

import asyncio
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_engine.field import M31
from visard_engine.kits import Kit
from visard_engine.protocols.normalise import unit_bits
from visard_engine.session import Run
from visard_engine.shamir import share
from visard_party.gallery import Rows
from visard_party.spread import MAX_WORKERS, SLOTS, WHOLE, Part, part_of
from visard_party.store.contents import Reference
from visard_party.tables import Question, search
from visard_wire import cells
from visard_wire.secret import Secret

from tests.engine.asking import halves, on_sphere
from tests.engine.harness import play

PEOPLE, SIZE, Q = 120, 16, 31
MATCHES = (0, 1, 3, 8, 9, 40)  # how many references a probe is near to
LIMIT = int(0.05 * 4 ** unit_bits(Q))
RNG = np.random.default_rng(18)


@given(st.integers(1, MAX_WORKERS), st.binary(min_size=16, max_size=16))
def reference__should_be_in_one_part(workers: int, raw: bytes) -> None:
    parts = [part_of(k, workers) for k in range(workers)]
    assert sum(raw.hex() in part for part in parts) == 1
    assert raw.hex() in WHOLE


@pytest.mark.parametrize("workers", [1, 2, 3, 16, MAX_WORKERS])
def parts__should_follow_each_other_and_be_of_one_size(workers: int) -> None:
    parts = [part_of(k, workers) for k in range(workers)]
    assert (parts[0].begin, parts[-1].end) == ("", "")
    assert all(one.end == other.begin for one, other in itertools.pairwise(parts))
    ends = [int(part.begin or "0", 16) for part in parts] + [SLOTS]
    assert max(np.diff(ends)) - min(np.diff(ends)) <= 1
    assert (workers == 1) == (parts == [Part()])


def gallery() -> tuple[Any, Sequence[Any], list[str]]:
    """Directions; each party's shares of them; and their references' ids, in order: as at a party."""
    ids = sorted(hashlib.sha256(bytes([k])).hexdigest()[:32] for k in range(PEOPLE))
    directions = RNG.normal(size=(PEOPLE, SIZE))
    # some look alike: as many as a probe is to find
    start = 0
    for count in MATCHES:
        for k in range(start, start + count):
            directions[k] = directions[start] + 0.01 * RNG.normal(size=SIZE)
        start += count
    order = RNG.permutation(PEOPLE)  # so that those who look alike are in all parts
    directions = directions[order]
    return directions, share(M31, M31.encode(on_sphere(Q, directions))), ids


def rows_of(shares: Any, ids: Sequence[str], part: Part) -> Rows:
    """A party's rows of a part, from its shares of all."""
    times = (1, 1, 0)
    chosen = [k for k, one in enumerate(ids) if one in part]
    return Rows.of(
        [Reference(ids[k], f"person {k}", "face", 1, *times, b"", Secret(shares[k].tobytes()), "me") for k in chosen],
        M31,
    )


class Spread:
    """A gallery held in so many parts, each by three workers."""

    def __init__(self, shares: Sequence[Any], ids: Sequence[str], workers: int) -> None:
        parts = [part_of(k, workers) for k in range(workers)]
        self._rows = [[rows_of(own, ids, part) for own in shares] for part in parts]
        self._room = max(rows[0].room for rows in self._rows)

    async def candidates(self, probe: Any, seed: bytes) -> set[str] | None:
        """The ids that the caller of a search reads in the XOR of all answers; None for more than can be told."""
        asked = Question((LIMIT,), None, self._room, seed)
        own = share(M31, M31.encode(on_sphere(Q, probe)))
        whole: Any = 0
        for rows in self._rows:

            async def part(run: Run, kits: list[Kit], rows: list[Rows] = rows) -> Any:
                i = run.channel.party
                return await search(run, kits, [own[i]], rows[i], asked)

            outcome = await play(asked.plans(Q, rows[0], SIZE), part)
            pieces = [result.shared for result in outcome.results]
            assert all(np.array_equal(pieces[i][0], pieces[(i + 1) % 3][1]) for i in range(3))
            whole = whole ^ pieces[0][0] ^ pieces[1][0] ^ pieces[2][0]
        width = 8 * (cells.words_of(self._room) + cells.CHECK_WORDS)
        raw = whole.tobytes()[: cells.CELLS * width]
        found = cells.peeled([raw[k : k + width] for k in range(0, len(raw), width)], cells.hash_keys(seed, self._room))
        return None if found is None else {label.reference_id for label in found}


async def compared(searches: int) -> dict[int, int]:
    """How many searches found how many people, with one part as with two and with three, and as in plaintext."""
    directions, shares, ids = gallery()
    spreads = [Spread(shares, ids, workers) for workers in (1, 2, 3)]
    counted: dict[int, int] = {}
    for k in range(searches):
        probe = directions[k % PEOPLE] if k % 7 else RNG.normal(size=SIZE)  # a stranger now and then
        near = {ids[row] for row in np.flatnonzero(halves(Q, probe, directions) <= LIMIT)}
        seed = hashlib.sha256(b"search" + k.to_bytes(4, "big")).digest()[: cells.SEED_BYTES]
        answers = [await spread.candidates(probe, seed) for spread in spreads]
        assert answers[0] == answers[1] == answers[2], k
        assert answers[0] in (near, None), k
        assert answers[0] is not None or len(near) > cells.MOST
        counted[len(near)] = counted.get(len(near), 0) + 1
    return counted


def answers__should_be_those_of_one_part() -> None:
    assert set(asyncio.run(compared(PEOPLE))) == set(MATCHES)


@pytest.mark.long
def answers_of_2000_searches__should_be_those_of_one_part() -> None:
    counted = asyncio.run(compared(2000))
    assert sum(counted.values()) == 2000
    assert set(counted) == set(MATCHES)
