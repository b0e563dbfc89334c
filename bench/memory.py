"""``python -m bench.memory``: the memory of one party that holds a large gallery, as its service holds it.

An SQLite store is filled by one process. Another opens it and reads what a party keeps: the rows of the gallery, and the hashes
of everything for the audit; then one reference more is enrolled. Bytes are what the process has grown by since the store was
opened, "at most" while it was done; in brackets how many times the shares of the descriptors, which are synthetic.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from visard.client import DEFAULT_MODEL
from visard_common.memory import give_back_large_arrays, give_back_small_pieces
from visard_engine.field import field_of
from visard_party.consistency.sets import Holdings
from visard_party.gallery import Rows, read
from visard_party.store import open_store
from visard_party.store.base import all_names
from visard_party.store.contents import Change, Place

from bench import stores, worker

_PLACE, _FIELD = Place(DEFAULT_MODEL), field_of(31)
_SHARE = 512  # bytes of a descriptor's share


async def _fill(folder: Path, count: int) -> None:
    store = await open_store("sqlite", folder, 0)
    await stores.fill(store, count)
    await store.close()


async def _measure(folder: Path, count: int) -> dict[str, Any]:
    give_back_large_arrays()  # as a party does
    store = await open_store("sqlite", folder, 0)
    found: dict[str, Any] = {"references": count}
    gc.collect()
    before = psutil.Process().memory_info().rss

    def note(what: str) -> None:
        gc.collect()
        found[what] = _told(psutil.Process().memory_info().rss - before, count)
        found[f"{what}, at most"] = _told(worker.peak() - before, count)
        worker.forget_peak()

    worker.forget_peak()
    rows = await read(store, _PLACE, _FIELD)
    note("rows")
    holdings = Holdings.of(await all_names(store), await store.log())
    give_back_small_pieces()  # as the watch does
    note("rows and hashes")
    (fresh,) = stores.references(1, "late")
    request_id = os.urandom(16)
    await store.stage(request_id, Change((fresh,)), b"")
    await store.commit(request_id)
    rows = rows.updated([fresh.reference_id], Rows.of([fresh], _FIELD))
    holdings.update([fresh.reference_id], [fresh.name], {request_id: 1})
    note("after an enrolment")
    assert rows.digest == holdings.references
    await store.close()
    return found


def _told(size: int, count: int) -> str:
    return f"{size / 1e6:.0f} MB ({size / count / _SHARE:.3f})"


def _in_a_process(work: Callable[..., Any], *args: object) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (work, args))


def _run(work: Callable[..., Any], args: tuple[object, ...]) -> Any:
    return asyncio.run(work(*args))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="a folder in which an earlier call has left its store, or leaves it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = options.store or Path(directory)
        if not folder.exists() or not any(folder.iterdir()):
            _in_a_process(_fill, folder, options.references)
        print(json.dumps(_in_a_process(_measure, folder, options.references), indent=1))


if __name__ == "__main__":
    main()
