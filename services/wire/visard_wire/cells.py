"""The table that a search answers with: which references match, in a size that depends on neither their number nor the gallery's.

An invertible Bloom lookup table over XOR (M. T. Goodrich, M. Mitzenmacher, "Invertible Bloom lookup tables", Allerton 2011)
of CELLS cells in HASHES parts. A reference that matches is XORed into one cell of each part: its label (id and subject), and
behind it a check of 16 bytes. Whoever has the table finds a cell in which one reference is alone by its check, takes it out of
its other cells, and goes on: ``peeled``. Eight references come out but for 27 of a million answers, 64 but for 2 in a thousand,
80 but for 5 in a thousand, of 100 hardly ever all (simulated, 20 million times for eight).

Cells and check follow from the label by a hash that the request chooses, so that who names references cannot make two of them
collide: NH of 32-bit words (J. Black et al., "UMAC", CRYPTO 1999), twice, with keys from the request's digest. Two given labels
agree in one NH with a chance of 2^-32 at most. A table is a row of little-endian 64-bit words, cell by cell.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

HASHES = 4
PART = 32  # cells that one hash chooses from; a power of two, of five bits
CELLS = HASHES * PART
MOST = 8  # people that an answer names
ID_BYTES = 16  # of a reference's id
ROOMS = (24, 56, 128)  # bytes for a subject's name: of a gallery as many as its longest takes
CHECK_WORDS = 2
SEED_BYTES = 16

_WORD, _LOW = (1 << 64) - 1, (1 << 32) - 1


def room_for(longest: int) -> int:
    """Bytes for the subjects of a gallery whose longest name has so many."""
    return next(room for room in ROOMS if longest <= room)


def words_of(room: int) -> int:
    """Words of a label."""
    return (ID_BYTES + room) // 8


def table_bytes(room: int) -> int:
    """Bytes of a table."""
    return CELLS * (words_of(room) + CHECK_WORDS) * 8


@dataclass(frozen=True)
class Label:
    """A reference that matches: its id in hex, and whose it is."""

    reference_id: str
    subject: str

    def packed(self, room: int) -> bytes:
        """Its id, then the subject filled up with zeros."""
        return bytes.fromhex(self.reference_id) + self.subject.encode().ljust(room, b"\0")

    @classmethod
    def unpacked(cls, packed: bytes) -> "Label":
        """The label; raises ValueError for what is none."""
        name = packed[ID_BYTES:].rstrip(b"\0")
        if b"\0" in name:
            raise ValueError("no subject has such a name")
        return cls(packed[:ID_BYTES].hex(), name.decode("ascii"))


def seed_of(request_digest: bytes) -> bytes:
    """What hashes into cells in the answer to a request, SEED_BYTES: nobody who names references knows it then."""
    return hashlib.sha256(b"visard cells v1" + request_digest).digest()[:SEED_BYTES]


def hash_keys(seed: bytes, room: int) -> tuple[tuple[int, ...], ...]:
    """The keys of the two hashes: 32-bit numbers, one for each half of a label's words."""
    count = 2 * words_of(room)
    stream = hashlib.shake_128(seed).digest(2 * 4 * count)
    numbers = [int.from_bytes(stream[k : k + 4], "little") for k in range(0, len(stream), 4)]
    return tuple(numbers[:count]), tuple(numbers[count:])


def hashed(packed: bytes, keys: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The two hashes of a packed label, 64 bits each."""
    halves = [int.from_bytes(packed[k : k + 4], "little") for k in range(0, len(packed), 4)]
    one, two = (
        sum(((halves[k] + key[k]) & _LOW) * ((halves[k + 1] + key[k + 1]) & _LOW) for k in range(0, len(halves), 2))
        & _WORD
        for key in keys
    )
    return one, two


def places(first: int) -> list[int]:
    """The cells of a label with this first hash, one of each part."""
    mixed = first ^ first >> 33
    mixed = mixed * 0xFF51AFD7ED558CCD & _WORD  # the finaliser of MurmurHash3 (A. Appleby): all bits go into each
    mixed ^= mixed >> 33
    return [PART * k + (mixed >> 8 * k) % PART for k in range(HASHES)]


def peeled(table: Sequence[bytes], keys: Sequence[Sequence[int]]) -> list[Label] | None:
    """The references in a table of CELLS cells (label and check as bytes); None where not all can be told."""
    cells = [int.from_bytes(cell, "little") for cell in table]
    size = len(table[0])
    found: list[Label] = []
    waiting = [k for k, cell in enumerate(cells) if cell]
    while waiting:
        place = waiting.pop()
        alone = cells[place]
        if not alone:
            continue
        packed = alone.to_bytes(size, "little")
        label, hashes = packed[: -8 * CHECK_WORDS], hashed(packed[: -8 * CHECK_WORDS], keys)
        check = b"".join(one.to_bytes(8, "little") for one in hashes)
        if packed[-8 * CHECK_WORDS :] != check or place not in places(hashes[0]):
            continue
        found.append(Label.unpacked(label))
        if len(found) > CELLS:
            raise ValueError("more references than a table can hold")
        for other in places(hashes[0]):
            cells[other] ^= alone
            if cells[other]:
                waiting.append(other)
    return None if any(cells) else found
