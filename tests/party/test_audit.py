"""What is spoilt is found in every kit that is audited; as many are as was said; and nobody without the key can say which."""

import math
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from visard_engine.correlated import Dealing
from visard_engine.field import Elements, Words
from visard_engine.kits import DealtKit, KitPlan, deal_kit
from visard_engine.prss import PairKeys
from visard_engine.sections import Section
from visard_party.kits.audit import AuditKey, differing, strictest
from visard_party.kits.source import Fetched

from tests.party.test_stock import part

TINY = KitPlan(31, (Section("truncate", 3, 8), Section("max", 2)))
MASTER = bytes(range(32))
ONE_IN = 16
SIGMAS = 5  # of a normal distribution: exceeded less than once in a million


class OneBit(Dealing):
    """Flips one bit of the first packed bits that are corrected."""

    def bits(self, planes: Words) -> None:
        spoilt = planes.copy()
        spoilt.reshape(-1)[0] ^= np.uint64(1)
        super().bits(planes if getattr(self, "done", False) else spoilt)
        self.done = True


class OneElement(Dealing):
    """Adds 1 to the last element of the first value that is corrected."""

    def value(self, x: Elements) -> None:
        spoilt = x.copy()
        spoilt.reshape(-1)[-1] = (int(spoilt.reshape(-1)[-1]) + 1) % self.field.p
        super().value(x if getattr(self, "done", False) else spoilt)
        self.done = True


def one_seed(kit: DealtKit) -> DealtKit:
    """Other corrections and another tag, of a kit whose third seed differs in a bit from what is shown."""
    return replace(kit, seeds=(*kit.seeds[:2], bytes([kit.seeds[2][0] ^ 1]) + kit.seeds[2][1:]))


def spoilt_bit(number: int) -> DealtKit:
    return deal_kit(TINY, MASTER, number, OneBit)


def spoilt_element(number: int) -> DealtKit:
    return deal_kit(TINY, MASTER, number, OneElement)


def spoilt_seed(number: int) -> DealtKit:
    return one_seed(deal_kit(TINY, MASTER, number))


def audited(kit: DealtKit, number: int) -> list[tuple[str, ...]]:
    """What the three parties find, when the dealer shows the seeds that it should have dealt from."""
    shown = deal_kit(TINY, MASTER, number).seeds
    return [differing(TINY, number, party, part(kit, party), shown) for party in range(3)]


def honest_kit__should_pass_at_all_parties() -> None:
    for number in range(1, 20):
        assert audited(deal_kit(TINY, MASTER, number), number) == [(), (), ()]


@pytest.mark.parametrize("spoil", [spoilt_bit, spoilt_element, spoilt_seed])
def spoilt_kit__should_be_found_whenever_it_is_audited(spoil: Callable[[int], DealtKit]) -> None:
    for number in range(1, 60):
        found = audited(spoil(number), number)
        assert sum(bool(words) for words in found) == 2, "both parties of the pair that it was done to"


@pytest.mark.parametrize("party", range(3))
@pytest.mark.parametrize("what", ["own seed", "previous seed", "tag", "first", "last"])
def part_that_was_spoilt_for_one_party__should_be_found_by_it(what: str, party: int) -> None:
    kit = deal_kit(TINY, MASTER, 1)
    right = part(kit, party)

    def flipped(data: bytes | bytearray | memoryview, at: int) -> bytes:
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        return bytes(spoilt)

    keys, corrections = right.keys, right.corrections
    wrong: dict[str, Fetched] = {
        "own seed": replace(right, keys=PairKeys(flipped(keys.own, 0), keys.previous)),
        "previous seed": replace(right, keys=PairKeys(keys.own, flipped(keys.previous, 15))),
        "tag": replace(right, tag=flipped(right.tag, 31)),
        "first": replace(right, corrections=flipped(corrections, 0)),
        "last": replace(right, corrections=flipped(corrections, -1)),
    }
    expected = {"tag": "tag", "first": "corrections", "last": "corrections"}.get(what, "seeds")
    assert differing(TINY, 1, party, wrong[what], kit.seeds) == (expected,)


def seeds_of_another_kit__should_not_pass_for_this_ones() -> None:
    """A dealer that has spoilt a kit cannot show seeds that fit it: the tag was delivered with the kit."""
    spoilt = spoilt_seed(1)
    for shown in (deal_kit(TINY, MASTER, 1).seeds, deal_kit(TINY, MASTER, 2).seeds, spoilt.seeds):
        found = [differing(TINY, 1, party, part(spoilt, party), shown) for party in range(3)]
        assert any(found)


def dealer_that_spoils_every_kit__should_be_found_in_the_share_that_was_said() -> None:
    """Of 1,000 kits; the bounds are exceeded less than once in a million."""
    key = AuditKey.of(os.urandom(32), ONE_IN)
    chosen = [number for number in range(1, 1001) if key.chooses(TINY.digest, number)]
    found = [number for number in chosen if any(audited(spoilt_bit(number), number))]
    assert found == chosen
    assert abs(len(found) - 1000 / ONE_IN) < SIGMAS * math.sqrt(1000 / ONE_IN * (1 - 1 / ONE_IN))


def dealer_that_spoils_few__should_be_found_with_the_chance_that_was_said() -> None:
    """16 of 1,000 kits, by 1,000 keys: 1 - (1 - 1/16)^16 of the time."""
    spoilt = range(1, 1001, 63)
    found = [any(AuditKey.of(os.urandom(32), ONE_IN).chooses(TINY.digest, n) for n in spoilt) for _ in range(1000)]
    chance = 1 - (1 - 1 / ONE_IN) ** len(spoilt)
    assert abs(sum(found) - 1000 * chance) < SIGMAS * math.sqrt(1000 * chance * (1 - chance))


def choice__should_depend_on_the_key_the_plan_and_the_number() -> None:
    keys, digests = [AuditKey.of(bytes([k]), 2) for k in range(2)], [TINY.digest, bytes(32)]
    choices = [tuple(key.chooses(digest, n) for n in range(64)) for key in keys for digest in digests]
    assert len(set(choices)) == 4
    assert all(0 < sum(choice) < 64 for choice in choices)


def key__should_not_show_and_be_kept_as_it_is() -> None:
    key = AuditKey.of(b"coin", ONE_IN)
    assert AuditKey.unpack(key.pack(ONE_IN), ONE_IN) == key
    for data, own in ((key.pack(ONE_IN), 8), (b"", ONE_IN), (b"x" + key.pack(ONE_IN)[1:], ONE_IN)):
        assert AuditKey.unpack(data, own) is None
    assert key.secret.hex() not in repr(key) + key.name
    assert key.name != replace(key, one_in=8).name != AuditKey.of(b"another", 8).name


@pytest.mark.parametrize(("wanted", "one_in"), [((0, 0, 0), 0), ((0, 16, 0), 16), ((16, 8, 32), 8)])
def strictest_of_three__should_decide(wanted: tuple[int, ...], one_in: int) -> None:
    assert strictest(wanted) == one_in


def nothing__should_be_chosen_when_nobody_wants_audits() -> None:
    key = AuditKey.of(b"coin", 0)
    assert not any(key.chooses(TINY.digest, number) for number in range(100))
