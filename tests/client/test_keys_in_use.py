"""A client uses the parties' keys for as long as their statements say, and never goes back to a key of before."""

from pathlib import Path

import numpy as np
import pytest
from visard import certs
from visard.capture import Chip
from visard.client import Client, Connection
from visard.errors import UntrustedKey

from tests.client.double import connected, serving
from tests.sealed import now_ms, statement

CHIP = Chip(np.zeros((150, 150, 3), np.uint8), np.zeros((150, 150, 3), np.uint8))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "certs"
    certs.init(path)
    return path


async def statement_that_has_expired__should_be_fetched_anew_before_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(folder) as (double, client):
        fresh = double.signed[1]
        brief = statement(folder, 1, fresh.public_key, serial=fresh.serial - 1, not_after_unix_ms=now_ms() + 60_000)
        double.signed[1] = brief
        for _ in range(2):
            await client.verify("ann", CHIP)
        assert double.calls["GetParties"] == 1
        monkeypatch.setattr("visard.calls._now_ms", lambda: brief.not_after_unix_ms)
        double.signed[1] = fresh
        await client.verify("ann", CHIP)
        assert double.calls["GetParties"] == 2
        double.signed[1] = brief
        client._caller._keys = None
        with pytest.raises(UntrustedKey, match="party 1 has expired"):
            await client.verify("ann", CHIP)
    assert len(double.received) == 3


async def key_of_before__should_be_refused_by_a_client_that_has_seen_the_newer(folder: Path) -> None:
    async with connected(folder) as (double, client):
        public = double.signed[2].public_key
        double.signed[2] = statement(folder, 2, public, serial=now_ms() - 1000)
        old = double.signed[2]
        await client.verify("ann", CHIP)
        double.signed[2] = statement(folder, 2, public)
        client._caller._keys = None
        await client.verify("ann", CHIP)
        double.signed[2] = old
        client._caller._keys = None
        with pytest.raises(UntrustedKey, match="party 2 is older than one that was seen"):
            await client.verify("ann", CHIP)
    assert len(double.received) == 2, "nothing was sealed to it"


async def key_that_changed_while_it_was_asked_for__should_be_asked_for_again(folder: Path, tmp_path: Path) -> None:
    async with serving(folder) as (double, plain):
        shared = Connection(plain.gateway, plain.ca, plain.cert, plain.key, seen=tmp_path / "serials")
        newer, begin = double.signed, double._begin
        older = [statement(folder, key.party, key.public_key, serial=key.serial - 1) for key in newer]

        async def overtaken(method: str, context: object) -> None:
            await begin(method, context)
            double.signed = older if double.calls["GetParties"] == 2 else newer

        async with Client(shared) as first:  # has seen the newer keys, and tells by the file
            await first.verify("ann", CHIP)
        double._begin = overtaken  # type: ignore[method-assign]
        async with Client(shared) as second:
            await second.verify("ann", CHIP)
        assert double.calls["GetParties"] == 3


async def clients_of_one_home__should_remember_together(folder: Path, tmp_path: Path) -> None:
    async with serving(folder) as (double, plain):
        (tmp_path / "client.toml").write_text(f'gateway = "{plain.gateway}"\ncerts = "{folder}"\n')
        home = Connection.from_home(tmp_path)
        assert home.seen == tmp_path / "sealing-serials.json"
        async with Client(home) as client:
            await client.verify("ann", CHIP)
        double.signed = [statement(folder, k.party, k.public_key, serial=k.serial - 1) for k in double.signed]
        async with Client(plain) as stranger:  # a client that has seen nothing cannot know
            await stranger.verify("ann", CHIP)
        async with Client(home) as client:
            with pytest.raises(UntrustedKey, match="party 0 is older"):
                await client.verify("ann", CHIP)
