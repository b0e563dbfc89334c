"""Renewed and restored shares hold the same secrets; whoever has one party's old and another's new shares has noise."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from visard import certs
from visard_common.limits import SESSION_BYTES
from visard_engine.errors import ViewsDiffer
from visard_engine.field import Elements, Field, field_of
from visard_engine.prf import Prf
from visard_party.operations.renewal import SEED_BYTES, common_seed, renew
from visard_party.operations.resharing import masked
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import ModelRecord, Reference, Renew
from visard_wire.secret import Secret

from tests.engine.nn.test_program import CONV, TAIL, program
from tests.engine.statistics import looks_uniform
from tests.party.harness import LinkedParty, linked
from tests.waiting import PATIENCE

N = 1 << 16
RNG = np.random.default_rng(20)
POINTS = (1, 2, 3)


def shared(field: Field, secret: Elements) -> list[Elements]:
    """Shamir shares of degree 1."""
    slope = RNG.integers(0, field.p, secret.size, dtype=np.uint64).astype(field.dtype)
    return [field.add(secret, field.scale(slope, x)) for x in POINTS]


def opened(field: Field, shares: Sequence[Elements], i: int, j: int) -> Elements:
    """The secret, from the shares of parties i and j."""
    x, y = POINTS[i], POINTS[j]
    one, two = y * pow(y - x, -1, field.p) % field.p, x * pow(x - y, -1, field.p) % field.p
    return field.add(field.scale(shares[i], one), field.scale(shares[j], two))


def secrets(field: Field) -> Elements:
    """Small values, as weights and descriptors are."""
    return RNG.integers(0, 1000, N, dtype=np.uint64).astype(field.dtype)


class Stored:
    """What one party keeps: a model of 3/4 of the elements and a reference of the rest."""

    def __init__(self, field: Field, share: Elements) -> None:
        self.field = field
        cut = 3 * N // 4
        text = program(CONV, *TAIL, q=field.q).to_json()
        self.models = [ModelRecord("face", text, 1, 5, Secret(share[:cut].tobytes()))]
        self.rows = [Reference("0" * 32, "ada", "face", 1, 5, 5, 0, b"", Secret(share[cut:].tobytes()))]

    def renewed(self, seed: bytes, party: int) -> Elements:
        write: Renew = renew(seed, party, self.models, self.rows, 6)
        parts = [*(share for _, share in write.weights), *(share for _, share in write.descriptors)]
        return np.frombuffer(b"".join(part.reveal() for part in parts), self.field.dtype)


@pytest.mark.parametrize("q", [31, 61])
def refresh__should_keep_secrets_and_make_new_shares_independent_of_old_ones(q: int) -> None:
    field = field_of(q)
    old = shared(field, values := secrets(field))
    new = [Stored(field, share).renewed(b"s" * 32, party) for party, share in enumerate(old)]
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert (opened(field, new, i, j) == values).all()
    for i in range(3):
        for j in range(3):
            if (
                i != j
            ):  # a disk of before and another's of after: neither is their sharing of anything, nor its difference
                assert looks_uniform(opened(field, [new[k] if k == i else old[k] for k in range(3)], i, j), q)
        assert looks_uniform(field.subtract(new[i], old[i]), q)


def refresh__should_draw_fresh_slopes_from_every_seed() -> None:
    field = field_of(31)
    stored = Stored(field, shared(field, secrets(field))[0])
    one, two = stored.renewed(b"1" * 32, 0), stored.renewed(b"2" * 32, 0)
    assert looks_uniform(field.subtract(one, two), 31)
    assert (one == stored.renewed(b"1" * 32, 0)).all(), "a refresh that is done again after a crash is the same one"


@pytest.fixture
async def parties(tmp_path: Path) -> AsyncIterator[list[LinkedParty]]:
    certs.init(tmp_path / "pki")
    async with linked(tmp_path / "pki") as found:
        yield found


def opened_channels(parties: list[LinkedParty], session: bytes) -> list[SessionChannel]:
    return [SessionChannel(party.links, session * SESSION_BYTES, PATIENCE) for party in parties]


async def common_seed__should_take_two_rounds_and_be_everybodys(parties: list[LinkedParty]) -> None:
    found = []
    for session in (b"1", b"2"):
        channels = opened_channels(parties, session)
        found.append(await asyncio.gather(*(common_seed(channel, b"terms") for channel in channels)))
        assert [channel.rounds for channel in channels] == [2, 2, 2]
        assert [channel.sent_bytes for channel in channels] == [4 * SEED_BYTES] * 3
        for channel in channels:
            channel.close()
    assert len(set(found[0])) == len(set(found[1])) == 1
    assert found[0] != found[1]


@pytest.mark.parametrize("liar", [0, 1, 2])
async def different_seeds_told_to_the_others__should_be_noticed_by_both(parties: list[LinkedParty], liar: int) -> None:
    """Whatever the liar says of the seed afterwards: the two honest ones hear each other."""
    channels = opened_channels(parties, b"3")
    honest = [party for party in range(3) if party != liar]

    async def lie() -> None:
        heard = await channels[liar].exchange({party: bytes([party]) * SEED_BYTES for party in honest}, honest)
        await channels[liar].exchange(heard, ())

    told = await asyncio.gather(lie(), *(common_seed(channels[k], b"terms") for k in honest), return_exceptions=True)
    assert [type(one) for one in told[1:]] == [ViewsDiffer, ViewsDiffer]


async def different_things_to_renew__should_be_noticed_before_anything_is_written(parties: list[LinkedParty]) -> None:
    channels = opened_channels(parties, b"4")
    terms = (b"terms", b"terms", b"other")
    told = await asyncio.gather(*map(common_seed, channels, terms), return_exceptions=True)
    assert [type(one) for one in told] == [ViewsDiffer] * 3


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("target", [0, 1, 2])
def restored_share__should_be_the_lost_one_and_each_part_of_it_noise(q: int, target: int) -> None:
    field = field_of(q)
    shares = shared(field, secrets(field))
    one, two = (party for party in range(3) if party != target)
    mask = Prf(b"k" * 16)  # of the two helpers
    parts = [masked(field, shares[a], mask, 7, a, b, target) for a, b in ((one, two), (two, one))]
    assert (field.add(*parts) == shares[target]).all()
    assert all(looks_uniform(part, q) for part in parts)
    assert looks_uniform(field.subtract(parts[0], shares[one]), q)


def restored_share__should_be_hidden_by_another_mask_in_every_message() -> None:
    field = field_of(31)
    share, mask = shared(field, secrets(field))[0], Prf(b"k" * 16)
    parts = [masked(field, share, mask, label, 0, 1, 2) for label in (0, 1)]
    assert looks_uniform(field.subtract(*parts), 31)
