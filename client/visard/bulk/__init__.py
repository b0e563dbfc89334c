"""Many photos in one call: enrol a folder or a list, search for each photo of a folder and for each face of a group.

``bulk`` of a client. What lies here: sources (which photos), judging (good enough?), journal and enrolling (each once, also
when a program is killed), searching.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visard.bulk import searching
from visard.bulk.enrolling import Enrolling, Wishes
from visard.bulk.journal import Journal, beside
from visard.bulk.judging import Tally, Told, judge
from visard.bulk.outcomes import MAX_BATCH, BulkEnrolment, BulkItem, BulkProgress, Refusal, SearchedFace, SearchedPhoto
from visard.bulk.sources import photos_of, read_source
from visard.calls import Caller
from visard.capture import Chip, Source
from visard.errors import InvalidRequest

if TYPE_CHECKING:
    from visard.client import Client

__all__ = [
    "MAX_BATCH", "Bulk", "BulkEnrolment", "BulkItem", "BulkProgress", "Refusal", "SearchedFace", "SearchedPhoto", "Told",
    "beside", "judge", "photos_of", "read_source",
]  # fmt: skip

AT_ONCE = 8  # requests, where the gateway takes as many


class Bulk:
    """Work on many photos, several requests at a time: no more than the gateway takes of a caller."""

    def __init__(self, client: "Client", caller: Caller) -> None:
        self._client = client
        self._caller = caller

    async def enrol(
        self,
        source: Path | str | Sequence[BulkItem],
        *,
        journal: Path | None = None,
        largest: bool = False,
        force: bool = False,
        replace: bool = False,
        unique: bool = False,
        batch: int = MAX_BATCH,
        at_once: int = 0,
        told: Told | None = None,
    ) -> BulkEnrolment:
        """Enrol the photos that a source names (see read_source), or these; each is stored once, however often this is called.

        The ``journal``, a file beside the source if none is named, holds what was sent and what became of it. The same call
        again, also after this program was killed, goes on where it stopped: a photo of a subject, known by its bytes, is not
        enrolled again. One program at a time works by a journal, which belongs to one model and gallery of one deployment;
        InvalidRequest otherwise.

        Photos of a subject go in requests of up to ``batch`` (1 to 16), ``at_once`` requests at a time (0 chooses), each within
        the client's deadline, at most 240 s: 16 photos take a while. A photo that is refused, here or by the
        services, holds up no other. ``replace`` erases what a subject had before the first of its photos that this journal
        tells of; other options are those of Client.enrol. ``told`` is called after each outcome.

        Raises InvalidRequest for the source, NotFound for the model, TrustError, and ServiceError where nobody can be asked.
        """
        if isinstance(source, Path | str):
            journal = journal or beside(Path(source))
            source = await asyncio.to_thread(read_source, source)
        if journal is None:
            raise InvalidRequest("journal: a file, for photos that no folder or list names")
        if not isinstance(batch, int) or not 1 <= batch <= MAX_BATCH:
            raise InvalidRequest(f"batch: 1 to {MAX_BATCH}")
        info = await self._client.models.info()
        wishes = Wishes(largest, force, replace, unique, batch, await self._places(at_once))
        tally = Tally(len(source), told)
        with Journal(journal, info.name, info.published_unix_ms, self._client.gallery) as opened:
            await Enrolling(self._client, self._caller, info, opened, tally, wishes).all(source)
        return tally.result()

    async def identify(
        self,
        files: Sequence[Path],
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> AsyncGenerator[SearchedPhoto, None]:
        """Search for each of the photos, answers in their order; options as for Client.identify, ``at_once`` as for enrol.

        A photo, a request or a service at fault is an answer; raises TrustError.
        """
        wishes = {"operating_point": operating_point, "largest": largest, "force": force, "nearest": nearest}
        places = await self._places(at_once)
        answers = searching.photos(self._client, files, places, allow_large_gallery=allow_large_gallery, **wishes)
        async for answer in answers:
            yield answer

    async def faces(
        self,
        photo: Source | Chip,
        *,
        operating_point: str = "",
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> list[SearchedFace]:
        """Search for each face of a photo, from left to right; options as for Client.identify. Raises NoFace.

        Faces go in requests of up to 16, or with ``nearest`` in one each. Each is a search of its own, and counts as one.
        """
        places = await self._places(at_once)
        wishes = {"operating_point": operating_point, "force": force, "allow_large_gallery": allow_large_gallery}
        return await searching.faces(self._client, photo, places, nearest=nearest, **wishes)

    async def _places(self, at_once: int) -> int:
        """How many requests at a time: as wanted, or AT_ONCE, but no more than the gateway takes."""
        if not isinstance(at_once, int) or at_once < 0:
            raise InvalidRequest("at_once: a number of requests, or 0")
        taken = (await self._client.status()).requests_at_a_time
        return min(at_once or AT_ONCE, taken or AT_ONCE)
