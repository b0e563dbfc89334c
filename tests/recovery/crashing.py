"""A party that dies (SIGKILL) at a named point, once: ``python -m tests.recovery.crashing --config FILE``.

The point is armed by writing its name into the file ``armed`` in the party's data directory. Nothing in the services knows
about it: their methods are wrapped here.
"""

import functools
import os
import signal
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visard_party import __main__ as program
from visard_party.consistency.writes import Writes
from visard_party.intake.deposits import DepositBox
from visard_party.kits.files import KitDirectory
from visard_party.kits.stock import KitStock
from visard_party.operations import OPERATIONS
from visard_party.peers.channel import SessionChannel
from visard_party.runs import runner as runs
from visard_party.runs.replay import Replay
from visard_party.store import mongo, mongo_writes, sqlite, sqlite_writes

ROUNDS = (1, 2, 3, 5)
POINTS = (
    "share kept",
    "id noted",
    "before prepare",
    "after prepare",
    "before kit",
    "kit deleted",
    "kit taken",
    *(f"before round {k}" for k in ROUNDS),
    *(f"after round {k}" for k in ROUNDS),
    "before perform",
    "before write",
    "before stage",
    "inside stage",
    "after stage",
    "before commit",
    "inside commit",
    "after commit",
    "after write",
    "after perform",
    "answer ready",
)


def armed(data_dir: Path) -> Path:
    """The file that names the point."""
    return data_dir / "armed"


def reach(point: str) -> None:
    """Die here, if this is the point."""
    file = armed(_data_dir)
    if file.exists() and file.read_text() == point:
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner: Any, name: str, before: str = "", after: str = "") -> None:
    """Make a function or coroutine of ``owner`` reach points."""
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    async def around(*args: Any, **kwargs: Any) -> Any:
        reach(before)
        result = await original(*args, **kwargs)
        reach(after)
        return result

    @functools.wraps(original)
    def around_plain(*args: Any, **kwargs: Any) -> Any:
        reach(before)
        result = original(*args, **kwargs)
        reach(after)
        return result

    setattr(owner, name, around if _is_coroutine(original) else around_plain)


def _is_coroutine(function: Callable[..., Any]) -> bool:
    return bool(getattr(function, "__code__", None) and function.__code__.co_flags & 0x80)


def wrap_rounds() -> None:
    """Every exchange of a session by its number."""
    original = SessionChannel.exchange

    async def exchange(channel: SessionChannel, *args: Any) -> dict[int, bytes]:
        number = channel.__dict__["number"] = channel.__dict__.get("number", 0) + 1
        reach(f"before round {number}")
        result = await original(channel, *args)
        reach(f"after round {number}")
        return result

    setattr(SessionChannel, "exchange", exchange)  # noqa: B010 -- it takes the same


def install() -> None:
    """All points."""
    wrap(DepositBox, "put", after="share kept")
    wrap(Replay, "first_time", after="id noted")
    for operation in OPERATIONS.values():
        wrap(operation, "prepare", "before prepare", "after prepare")
        wrap(operation, "perform", "before perform", "after perform")
    wrap(KitStock, "take", before="before kit", after="kit taken")
    wrap(KitDirectory, "take", after="kit deleted")
    wrap(Writes, "make", "before write", "after write")
    wrap(runs, "response", after="answer ready")
    wrap_rounds()


def install_sqlite() -> None:
    """Inside means within the transaction."""
    wrap(sqlite.SqliteStore, "stage", "before stage", "after stage")
    wrap(sqlite_writes, "stage", after="inside stage")
    wrap(sqlite.SqliteStore, "commit", "before commit", "after commit")
    wrap(sqlite_writes, "commit", after="inside commit")


def install_mongo() -> None:
    """Inside means between the shares and the log, and between the log and its effects."""
    wrap(mongo.MongoStore, "stage", "before stage", "after stage")
    wrap(mongo_writes.MongoWrites, "_put_payload", after="inside stage")
    wrap(mongo.MongoStore, "commit", "before commit", "after commit")
    wrap(mongo_writes.MongoWrites, "apply", before="inside commit")


_data_dir = Path()

if __name__ == "__main__":
    _config = tomllib.loads(Path(sys.argv[2]).read_text())
    _data_dir = Path(_config["data_dir"])
    install()
    install_mongo() if _config["store"].startswith("mongodb") else install_sqlite()
    program.main()
