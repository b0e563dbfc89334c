"""A kit is a deterministic function of master secret, plan and number; plans are checked; a kit is read exactly once."""

import numpy as np
import pytest
from visard_engine.bits import unpack
from visard_engine.correlated import Dealing, SeededReader, joined, pair_bytes
from visard_engine.errors import KitError, PlanError
from visard_engine.field import M31, M61, Field
from visard_engine.kits import Kit, KitPlan, deal_from, deal_kit, dealt_part, seeds_tag
from visard_engine.protocols import comparison
from visard_engine.protocols.kinds import KINDS
from visard_engine.prss import PairKeys
from visard_engine.sections import MAX_ELEMENTS, Section
from visard_engine.shamir import is_degree_1, reconstruct

from tests.engine.statistics import looks_balanced, looks_uniform

MASTER = bytes(range(32))
ROWS = comparison.exact(31).rows
PLAN = KitPlan(31, (Section("relu", 70, 12), Section("max", 65), Section("truncate", 3, 8), Section("compare", 1)))
# of every kind one, in sizes that fill no word
SECTIONS = (
    *(Section("relu", 100, 9), Section("relu", 5, 20), Section("relu", 67, 1), Section("truncate", 7, 3)),
    *(Section("max", 64), Section("max", 70, 12), Section("min", 70, 0), Section("min", 5, 11)),
    *(Section("compare", 129), Section("and", 65), Section("choose", 1, 7), Section("degree", 3)),
    *(Section("norm", 1, 9), Section("norm", 2, 128)),
    *(
        Section("coin", 2),
        Section("inner", 1),
        Section("inner", 500),
        Section("squares", 1, 1),
        Section("squares", 20, 7),
    ),
    *(Section("search", 70, 1), Section("search", 64, 3), Section("shown", 130)),
    *(Section("lockout", 1), Section("lockout", 100)),
)


def same_number__should_give_the_same_kit_and_others_another() -> None:
    first, again, other = deal_kit(PLAN, MASTER, 5), deal_kit(PLAN, MASTER, 5), deal_kit(PLAN, MASTER, 6)
    stranger = deal_kit(PLAN, bytes(32), 5)
    assert (first.seeds, first.tag) == (again.seeds, again.tag)
    assert first.corrections == again.corrections
    assert not set(first.seeds) & (set(other.seeds) | set(stranger.seeds))
    assert first.corrections != other.corrections
    assert len({kit.tag for kit in (first, other, stranger)}) == 3


def seeds__should_be_all_that_a_kit_is_dealt_from() -> None:
    """Whoever gets all three deals it again, and sees whether they are those that the tag was said of."""
    first = deal_kit(PLAN, MASTER, 5)
    again = deal_from(PLAN, first.seeds, 5)
    assert (again.corrections, again.tag) == (first.corrections, first.tag)
    assert again.tag == seeds_tag(PLAN, first.seeds, 5)
    one, two, three = first.seeds
    others = {
        seeds_tag(PLAN, (two, one, three), 5),
        seeds_tag(PLAN, first.seeds, 6),
        seeds_tag(PLAN, (one, two, one), 5),
    }
    assert len(others | {first.tag}) == 4


def parts__should_agree_pairwise() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    for i in range(3):
        after = (i + 1) % 3
        assert kit.keys(i).own == kit.keys(after).previous
        assert kit.part(i)[0] == kit.part(after)[1] == kit.corrections[i]
        assert sum(len(part) for part in kit.part(i)) == PLAN.correction_bytes


def plan__should_survive_its_json() -> None:
    assert KitPlan.parse(PLAN.json()) == PLAN
    assert KitPlan.parse(PLAN.json()).digest == PLAN.digest


@pytest.mark.parametrize("q", [31, 61])
def correction_bytes__should_be_what_dealing_fills(q: int) -> None:
    assert {section.kind for section in SECTIONS} == set(KINDS)  # a new kind is to be added
    for section in SECTIONS:
        plan = KitPlan(q, (section,))
        dealt = deal_kit(plan, MASTER, 1)
        assert [len(part) for part in dealt.corrections] == [plan.pair_bytes] * 3
        assert plan.correction_bytes == 2 * plan.pair_bytes


