"""Search for many photos, a request each, and for the faces of one, in one request: answers in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visard.bulk.outcomes import MAX_BATCH, SearchedFace, SearchedPhoto
from visard.capture import Chip, Source
from visard.capture.everyone import faces_in
from visard.errors import CaptureError, Exhausted, InvalidRequest, RequestError, ServiceError, VisardError
from visard.results import Identification

if TYPE_CHECKING:
    from visard.client import Client

Answer = tuple[Identification | None, VisardError | None]


async def photos(
    client: "Client", files: Sequence[Path], at_once: int, **wishes: object
) -> AsyncGenerator[SearchedPhoto, None]:
    """An answer for each photo, in their order, while later ones are under way."""
    under_way: deque[tuple[Path, asyncio.Task[Answer]]] = deque()
    waiting = iter(files)
    try:
        while True:
            while len(under_way) < at_once and (file := next(waiting, None)) is not None:
                under_way.append((file, asyncio.create_task(_answer(client, file, wishes))))
            if not under_way:
                return
            file, task = under_way[0]
            answer, error = await task
            under_way.popleft()
            yield SearchedPhoto(file, answer, error)
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


async def faces(
    client: "Client", photo: Source | Chip, at_once: int, *, nearest: bool, **wishes: object
) -> list[SearchedFace]:
    """An answer for each face of a photo, from left to right; raises NoFace where there is none."""
    found = await asyncio.to_thread(faces_in, photo)
    chips = [face for _, face in found if isinstance(face, Chip)]
    answers = iter(await answers_for(client, chips, at_once, nearest=nearest, **wishes))
    return [SearchedFace(box, *(next(answers) if isinstance(face, Chip) else (None, face))) for box, face in found]


async def answers_for(
    client: "Client", chips: Sequence[Chip], at_once: int, *, nearest: bool, **wishes: object
) -> list[Answer]:
    """Who each face is: up to ``MAX_BATCH`` of them in a request, or with ``nearest`` a request for each."""
    places = asyncio.Semaphore(at_once)

    async def some(batch: Sequence[Chip]) -> list[Answer]:
        async with places:
            if nearest:
                return [await _answer(client, batch[0], {**wishes, "nearest": True})]
            return await _together(client, batch, wishes)

    size = 1 if nearest else MAX_BATCH
    batches = [chips[start : start + size] for start in range(0, len(chips), size)]
    return [answer for answers in await asyncio.gather(*map(some, batches)) for answer in answers]


async def _together(client: "Client", batch: Sequence[Chip], wishes: dict[str, object]) -> list[Answer]:
    """The answers to one request; where it asks for more than the budgets hold, to smaller ones."""
    try:
        return [(answer, None) for answer in await client.identify_each(batch, **wishes)]  # type: ignore[arg-type]
    except (InvalidRequest, Exhausted) as error:
        if len(batch) == 1:
            return [(None, error)]
    except (RequestError, ServiceError) as error:
        return [(None, error)] * len(batch)
    half = len(batch) // 2
    return [*await _together(client, batch[:half], wishes), *await _together(client, batch[half:], wishes)]


async def _answer(client: "Client", photo: Source | Chip, wishes: dict[str, object]) -> Answer:
    """The answer, or what is wrong with the photo, the request or the service; raises TrustError and NotOpen."""
    try:
        return await client.identify(photo, **wishes), None  # type: ignore[arg-type]
    except (CaptureError, RequestError, ServiceError) as error:
        return None, error
