"""Every store keeps the promises of services.party.store.base: durable staging, atomic commits, sticky drops, same order.

A new backend is added to ``BACKENDS``.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard.secret import Secret

from services.party.errors import RequestConflict, StoreError
from services.party.store import open_store
from services.party.store.base import Delete, Enrol, ModelRecord, Publish, Reference, State, Store, rows_digest

BACKENDS = ["sqlite"]
ONE, TWO, THREE = (bytes([k]) * 16 for k in (1, 2, 3))


def reference(name: str, subject: str = "ada", model: str = "face") -> Reference:
    return Reference(name, subject, model, 1, 1_790_000_000_000, Secret(name.encode() * 64))


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(request.param, tmp_path)
    yield opened
    await opened.close()


async def staged_write__should_be_unseen_until_committed(store: Store) -> None:
    await store.stage(ONE, Enrol((reference("b"), reference("a"))), b"digest")
    assert await store.references("face", "ada") == []
    assert await store.counts() == (0, 0)
    assert await store.states([ONE, TWO]) == {ONE: State.PENDING, TWO: State.UNKNOWN}
    assert await store.pending() == [ONE]
    assert await store.commit(ONE) == 2
    found = await store.references("face", "ada")
    assert found == [reference("a"), reference("b")]
    assert await store.counts() == (1, 2)
    assert await store.pending() == []
    assert await store.states([ONE]) == {ONE: State.COMMITTED}


async def commit__should_be_applied_once(store: Store) -> None:
    await store.stage(ONE, Enrol((reference("a"),)), b"digest")
    assert [await store.commit(ONE) for _ in range(3)] == [1, 0, 0]
    assert len(await store.gallery("face")) == 1


async def staging__should_be_idempotent_for_the_same_content_only(store: Store) -> None:
    write = Enrol((reference("a"),))
    await store.stage(ONE, write, b"digest")
    await store.stage(ONE, write, b"digest")
    with pytest.raises(RequestConflict):
        await store.stage(ONE, Enrol((reference("b"),)), b"other")
    await store.commit(ONE)
    await store.stage(ONE, write, b"digest")
    assert await store.states([ONE]) == {ONE: State.COMMITTED}
    assert len(await store.gallery("face")) == 1


async def dropped_write__should_stay_dropped(store: Store) -> None:
    await store.stage(ONE, Enrol((reference("a"),)), b"digest")
    await store.drop(ONE)
    await store.drop(ONE)
    assert await store.states([ONE]) == {ONE: State.DROPPED}
    for attempt in (store.commit(ONE), store.stage(ONE, Enrol((reference("a"),)), b"digest")):
        with pytest.raises(RequestConflict):
            await attempt
    await store.drop(TWO)  # dropped before it was ever seen
    with pytest.raises(RequestConflict):
        await store.stage(TWO, Enrol((reference("b"),)), b"digest")
    assert await store.gallery("face") == []


async def committed_write__should_not_be_dropped(store: Store) -> None:
    await store.stage(ONE, Enrol((reference("a"),)), b"digest")
    await store.commit(ONE)
    with pytest.raises(RequestConflict):
        await store.drop(ONE)
    with pytest.raises(RequestConflict):
        await store.commit(TWO)
    assert len(await store.gallery("face")) == 1


async def deletion__should_erase_exactly_what_it_names(store: Store) -> None:
    await store.stage(ONE, Enrol((reference("a"), reference("b"), reference("c", "bob"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Delete("face", "ada", ("a", "b")), b"2")
    assert len(await store.gallery("face")) == 3
    assert await store.commit(TWO) == 2
    assert [row.reference_id for row in await store.gallery("face")] == ["c"]


@pytest.mark.parametrize("deletion_first", [True, False])
async def order_of_commits__should_not_matter(store: Store, deletion_first: bool) -> None:
    await store.stage(ONE, Enrol((reference("a"), reference("b"))), b"1")
    await store.stage(TWO, Delete("face", "ada", ("a",)), b"2")
    for request in (TWO, ONE) if deletion_first else (ONE, TWO):
        await store.commit(request)
    assert [row.reference_id for row in await store.gallery("face")] == ["b"]


async def rows__should_come_in_the_same_order_everywhere(store: Store, tmp_path: Path) -> None:
    names = [f"{k:02x}" for k in (7, 3, 255, 16)]
    for k, name in enumerate(names):
        request = bytes([k + 1]) * 16
        await store.stage(request, Enrol((reference(name, f"s{k}"),)), b"d")
        await store.commit(request)
    gallery = await store.gallery("face")
    assert [row.reference_id for row in gallery] == sorted(names)
    other = [reference(n, f"s{names.index(n)}") for n in sorted(names)]
    assert rows_digest(gallery) == rows_digest(other)
    assert rows_digest(gallery) != rows_digest(other[:-1])


async def subjects__should_be_paged_by_name(store: Store) -> None:
    rows = [reference(f"r{k}", f"subject-{k % 5}") for k in range(12)] + [reference("x", "zoe", "other")]
    await store.stage(ONE, Enrol(tuple(rows)), b"d")
    await store.commit(ONE)
    first = await store.subjects("face", 3, "")
    rest = await store.subjects("face", 3, first[-1].subject)
    assert [(s.subject, s.references) for s in [*first, *rest]] == [
        ("subject-0", 3),
        ("subject-1", 3),
        ("subject-2", 2),
        ("subject-3", 2),
        ("subject-4", 2),
    ]
    assert await store.counts() == (6, 13)


async def model__should_be_kept_whole(store: Store) -> None:
    record = ModelRecord("face", b'{"q":31}', 5, Secret(os.urandom(3 << 20)))
    await store.stage(ONE, Publish(record), b"d")
    assert await store.model("face") is None
    await store.commit(ONE)
    assert await store.model("face") == record
    assert await store.models() == ["face"]


async def request_ids__should_be_remembered_until_they_expire(store: Store) -> None:
    assert await store.remember(ONE, 1000, 2000)
    assert not await store.remember(ONE, 1999, 3000)
    assert await store.remember(ONE, 2001, 3000)


async def readers__should_see_whole_commits_while_writers_write(store: Store) -> None:
    async def write(k: int) -> None:
        request = bytes([k]) * 16
        await store.stage(request, Enrol(tuple(reference(f"{k}-{j}") for j in range(10))), b"d")
        await store.commit(request)

    async def read() -> None:
        for _ in range(30):
            assert len(await store.gallery("face")) % 10 == 0

    await asyncio.gather(*(write(k) for k in range(1, 11)), read(), read())
    assert len(await store.gallery("face")) == 100


@pytest.mark.parametrize("backend", BACKENDS)
async def everything__should_survive_reopening(backend: str, tmp_path: Path) -> None:
    first = await open_store(backend, tmp_path)
    await first.stage(ONE, Enrol((reference("a"),)), b"1")
    await first.commit(ONE)
    await first.stage(TWO, Enrol((reference("b"),)), b"2")
    await first.drop(THREE)
    await first.close()
    again = await open_store(backend, tmp_path)
    assert await again.states([ONE, TWO, THREE]) == {ONE: State.COMMITTED, TWO: State.PENDING, THREE: State.DROPPED}
    assert await again.commit(TWO) == 1
    assert len(await again.gallery("face")) == 2
    await again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from services.party.store import open_store
from tests.party.store.test_conformance import Enrol, reference
async def main():
    store = await open_store(sys.argv[1], Path(sys.argv[2]))
    for k in range(1, 10_000):
        request = k.to_bytes(16, "big")
        await store.stage(request, Enrol(tuple(reference(f"{k}-{j}") for j in range(8))), b"d")
        print("staged", k, flush=True)
        await store.commit(request)
        print("committed", k, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lines", [1, 2, 7, 40])
async def killed_writer__should_leave_whole_writes(backend: str, tmp_path: Path, lines: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, backend, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    seen = [process.stdout.readline().split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    seen += [line.split() for line in process.communicate()[0].splitlines() if len(line.split()) == 2]
    store = await open_store(backend, tmp_path)
    for kind, k in seen:
        (state,) = (await store.states([int(k).to_bytes(16, "big")])).values()
        assert state is State.COMMITTED or (kind == "staged" and state is State.PENDING)
    rows = len(await store.gallery("face"))
    committed = sum(kind == "committed" for kind, _ in seen)
    assert rows % 8 == 0
    assert rows >= 8 * committed
    await store.close()


async def unknown_backend__should_be_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="allowed: sqlite"):
        await open_store("postgres://somewhere", tmp_path)
