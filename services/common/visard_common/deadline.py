"""Every wait has an end: the caller's deadline, or a limit of our own, whichever comes first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from visard_common.errors import DeadlineExceeded


def remaining(context: "grpc.aio.ServicerContext[Any, Any]", limit: float) -> float:
    """Seconds left for a call, at most ``limit``; raises DeadlineExceeded when there are none."""
    left = context.time_remaining()
    seconds = limit if left is None else min(left, limit)
    if seconds <= 0:
        raise DeadlineExceeded("the deadline has passed")
    return seconds


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound a block in time; raises DeadlineExceeded naming what took too long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"{what} took longer than the {seconds:.1f} s allowed") from error
