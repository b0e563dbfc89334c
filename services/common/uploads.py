"""Refusing an upload politely.

A gRPC client that is still writing when its call ends may see an internal error instead of the status (grpc.aio, 1.85).
So an upload that is refused is read to its end first, without keeping anything, for a short time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from services.common.errors import ServiceFault
from services.common.limits import UPLOAD_DRAIN_SECONDS


@asynccontextmanager
async def refusing_politely(uploads: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Let a ServiceFault of the block pass only after the rest of the upload was read, or a second has gone by."""
    try:
        yield
    except ServiceFault:
        with suppress(TimeoutError):
            async with asyncio.timeout(UPLOAD_DRAIN_SECONDS):
                async for _ in uploads:
                    pass
        raise
