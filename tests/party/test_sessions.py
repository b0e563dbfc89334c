"""Messages find their session whatever the order, failures reach every waiter, and limits hold. No sockets."""

import asyncio

import pytest
from visard_engine.errors import PeerLost
from visard_party.peers import sessions as module
from visard_party.peers.mailbox import Mailbox, SessionAborted
from visard_party.peers.sessions import Sessions

A, B = b"a" * 16, b"b" * 16


async def message__should_wait_for_its_reader_and_reader_for_its_message() -> None:
    mailbox = Mailbox()
    mailbox.deliver(1, 5, b"early")
    assert mailbox.size == 5
    assert mailbox.receive(1, 5) == b"early"
    assert mailbox.size == 0
    waiting = mailbox.receive(2, 5)
    assert isinstance(waiting, asyncio.Future)
    mailbox.deliver(1, 5, b"other peer")
    assert not waiting.done()
    mailbox.deliver(2, 5, b"late")
    assert await waiting == b"late"


async def failure__should_reach_waiters_now_and_later() -> None:
    mailbox = Mailbox()
    mailbox.deliver(1, 1, b"came in time")
    waiting = mailbox.receive(2, 1)
    mailbox.fail(PeerLost("party 2 is unavailable"))
    for future in (waiting, mailbox.receive(2, 2)):
        with pytest.raises(PeerLost):
            await future  # type: ignore[misc]
    assert mailbox.receive(1, 1) == b"came in time"


async def abort__should_say_more_than_the_loss_that_follows() -> None:
    mailbox = Mailbox()
    mailbox.fail(SessionAborted("NOT_FOUND", "no such subject"))
    mailbox.fail(PeerLost("party 1 is unavailable"))
    with pytest.raises(SessionAborted, match="no such subject"):
        await mailbox.receive(1, 1)  # type: ignore[misc]


async def early_messages__should_be_there_when_the_session_opens() -> None:
    sessions = Sessions()
    sessions.deliver(A, 1, 7, b"for a")
    sessions.deliver(B, 1, 7, b"for b")
    assert sessions.open(A).receive(1, 7) == b"for a"
    sessions.abort(B, SessionAborted("UNAVAILABLE", "gone"))
    with pytest.raises(SessionAborted):
        await sessions.open(B).receive(2, 1)  # type: ignore[misc]


async def finished_session__should_stay_finished() -> None:
    sessions = Sessions()
    sessions.open(A)
    with pytest.raises(ValueError, match="once"):
        sessions.open(A)
    sessions.close(A)
    sessions.deliver(A, 1, 1, b"late")
    assert not sessions.early
    with pytest.raises(ValueError, match="once"):
        sessions.open(A)


async def lost_link__should_fail_open_sessions_and_forget_early_ones() -> None:
    sessions = Sessions()
    waiting = sessions.open(A).receive(2, 1)
    sessions.deliver(B, 2, 1, b"worthless")
    sessions.lost(2)
    with pytest.raises(PeerLost, match="party 2"):
        await waiting  # type: ignore[misc]
    assert not sessions.early


def early_messages__should_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EARLY_BYTES", 1000)
    sessions = Sessions()
    for k in range(1000):
        sessions.deliver(k.to_bytes(16, "big"), 1, 1, bytes(100))
    assert len(sessions.early) == 10
    assert (999).to_bytes(16, "big") in sessions.early
    sessions.deliver(b"no session id", 1, 1, b"x")
    assert len(sessions.early) == 10