@pytest.mark.parametrize("itemsize", [4, 8])
def party__should_hold_two_thirds_of_what_is_corrected(itemsize: int) -> None:
    """A third of the items a pair, in whole words of 64 bits."""
    for n in (0, 1, 2, 3, 4, 5, 6, 7, 24, 1000, 3000):
        assert pair_bytes(n, itemsize) == 8 * -(-(-(-n // 3) * itemsize) // 8)


@pytest.mark.parametrize("q", [31, 61])
def sections__should_cost_what_their_protocols_say(q: int) -> None:
    """Corrected elements and bits, of 192 uses: 64 items a pair of each element, one word of each bit."""
    item = {31: 4, 61: 8}[q]

    def held(section: Section) -> int:
        return KitPlan(q, (section,)).pair_bytes

    assert held(Section("truncate", 192, 9)) == 2 * 64 * item
    assert held(Section("and", 192)) == 11 * 8
    assert held(Section("choose", 192, 5)) == 5 * 8
    assert held(Section("lockout", 191)) == 64 * item  # and one for the bit
    assert held(Section("degree", 192)) == held(Section("coin", 192)) == 0
    assert held(Section("inner", 192)) == 2 * 8  # one element each time, whatever the length
    assert held(Section("squares", 192, 50)) == 64 * item
    exact = comparison.exact(q)
    bits = exact.rows + sum(len(gate.dealt) for gate in exact.gates)
    assert held(Section("compare", 192)) == bits * 8
    assert held(Section("max", 192)) == bits * 8 + 2 * 64 * item
    assert held(Section("min", 192, 7)) == (bits + 7) * 8 + 2 * 64 * item
    few = comparison.above(q, 12)
    bits = few.rows + sum(len(gate.dealt) for gate in few.gates)
    assert held(Section("relu", 192, 12)) == bits * 8 + 5 * 64 * item


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b'{"q":31,"sections":[]}',
        b'{"q":13,"sections":[["max",1,0]]}',
        b'{"q":31,"sections":[["exec",1,0]]}',
        b'{"q":31,"sections":[["max",0,0]]}',
        b'{"q":31,"sections":[["max",1,28]]}',
        b'{"q":31,"sections":[["min",1,24]]}',
        b'{"q":31,"sections":[["choose",1,0]]}',
        b'{"q":31,"sections":[["squares",1,65537]]}',
        b'{"q":31,"sections":[["coin",1,1]]}',
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


def tag__should_tell_kits_apart() -> None:
    def prints(master: bytes, number: int) -> set[bytes]:
        kit = deal_kit(PLAN, master, number)
        return {dealt_part(PLAN, number, kit, i).tag for i in range(3)}

    found = [prints(MASTER, 1), prints(MASTER, 2), prints(bytes(32), 1)]
    assert [len(one) for one in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3


def kit_of_another_size__should_be_refused() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    own = b"".join(kit.part(0))
    for wrong in (own[:-1], own + b"x", own[: len(own) // 2], b""):
        with pytest.raises(KitError, match="bytes"):
            Kit(PLAN, 1, kit.keys(0), 0, kit.tag, wrong)


def reading_on__should_be_refused() -> None:
    plan = KitPlan(31, (Section("truncate", 3, 8),))
    kit = dealt_part(plan, 1, deal_kit(plan, MASTER, 1), 0)
    kit.random(3), kit.values(2, 3)
    with pytest.raises(KitError, match="ended"):
        kit.value(1)


SEEDS = (b"0" * 16, b"1" * 16, b"2" * 16)


@pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1000])
def dealt_values__should_be_shared_and_hidden_by_corrections(field: Field, n: int) -> None:
    rows, words = 2, -(-n // 64)
    spaces = [memoryview(bytearray(pair_bytes(n, field.itemsize) + pair_bytes(rows * words, 8))) for _ in range(3)]
    dealing = Dealing(field, SEEDS, spaces)
    x = field.encode(np.arange(n))
    planes = np.arange(rows * words, dtype=np.uint64).reshape(rows, words)
    r = dealing.random(n)
    dealing.value(x)
    beta = dealing.random_bits(rows * words).reshape(rows, words)
    dealing.bits(planes)
    dealing.finish()

    def reader(i: int) -> SeededReader:
        part = memoryview(bytes(spaces[i]) + bytes(spaces[i - 1]))  # of its own two pairs, and no other
        return SeededReader(field, PairKeys(SEEDS[i], SEEDS[i - 1]), i, bytes(32), part)

    readers = [reader(i) for i in range(3)]
    random_shares = [reader.share(reader.random(n)) for reader in readers]
    shares = [reader.share(reader.value(n)) for reader in readers]
    masks = [reader.random_bits(rows, n) for reader in readers]
    bits = [reader.bits(rows, n) for reader in readers]
    assert is_degree_1(field, shares)
    assert reconstruct(field, shares).tolist() == x.tolist()
    assert reconstruct(field, random_shares).tolist() == r.tolist()
    for found, expected in ((masks, beta), (bits, planes)):
        assert (found[0][0] ^ found[1][0] ^ found[2][0] == expected).all()
        assert all((found[i][0] == found[(i + 1) % 3][1]).all() for i in range(3))
    assert all(reader.left == 0 for reader in readers)


def what_lay_in_the_buffers_before__should_be_in_no_kit() -> None:
    """They are not cleared first; parts are rounded up to words, and what is between them is dealt as zero."""
    n, found = 5, []
    for before in (0, 255):
        spaces = [memoryview(bytearray([before]) * pair_bytes(n, 4)) for _ in range(3)]
        dealing = Dealing(M31, SEEDS, spaces)
        dealing.value(np.arange(n, dtype=M31.dtype))
        dealing.finish()
        found.append([bytes(space) for space in spaces])
    assert found[0] == found[1]


def corrections__should_look_random_to_whoever_has_two_seeds() -> None:
    """Each pair's are masked by what the third seed gives, whatever was dealt."""
    n = 30_000
    spaces = [memoryview(bytearray(pair_bytes(n, 4) + pair_bytes(n, 8))) for _ in range(3)]
    dealing = Dealing(M31, SEEDS, spaces)
    dealing.value(np.zeros(n, M31.dtype))
    dealing.bits(np.zeros(n, np.uint64))
    for space in spaces:
        assert looks_uniform(np.frombuffer(space[:40_000], np.uint32), 31)
        assert looks_balanced(np.unpackbits(np.frombuffer(space[40_000:], np.uint8)).astype(np.bool_))


@pytest.mark.parametrize("n", [64, 70, 3])
def joined_kits__should_give_what_each_gives_side_by_side(n: int) -> None:
    plan = KitPlan(31, (Section("max", n),))
    dealt = [deal_kit(plan, MASTER, k) for k in (1, 2, 3)]

    def kits() -> list[Kit]:
        return [dealt_part(plan, k, d, 1) for k, d in enumerate(dealt)]

    together, apart = joined(kits()), kits()
    r, values = together.random(3 * n), [kit.random(n) for kit in apart]
    assert (
        together.share(r).tolist()
        == np.concatenate([kit.share(v) for kit, v in zip(apart, values, strict=True)]).tolist()
    )
    bits = [kit.bits(ROWS, n) for kit in apart]
    assert (unpack(together.bits(ROWS, 3 * n), 3 * n) == np.concatenate([unpack(b, n) for b in bits], axis=-1)).all()
    for gate in comparison.exact(31).gates:
        for rows, take in ((gate.inputs, "random_bits"), (len(gate.dealt), "bits")):
            own = [unpack(getattr(kit, take)(rows, n), n) for kit in apart]
            assert (unpack(getattr(together, take)(rows, 3 * n), 3 * n) == np.concatenate(own, axis=-1)).all()
    beta = np.concatenate([unpack(kit.random_bits(1, n), n) for kit in apart], axis=-1)
    assert (unpack(together.random_bits(1, 3 * n), 3 * n) == beta).all()
    dealt_values = np.concatenate([kit.share(kit.values(2, n)) for kit in apart], axis=1)
    assert together.share(together.values(2, 3 * n)).tolist() == dealt_values.tolist()
    assert (together.left, together.count) == (0, 3)
    with pytest.raises(KitError, match="3 kits"):
        together.random(4)


def public_randomness__should_come_from_the_coin_and_be_another_one_for_each_kit() -> None:
    """Whoever knows a kit beforehand does not know what inputs will be tested with."""

    def elements(number: int, coin: bytes, party: int = 0) -> list[int]:
        dealt = deal_kit(PLAN, MASTER, number)
        kit = dealt_part(PLAN, number, dealt, party, coin)
        return list(map(int, kit.public_elements(3)))

    first, other = bytes(32), b"c" * 32
    assert elements(1, first) == elements(1, first, party=2)
    assert len({tuple(elements(n, coin)) for n in (1, 2) for coin in (first, other)}) == 4
    dealt = deal_kit(PLAN, MASTER, 1)
    with pytest.raises(KitError, match="no coin"):
        dealt_part(PLAN, 1, dealt, 0).public_elements(1)


def secrets__should_not_be_printed() -> None:
    kit = deal_kit(PLAN, MASTER, 1)
    reader = dealt_part(PLAN, 1, kit, 0)
    assert repr(kit) == f"<DealtKit: {3 * PLAN.pair_bytes} bytes of corrections>"
    assert repr(reader) == f"<Kit 1: {PLAN.correction_bytes} bytes>"
    assert repr(reader.random(2)) == "<DealtValue: 2 secret elements>"
