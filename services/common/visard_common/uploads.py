"""What gateway and parties ask of an upload's chunks, and refusing an upload politely.

A gRPC client that is still writing when its call ends may see an internal error instead of the status (grpc.aio, 1.85).
So an upload that is refused is read to its end first, without keeping anything, for a short time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from visard_wire.limits import CHUNK_BYTES

from visard_common.errors import InvalidArgument, ServiceFault
from visard_common.limits import LEAST_CHUNK_BYTES, UPLOAD_DRAIN_SECONDS


def check_size(data: bytes, *, last: bool) -> None:
    """Raise InvalidArgument for a chunk that is too long, or too short to be worth its handling."""
    if not last and len(data) < LEAST_CHUNK_BYTES:
        raise InvalidArgument.of("chunk.data", f"at least {LEAST_CHUNK_BYTES} bytes, but for the last of a share")
    if not 0 < len(data) <= CHUNK_BYTES:
        raise InvalidArgument.of("chunk.data", f"1 to {CHUNK_BYTES} bytes")


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
