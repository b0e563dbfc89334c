"""How the references of a gallery are spread over a party's workers: by their ids, which are hashes. Pure.

An id's first three digits are its slot, of SLOTS; worker k of K has the slots from k SLOTS / K to (k + 1) SLOTS / K. So all three
parties divide alike, whatever each of them holds, a worker reads its part in one range of ids, and with another number of workers
the slots are others: nothing is written anew.
"""

from dataclasses import dataclass

SLOTS = 16**3
MAX_WORKERS = 63  # the numbers of their kits have six bits for it (visard_party.kits.ledger)


@dataclass(frozen=True)
class Part:
    """Some of the references: those whose ids are not before ``begin``, and before ``end`` where that is not empty."""

    begin: str = ""
    end: str = ""

    def __contains__(self, reference_id: object) -> bool:
        return (
            isinstance(reference_id, str) and self.begin <= reference_id and (not self.end or reference_id < self.end)
        )


WHOLE = Part()


def part_of(ordinal: int, workers: int) -> Part:
    """What a worker has, of so many, counted from 0."""
    begin, end = (SLOTS * k // workers for k in (ordinal, ordinal + 1))
    return Part(f"{begin:03x}" if begin else "", f"{end:03x}" if end < SLOTS else "")
