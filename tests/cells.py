"""Tables of candidates as three honest parties would fold them, in plain Python."""

from collections.abc import Iterable, Sequence

from visard_wire import cells
from visard_wire.cells import Label


def table(labels: Iterable[Label], seed: bytes, room: int) -> list[bytes]:
    """The cells of these references."""
    keys = cells.hash_keys(seed, room)
    size = 8 * (cells.words_of(room) + cells.CHECK_WORDS)
    found = [0] * cells.CELLS
    for label in labels:
        packed = label.packed(room)
        hashes = cells.hashed(packed, keys)
        entry = int.from_bytes(packed + b"".join(one.to_bytes(8, "little") for one in hashes), "little")
        for place in cells.places(hashes[0]):
            found[place] ^= entry
    return [cell.to_bytes(size, "little") for cell in found]


def tables(levels: Sequence[Iterable[Label]], seed: bytes, room: int) -> bytes:
    """One after the other, as the bits of an answer."""
    return b"".join(b"".join(table(labels, seed, room)) for labels in levels)


def label(number: int, subject: str = "") -> Label:
    """A reference with this number for an id."""
    return Label(f"{number:032x}", subject or f"subject {number}".replace(" ", "-"))
