"""The blocking client does all that the asynchronous one does, and never hangs where it cannot work."""

import asyncio
import inspect
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visard import certs
from visard.admin import Admin
from visard.bulk import Bulk
from visard.capture import Chip
from visard.client import Client, Connection
from visard.errors import InternalError, NotOpen
from visard.galleries import Galleries
from visard.registry import Models
from visard.sync import SyncAdmin, SyncBulk, SyncClient, SyncGalleries, SyncModels

from tests.client.double import LONG, Double, serving
from tests.waiting import becomes


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Double, Connection]]:
    """A double in a thread of its own."""
    certs.init(tmp_path / "certs")
    loop, found, ended = asyncio.new_event_loop(), list[tuple[Double, Connection]](), asyncio.Event()
    ready = threading.Event()

    async def body() -> None:
        async with serving(tmp_path / "certs") as pair:
            found.append(pair)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(body()))
    thread.start()
    assert ready.wait(30)
    yield found[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def chip() -> Chip:
    pixels = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    return Chip(pixels, pixels)


def public(kind: type) -> dict[str, list[str]]:
    """Public methods and their parameters."""
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def readable(kind: type) -> set[str]:
    """Public properties, and what may be set."""
    found = inspect.getmembers(kind, lambda member: isinstance(member, property))
    return {f"{name}{'=' if member.fset else ''}" for name, member in found if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "other"),
    [(SyncClient, Client), (SyncModels, Models), (SyncGalleries, Galleries), (SyncAdmin, Admin), (SyncBulk, Bulk)],
)
def both_clients__should_have_the_same_methods(blocking: type, other: type) -> None:
    assert public(blocking) == public(other) != {}
    assert readable(blocking) == readable(other)


def both_clients__should_be_made_alike_and_have_the_same_parts(tmp_path: Path) -> None:
    assert inspect.signature(SyncClient).parameters.keys() == inspect.signature(Client).parameters.keys()
    certs.init(tmp_path)
    connection = Connection("localhost:1", tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key")
    names = [{name for name in vars(made(connection)) if not name.startswith("_")} for made in (Client, SyncClient)]
    assert names == [{"admin", "bulk", "galleries", "models"}] * 2


def parts_of_the_blocking_client__should_answer(served: tuple[Double, Connection]) -> None:
    with SyncClient(served[1]) as client:
        assert [model.name for model in client.models.list()] == [client.models.info().name] == ["face"]
        with pytest.raises(InternalError):  # the double has nothing for administrators
            client.admin.rights()
    with pytest.raises(NotOpen):
        client.models.list()


def blocking_client__should_answer_and_open_again(served: tuple[Double, Connection]) -> None:
    double, connection = served
    client = SyncClient(connection)
    for _ in range(2):
        with client:
            assert client.verify("ann", chip()).match
            assert client.delete("ann") == 3
            with pytest.raises(NotOpen, match="already"):
                client.__enter__()
    assert double.calls["Verify"] == 2


def blocking_client_that_is_not_open__should_say_so(served: tuple[Double, Connection]) -> None:
    client = SyncClient(served[1])
    with pytest.raises(NotOpen, match="with visard"):
        client.verify("ann", chip())
    with client:
        pass
    with pytest.raises(NotOpen):
        client.subjects()
    with pytest.raises(NotOpen):
        client.__exit__(None, None, None)


def _child(client: SyncClient, answers: Any) -> None:
    try:
        client.subjects()
    except NotOpen as error:
        answers.send(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def forked_child__should_be_told_that_the_client_is_its_parents(served: tuple[Double, Connection]) -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with SyncClient(served[1]) as client:
        child = context.Process(target=_child, args=(client, theirs), daemon=True)
        child.start()
        assert ours.poll(30)
        assert "this process" in ours.recv()
        child.join(30)


def interrupted_write__should_say_that_it_may_have_been_made(served: tuple[Double, Connection]) -> None:
    double, connection = served
    with SyncClient(connection, deadline=LONG) as client:
        assert client.delete("ann") == 3  # keys are known now: what follows is the write alone
        double.calls.clear()
        double.pause = LONG

        def interrupt() -> None:
            if becomes(lambda: double.calls["Delete"] > 0):
                os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            client.delete("ann")
    assert "may have been stored" in caught.value.__notes__[0]
