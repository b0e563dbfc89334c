"""The rows that a probe is compared with are those of the store, read again after every write and only then."""

from dataclasses import replace
from typing import Any

import numpy as np
from visard.secret import Secret

from services.mpc.field import field_of
from services.party.gallery import Galleries, Rows
from services.party.store.base import Reference, rows_digest

F31, F61 = field_of(31), field_of(61)


def reference(number: int, subject: str = "ada", expires: int = 0) -> Reference:
    share = Secret(np.arange(number, number + 4, dtype=np.uint32).tobytes())
    return Reference(f"{number:032x}", subject, "face", 1, 1, 1, expires, b"", share)


class Counting:
    """A store that counts how often it is read."""

    def __init__(self) -> None:
        self.references: list[Reference] = [reference(1), reference(2, "bob")]
        self.reads = 0
        self.during: Any = None

    async def gallery(self, model: str) -> list[Reference]:
        self.reads += 1
        found = list(self.references)
        if self.during:
            self.during()
        return found


class Revisions:
    revision = 0


def galleries() -> tuple[Galleries, Counting, Revisions]:
    store, writes = Counting(), Revisions()
    return Galleries(store, writes), store, writes  # type: ignore[arg-type]


def rows__should_hold_shares_and_names_in_order() -> None:
    rows = Rows.of([reference(1), reference(5, "bob")], F31)
    assert rows.shares.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert rows.subjects == ["ada", "bob"]
    assert rows.digest == rows_digest([reference(1).name, reference(5, "bob").name])
    assert Rows.of([replace(reference(1), descriptor=Secret(bytes(16)))], F61).shares.shape == (1, 2)
    assert "shares" not in repr(rows)


def no_rows__should_be_rows() -> None:
    rows = Rows.of([], F31)
    assert len(rows) == 0
    assert rows.live(5).without("ada").subjects == []
    assert rows.digest == Rows().digest == rows_digest([])


def rows_whose_time_is_over__should_be_left_out() -> None:
    rows = Rows.of([reference(1, expires=10), reference(2, expires=11), reference(3)], F31)
    assert rows.live(9) is rows
    assert [name.reference_id[-1] for name in rows.live(10).names] == ["2", "3"]
    assert rows.live(11).shares.tolist() == [[3, 4, 5, 6]]


def rows_of_one_subject__should_be_left_out() -> None:
    rows = Rows.of([reference(1), reference(2, "bob")], F31)
    assert rows.without("ada").shares.tolist() == [[2, 3, 4, 5]]
    assert rows.without("eve") is rows


async def gallery__should_be_read_again_after_a_write_and_only_then() -> None:
    kept, store, writes = galleries()
    first = await kept.get("face", F31)
    assert await kept.get("face", F31) is first
    assert store.reads == 1
    store.references.append(reference(3, "eve"))
    writes.revision += 1
    assert (await kept.get("face", F31)).subjects == ["ada", "bob", "eve"]
    assert store.reads == 2


async def write_during_the_reading__should_not_be_missed() -> None:
    kept, store, writes = galleries()

    def write() -> None:
        store.during = None
        store.references.append(reference(3, "eve"))
        writes.revision += 1

    store.during = write
    assert (await kept.get("face", F31)).subjects == ["ada", "bob"]
    assert (await kept.get("face", F31)).subjects == ["ada", "bob", "eve"]
