"""Where galleries come in from other deployments, what was erased is known for as long as a page may bring it back."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from visard_common.limits import MAX_EXPIRY_MS
from visard_party.consistency import Consistency
from visard_party.store.contents import Change, State
from visard_party.store.sqlite import SqliteStore
from visard_wire.limits import CROSSING_AGE_MS
from visard_wire.v1 import peer_pb2

NOW = time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("age_ms", "imports", "known"),
    [
        (CROSSING_AGE_MS, False, False),
        (CROSSING_AGE_MS + MAX_EXPIRY_MS, True, True),
        (CROSSING_AGE_MS + 8 * MAX_EXPIRY_MS, True, False),
    ],
)
async def erasure__should_be_known_as_long_as_a_page_may_bring_it_back(
    tmp_path: Path, age_ms: int, imports: bool, known: bool
) -> None:
    """Its write is forgotten before, alike at all parties."""
    store = await SqliteStore.open(tmp_path, 0)
    heard = SimpleNamespace(send=lambda _: None)
    links: Any = SimpleNamespace(party=0, peers=(1, 2), connected=lambda _: True, on=lambda *_: None)
    links.link = lambda _: heard
    models: Any = SimpleNamespace(renew=None)
    await store.stage(b"e" * 16, Change(erase=(f"{1:032x}",)), b"digest", NOW - age_ms)
    await store.commit(b"e" * 16)
    watch = Consistency(store, models, links, 60.0, imports=imports).watch
    own = await watch._view()
    for peer in (1, 2):
        await watch.hear(peer, peer_pb2.SetReport(references=own.references, writes=own.writes))
    await watch.look()
    assert (await store.states([b"e" * 16]))[b"e" * 16] is State.UNKNOWN
    assert bool(await store.erased([f"{1:032x}", f"{2:032x}"])) == known
    await store.close()
