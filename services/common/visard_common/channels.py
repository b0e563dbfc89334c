"""Channels that live as long as a process does: built again when the certificate files have changed."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc
import structlog

from visard_common.tls import Stamp, Tls

T = TypeVar("T")

PARTING_SECONDS = 300.0  # calls in flight end on the channel that they began on; none is longer

log = structlog.get_logger()


class Renewed(Generic[T]):
    """What ``make`` makes of a channel to who bears a role, at an address: of a new one after each change of the certificates."""

    def __init__(self, tls: Tls, role: str, address: str, make: Callable[[grpc.aio.Channel], T]) -> None:
        self._tls = tls
        self._role = role
        self._address = address
        self._make = make
        self._retired: set[asyncio.Task[None]] = set()
        self._open(tls.stamp())

    def current(self) -> T:
        """The one to call now; while new files do not fit together the old channel stays."""
        if (stamp := self._tls.stamp()) != self._stamp:
            old = self._channel
            try:
                self._open(stamp)
            except (OSError, ValueError) as error:
                log.warning("the new certificates are not taken", reason=str(error))
            else:
                log.info("certificates renewed", peer=self._address)
                self._retire(old)
        return self._made

    def broken(self) -> bool:
        """Whether the channel cannot connect."""
        return self._channel.get_state() in (
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            grpc.ChannelConnectivity.SHUTDOWN,
        )

    async def close(self) -> None:
        """Close it, and those before it."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._channel.close(None)

    def _open(self, stamp: Stamp) -> None:
        self._tls.check()
        self._channel = self._tls.channel(self._address, self._role)
        self._made = self._make(self._channel)
        self._stamp = stamp

    def _retire(self, channel: grpc.aio.Channel) -> None:
        async def close() -> None:
            try:
                await channel.close(PARTING_SECONDS)
            except asyncio.CancelledError:
                with contextlib.suppress(asyncio.CancelledError):
                    await channel.close(None)
                raise

        task = asyncio.get_running_loop().create_task(close())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)
