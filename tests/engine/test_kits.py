"""A kit is a deterministic function of master secret, plan and number; plans are checked; a kit is read exactly once."""

import numpy as np
import pytest
from visard_engine.bits import unpack
from visard_engine.correlated import Dealing, SeededReader, joined
from visard_engine.errors import KitError, PlanError
from visard_engine.field import M31
from visard_engine.kernels.bitslice import monomial_rows
from visard_engine.kits import MAX_ELEMENTS, Kit, KitPlan, Section, deal_kit
from visard_engine.prss import PairKeys
from visard_engine.shamir import is_degree_1, reconstruct

MASTER = bytes(range(32))
ROWS = monomial_rows(31)
PLAN = KitPlan(31, (Section("relu", 70, 12), Section("max", 65), Section("truncate", 3, 8), Section("compare", 1)))


def same_number__should_give_the_same_kit_and_others_another() -> None:
    first, again, other = deal_kit(PLAN, MASTER, 5), deal_kit(PLAN, MASTER, 5), deal_kit(PLAN, MASTER, 6)
    stranger = deal_kit(PLAN, bytes(32), 5)
    assert first.seeds == again.seeds
    assert first.corrections == again.corrections
    assert not set(first.seeds) & (set(other.seeds) | set(stranger.seeds))
    assert first.corrections != other.corrections


def parts__should_agree_pairwise() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    for i in range(3):
        assert kit.part(i).own == kit.part((i + 1) % 3).previous


def plan__should_survive_its_json() -> None:
    assert KitPlan.parse(PLAN.json()) == PLAN
    assert KitPlan.parse(PLAN.json()).digest == PLAN.digest


@pytest.mark.parametrize("q", [31, 61])
def correction_bytes__should_be_what_dealing_fills(q: int) -> None:
    for section in (Section("relu", 100, 9), Section("max", 64), Section("truncate", 7, 3), Section("compare", 129)):
        plan = KitPlan(q, (section,))
        assert len(deal_kit(plan, MASTER, 1).corrections) == plan.correction_bytes


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b'{"q":31,"sections":[]}',
        b'{"q":13,"sections":[["max",1,0]]}',
        b'{"q":31,"sections":[["exec",1,0]]}',
        b'{"q":31,"sections":[["max",0,0]]}',
        b'{"q":31,"sections":[["max",1,1]]}',
        b'{"q":31,"sections":[["relu",1,28]]}',
        b'{"q":31,"sections":[["relu",1.5,2]]}',
        b'{"q":31,"sections":[["relu",true,2]]}',
        b'{"q":31,"sections":[["max",%d,0]]}' % (MAX_ELEMENTS + 1),
        b'{"q":31,"sections":[%s]}' % b",".join([b'["relu",16777216,2]'] * 9),
    ],
)
def malformed_plan__should_be_refused(bad: bytes) -> None:
    with pytest.raises(PlanError):
        KitPlan.parse(bad)


