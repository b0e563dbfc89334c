"""Messages of one session, by sender and program counter: those that came and those that are waited for. No sockets."""

import asyncio

from visard_engine.errors import EngineError, PeerLost


class SessionAborted(EngineError):
    """A peer has given up on the session; ``code``, ``reason`` and ``retry_after`` are what it answers its caller.

    ``deviation``: how it has noticed that somebody does not follow the protocol, if that is why; ``peer``: its number.
    """

    def __init__(
        self, code: str, reason: str, retry_after: float | None = None, deviation: str = "", peer: int | None = None
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after
        self.deviation = deviation
        self.peer = peer


class Mailbox:
    """What a session has received. Early messages are kept; a failure reaches every waiter, now and later."""

    def __init__(self) -> None:
        self._messages: dict[tuple[int, int], bytes] = {}
        self._waiters: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self.failure: EngineError | None = None  # why nothing more will come
        self.size = 0

    def deliver(self, peer: int, counter: int, payload: bytes) -> None:
        """Hand a message to who waits for its counter, or keep it until somebody does."""
        waiter = self._waiters.pop((peer, counter), None)
        if waiter is not None and not waiter.done():
            waiter.set_result(payload)
        else:
            self._messages[peer, counter] = payload
            self.size += len(payload)

    def receive(self, peer: int, counter: int) -> bytes | asyncio.Future[bytes]:
        """The message, or a future of it; MPyC's transport interface."""
        payload = self._messages.pop((peer, counter), None)
        if payload is not None:
            self.size -= len(payload)
            return payload
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            waiter.set_exception(self.failure)
        else:
            self._waiters[peer, counter] = waiter
        return waiter

    def fail(self, failure: EngineError) -> None:
        """Nothing more will come. The first failure stays; an abort says more than the loss that may follow it."""
        if self.failure is None or isinstance(self.failure, PeerLost):
            self.failure = failure
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(self.failure)
        self._waiters.clear()
