"""What a MongoDB server keeps of an erased share, where and for how long: ``python -m tests.party.store.traces``.

Searches the bytes of the server's files for a share that was enrolled and deleted, as whoever steals the disk would.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from visard_party.store import open_store
from visard_party.store.base import Store
from visard_party.store.contents import Change
from visard_wire.secret import Secret

from bench.mongod import Mongod
from tests.party.store.content import ONE, TWO, reference

LOOK_SECONDS = 5.0


def kind(path: Path) -> str:
    """What a file of the server is."""
    return "journal" if "journal" in path.parts else "oplog or collection"


def found(folder: Path, share: bytes) -> dict[str, int]:
    """How many files of each kind hold a part of the share that is long enough to be no chance."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and any(share[k : k + 24] in path.read_bytes() for k in (16, 200, 400)):
            name = f"{kind(path)} {path.suffix or path.name}"
            counts[name] = counts.get(name, 0) + 1
    return counts


async def erase(store: Store, share: bytes) -> None:
    """Enrol a share, and delete it at once."""
    await store.stage(ONE, Change((replace(reference("a"), descriptor=Secret(share)),)), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Change(erase=("a",)), b"2")
    await store.commit(TWO)


async def watch(server: Mongod, seconds: float) -> None:
    """Say what is found, whenever that changes."""
    share, name = os.urandom(512), f"traces_{os.urandom(4).hex()}"
    store = await open_store(server.uri(name), Path(), 0)
    await erase(store, share)
    started, before = time.monotonic(), None
    while (passed := time.monotonic() - started) < seconds:
        now = found(server.directory, share)
        if now != before:
            print(f"{passed:6.0f} s after the deletion: {now or 'nothing'}", flush=True)
        before = now
        await asyncio.sleep(LOOK_SECONDS)
    await store.close()


def main() -> None:
    """Both kinds of server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    options = parser.parse_args()
    for replica_set in (False, True):
        print("replica set" if replica_set else "standalone")
        with tempfile.TemporaryDirectory() as folder:
            server = Mongod(Path(folder), replica_set)
            server.start()
            try:
                asyncio.run(watch(server, options.seconds))
            finally:
                server.stop()


if __name__ == "__main__":
    main()
