"""How a party begins: its directory is its own, and its store is there. What is not there yet is waited for."""

import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import structlog
from visard_common import lifecycle
from visard_common.arrival import Access
from visard_common.background import HopelessError
from visard_common.errors import Unavailable
from visard_common.uploads import refusing_politely

from visard_party.config import ComputingConfig, PartyConfig
from visard_party.errors import StoreAway, StoreBusy, StoreError, StoreRefused
from visard_party.metrics import timed
from visard_party.store import open_store
from visard_party.store.base import Store

ACCESS = {"visard.v1.Party": ("gateway",), "visard.v1.Peer": ("party",)}  # who may call what
WAIT_SECONDS = 2.0  # before a store that is not there is tried again
# its operator may give it the right user, password and certificate while we wait
_NOT_YET = (StoreAway, StoreBusy, StoreRefused)

T = TypeVar("T")
log = structlog.get_logger()


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """A party's data directory is this process's while the block lasts; raises HopelessError when it is another's.

    Two that serve from one would use each kit twice, and so open what is masked with it.
    """
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = stack.enter_context((directory / "lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when the process ends, however it does
        except BlockingIOError as error:
            text = f"another party works in {directory}: end it, or give this one another data_dir"
            raise HopelessError(text) from error
        except OSError as error:
            raise HopelessError(f"data_dir {directory}: {error.strerror}") from error
        yield


async def opened(config: PartyConfig, uri: Callable[[], str]) -> Store:
    """The party's store, its latency shown; raises HopelessError where waiting does not help, Stopped.

    Until it is there health says NOT_SERVING, and every call is answered UNAVAILABLE. ``uri`` is asked for each attempt: a
    password may be corrected meanwhile.
    """
    return await awaited(config, ACCESS, lambda: open_store(uri(), config.data_dir, config.index))


async def awaited(config: ComputingConfig, access: Access, opening: Callable[[], Awaitable[Store]]) -> Store:
    """What ``opening`` opens, as ``opened`` does it; who would call the services of ``access`` is told that they wait."""

    async def attempt() -> Store:
        return timed(await opening())

    try:
        return await _once(attempt)
    except _NOT_YET as error:
        log.warning("the store is not there", reason=str(error))
    away = _Away(f"party {config.index} waits for its store", access)
    at_once = config.model_copy(update={"drain_seconds": 0.0})
    async with lifecycle.running(at_once, access, lambda server: server.add_generic_rpc_handlers((away,))):
        return await patiently(attempt)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Work on the store, again and again until it is there; raises HopelessError where waiting does not help, Stopped."""
    while True:
        try:
            return await _once(work)
        except _NOT_YET as error:
            log.warning("waiting for the store", reason=str(error))
        await lifecycle.pause(WAIT_SECONDS)


async def _once(work: Callable[[], Awaitable[T]]) -> T:
    try:
        return await work()
    except _NOT_YET:
        raise
    except StoreError as error:
        raise HopelessError(str(error)) from error


class _Away(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers every call of some services with UNAVAILABLE."""

    def __init__(self, reason: str, services: Access) -> None:
        self._reason = reason
        self._services = services

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call; None where it is not of these services."""
        if handler_call_details.method.split("/")[1] not in self._services:
            return None
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _refuse(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async with refusing_politely(requests):
            raise Unavailable(self._reason)
        yield b""  # what makes it a stream
