"""What a party has counted is written down before it is relied on, and still counts after a restart."""

from pathlib import Path
from typing import Any

import pytest
from visard_common.errors import ResourceExhausted
from visard_common.tls import Tls
from visard_party.budgets.attempts import Attempts
from visard_party.config import PartyConfig
from visard_party.errors import StoreError
from visard_party.store.contents import Name
from visard_party.store.sqlite import SqliteStore
from visard_wire.v1 import common_pb2

VERIFY = common_pb2.Request(operation=common_pb2.Operation.OPERATION_VERIFY, subject="ada", model="face")
ROWS = [Name("0" * 32, "ada", "face", 1)]
NOW = 1_790_000_000_000_000
SECOND = 1_000_000


def config(folder: Path, **settings: Any) -> PartyConfig:
    tls = Tls(ca=folder, cert=folder, key=folder)
    return PartyConfig(
        listen="localhost:1", tls=tls, index=0, data_dir=folder,
        peers=("a:1", "b:1", "c:1"), dealer="d:1", **settings,
    )  # fmt: skip


async def counted_attempts__should_survive_a_restart(tmp_path: Path) -> None:
    settings = config(tmp_path, attempts_subject=3, attempts_seconds=60)
    for _ in range(3):  # a restart after each
        store = await SqliteStore.open(tmp_path, 0)
        attempts = Attempts(settings, store, lambda: NOW)
        await attempts.load()
        await attempts.spend(VERIFY, "enroller/a", ROWS)
        await store.close()
    store = await SqliteStore.open(tmp_path, 0)
    attempts = Attempts(settings, store, lambda: NOW)
    await attempts.load()
    with pytest.raises(ResourceExhausted) as caught:
        await attempts.spend(VERIFY, "enroller/a", ROWS)
    assert caught.value.retry_after == 20
    await store.close()


async def store_that_fails__should_fail_the_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise StoreError("full")

    store = await SqliteStore.open(tmp_path, 0)
    attempts = Attempts(config(tmp_path), store, lambda: NOW)
    monkeypatch.setattr(store, "note_attempts", full)
    with pytest.raises(StoreError):
        await attempts.spend(VERIFY, "enroller/a", ROWS)
    await store.close()


async def limits_of_nothing__should_not_touch_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(tmp_path, 0)
    attempts = Attempts(config(tmp_path, attempts_subject=0, attempts_caller=0), store)
    monkeypatch.delattr(SqliteStore, "note_attempts")
    await attempts.spend(VERIFY, "enroller/a", ROWS)
    await store.close()