def fingerprint__should_tell_kits_apart() -> None:
    def prints(master: bytes, number: int) -> set[bytes]:
        kit = deal_kit(PLAN, master, number)
        return {Kit(PLAN, number, kit.part(i), i, kit.corrections).fingerprint for i in range(3)}

    found = [prints(MASTER, 1), prints(MASTER, 2), prints(bytes(32), 1)]
    assert [len(one) for one in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3


def kit_of_another_size__should_be_refused() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    with pytest.raises(KitError, match="bytes"):
        Kit(PLAN, 1, kit.part(0), 0, kit.corrections[:-1])


def reading_on__should_be_refused() -> None:
    plan = KitPlan(31, (Section("truncate", 3, 8),))
    kit = Kit(plan, 1, deal_kit(plan, MASTER, 1).part(0), 0, deal_kit(plan, MASTER, 1).corrections)
    kit.random(3), kit.value(3), kit.value(3)
    with pytest.raises(KitError, match="ended"):
        kit.value(1)


def dealt_values__should_be_shared_and_hidden_by_corrections() -> None:
    seeds = (b"0" * 16, b"1" * 16, b"2" * 16)
    space = memoryview(bytearray(4 * 1000 + 8 * 2 * 4))
    dealing = Dealing(M31, seeds, space)
    x = M31.encode(np.arange(1000))
    planes = np.arange(8, dtype=np.uint64).reshape(2, 4)
    r = dealing.random(1000)
    dealing.value(x)
    dealing.bits(planes)
    dealing.finish()
    readers = [SeededReader(M31, PairKeys(seeds[i], seeds[i - 1]), i, space) for i in range(3)]
    random_shares = [reader.share(reader.random(1000)) for reader in readers]
    shares = [reader.share(reader.value(1000)) for reader in readers]
    bits = [reader.bits(2, 256) for reader in readers]
    assert is_degree_1(M31, shares)
    assert reconstruct(M31, shares).tolist() == x.tolist()
    assert reconstruct(M31, random_shares).tolist() == r.tolist()
    assert (bits[0][0] ^ bits[1][0] ^ bits[2][0] == planes).all()
    assert all((bits[i][0] == bits[(i + 1) % 3][1]).all() for i in range(3))
    assert (np.frombuffer(space[:4000], np.uint32) != x).mean() > 0.99


@pytest.mark.parametrize("n", [64, 70, 3])
def joined_kits__should_give_what_each_gives_side_by_side(n: int) -> None:
    plan = KitPlan(31, (Section("max", n),))
    dealt = [deal_kit(plan, MASTER, k) for k in (1, 2, 3)]

    def kits() -> list[Kit]:
        return [Kit(plan, k, d.part(1), 1, d.corrections) for k, d in enumerate(dealt)]

    together, apart = joined(kits()), kits()
    r, values = together.random(3 * n), [kit.random(n) for kit in apart]
    assert (
        together.share(r).tolist()
        == np.concatenate([kit.share(v) for kit, v in zip(apart, values, strict=True)]).tolist()
    )
    bits = [kit.bits(ROWS, n) for kit in apart]
    assert (unpack(together.bits(ROWS, 3 * n), 3 * n) == np.concatenate([unpack(b, n) for b in bits], axis=-1)).all()
    beta = np.concatenate([unpack(kit.random_bits(n), n) for kit in apart], axis=-1)
    assert (unpack(together.random_bits(3 * n), 3 * n) == beta).all()
    for _ in range(2):
        own = np.concatenate([kit.share(kit.value(n)) for kit in apart])
        assert together.share(together.value(3 * n)).tolist() == own.tolist()
    assert together.left == 0
    with pytest.raises(KitError, match="3 kits"):
        together.random(4)


def public_randomness__should_come_from_the_coin_and_be_another_one_for_each_kit() -> None:
    """Whoever knows a kit beforehand does not know what inputs will be tested with."""

    def elements(number: int, coin: bytes, party: int = 0) -> list[int]:
        dealt = deal_kit(PLAN, MASTER, number)
        kit = Kit(PLAN, 1, dealt.part(party), party, dealt.corrections, coin)
        return list(map(int, kit.public_elements(3)))

    first, other = bytes(32), b"c" * 32
    assert elements(1, first) == elements(1, first, party=2)
    assert len({tuple(elements(n, coin)) for n in (1, 2) for coin in (first, other)}) == 4
    dealt = deal_kit(PLAN, MASTER, 1)
    with pytest.raises(KitError, match="no coin"):
        Kit(PLAN, 1, dealt.part(0), 0, dealt.corrections).public_elements(1)


def secrets__should_not_be_printed() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    reader = Kit(PLAN, 1, kit.part(0), 0, kit.corrections)
    assert repr(kit) == f"<DealtKit: {PLAN.correction_bytes} bytes of corrections>"
    assert repr(reader) == f"<Kit 1: {PLAN.correction_bytes} bytes>"
    assert repr(reader.random(2)) == "<DealtValue: 2 secret elements>"
