"""Enrol many photos: several subjects at a time, and each photo once, whatever ends in between.

A request's outcome is known when its sealed answer is there. Where it is not (this program was killed, or the answer was lost), a
listing that shows its references says that it was made; if it does not, the next request for these photos stands for it
(Request.instead_of), so that at most one of them is ever made.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from visard_wire.v1 import common_pb2, gateway_pb2

from visard import opening
from visard.bulk.journal import Journal, Sent
from visard.bulk.judging import Judged, Tally, digest, prepared
from visard.bulk.outcomes import BulkItem
from visard.calls import Caller, named, within
from visard.envelopes import SealedRequest
from visard.errors import (
    AlreadyExists,
    FailedPrecondition,
    InconsistentAnswer,
    InvalidRequest,
    NotFound,
    RequestError,
    ServiceError,
    StaleKey,
    Undone,
    Unreachable,
    VisardError,
)
from visard.results import ModelInfo
from visard.uploads import shared

if TYPE_CHECKING:
    from visard.client import Client

_LONGEST = 240.0  # seconds of one request, which expires after 300
_FAILURES = 16  # one behind the other, after which the services are away
_ROUNDS = 4  # of finding out about earlier requests, each of which ends one of them


@dataclass(frozen=True)
class Wishes:
    """How photos are to be enrolled: see Bulk.enrol."""

    largest: bool
    force: bool
    replace: bool
    unique: bool
    batch: int
    at_once: int


class Enrolling:
    """One call of Bulk.enrol."""

    def __init__(
        self, client: "Client", caller: Caller, info: ModelInfo, journal: Journal, tally: Tally, wishes: Wishes
    ) -> None:
        self._client = client
        self._caller = caller
        self._info = info
        self._journal = journal
        self._tally = tally
        self._wishes = wishes
        self._waiting: deque[list[BulkItem]] = deque()
        self._second: dict[str, list[BulkItem]] | None = {}  # what failed once; None when that is tried
        self._failures = 0
        self._away = False

    async def all(self, items: Sequence[BulkItem]) -> None:
        """Every photo, and once more those for which the services failed; raises TrustError, and OSError of the journal."""
        ordered = sorted(items, key=lambda item: item.subject)
        await self._work([list(own) for _, own in groupby(ordered, key=lambda item: item.subject)])
        again, self._second = self._second or {}, None
        await self._work(list(again.values()))

    async def _work(self, subjects: list[list[BulkItem]]) -> None:
        """A subject at a time, by several workers: a subject's requests follow each other."""
        self._waiting.extend(subjects)
        workers = [asyncio.create_task(self._worker()) for _ in range(self._wishes.at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self) -> None:
        while self._waiting and not self._away:
            await self._subject(self._waiting.popleft())

    async def _subject(self, items: list[BulkItem]) -> None:
        try:
            await self._settle(items[0].subject)
        except (RequestError, ServiceError) as error:
            self._fail(items, error)
            return
        fresh = await self._fresh(items)
        for _, alike in groupby(fresh, key=lambda item: (item.note, item.ttl_seconds)):
            for chunk in _chunks(list(alike), self._wishes.batch):
                if self._away:
                    return
                if good := await self._judged(chunk):
                    await self._enrol(good)

    async def _fresh(self, items: list[BulkItem]) -> list[BulkItem]:
        """Photos that are not enrolled, each once, alike ones together."""
        fresh, seen = [], set[str]()
        for item in items:
            try:
                photo = await asyncio.to_thread(digest, item)
            except VisardError as error:
                self._tally.refuse(item, error)
                continue
            if photo in seen or self._journal.holds(item.subject, photo):
                self._tally.already()
            else:
                fresh.append(item)
            seen.add(photo)
        return sorted(fresh, key=lambda item: (item.note, item.ttl_seconds))

    async def _judged(self, items: list[BulkItem]) -> list[Judged]:
        found = []
        for item in items:
            judged = await asyncio.to_thread(
                prepared, item, self._info, largest=self._wishes.largest, force=self._wishes.force
            )
            if isinstance(judged, Judged):
                found.append(judged)
            else:
                self._tally.refuse(item, judged)
        return found

    async def _enrol(self, batch: list[Judged]) -> None:
        """A subject's photos in one request; where something is wrong with one of them, each in one of its own."""
        subject = batch[0].item.subject
        for _ in range(_ROUNDS):
            fresh = [one for one in batch if not self._journal.holds(subject, one.photo)]
            self._tally.already(len(batch) - len(fresh))
            if not (batch := fresh):
                return
            try:
                await self._send(subject, batch)
            except StaleKey as error:
                break_off: VisardError = error
            except AlreadyExists as error:
                if await self._found_out(subject):
                    continue
                self._refuse(batch, error)
                return
            except (InvalidRequest, FailedPrecondition) as error:
                await self._each(batch, error)
                return
            except RequestError as error:
                self._refuse(batch, error)
                return
            except ServiceError as error:
                break_off = error
            else:
                self._failures = 0
                self._tally.enrolled(len(batch))
                return
            self._fail([one.item for one in batch], break_off)
            return
        self._fail([one.item for one in batch], Undone("earlier requests for these photos come to an end only now"))

    async def _each(self, batch: list[Judged], error: RequestError) -> None:
        if len(batch) == 1:
            self._refuse(batch, error)
            return
        for one in batch:
            await self._enrol([one])

    def _refuse(self, batch: list[Judged], error: RequestError) -> None:
        self._failures = 0  # whoever refuses is there
        for one in batch:
            self._tally.refuse(one.item, error)

    def _fail(self, items: list[BulkItem], error: VisardError) -> None:
        """Not for now: once more at the end, and then not in this call."""
        self._failures += 1
        self._away = self._away or self._failures >= _FAILURES or isinstance(error, Unreachable)
        for item in items:
            if self._second is None or self._away:
                self._tally.leave(item, error)
            else:
                self._second.setdefault(item.subject, []).append(item)

    async def _found_out(self, subject: str) -> bool:
        try:
            return await self._settle(subject)
        except (RequestError, ServiceError):
            return False

    async def _settle(self, subject: str) -> bool:
        """Whether one of the requests whose outcome nobody knows was made, as what is stored shows."""
        if not self._journal.open_of(subject):
            return False
        try:
            held = {row.reference_id for row in await self._client.references(subject)}
        except NotFound:
            held = set()
        made = [one for one in self._journal.open_of(subject) if held.intersection(one.reference_ids)]
        for one in made:
            self._journal.made(one)
        return bool(made)

    async def _send(self, subject: str, batch: list[Judged]) -> None:
        """One request, noted before it leaves and when it was made; raises RequestError, ServiceError and TrustError."""
        photos = tuple(one.photo for one in batch)
        earlier = self._journal.earlier(subject, photos)
        if earlier is None:
            raise Undone("too many requests for these photos may still be made: run it again in half an hour")
        request = self._caller.request(
            common_pb2.OPERATION_ENROL,
            subject,
            images=len(batch),
            model=self._info.name,
            gallery=named(self._journal.gallery),
            replace=self._wishes.replace and not self._journal.has_made(subject),
            unique=self._wishes.unique,
            ttl_seconds=batch[0].item.ttl_seconds,
            metadata=batch[0].item.note.encode(),
            instead_of=earlier,
        )
        values = [one.pixels for one in batch]
        noted: Sent | None = None

        async def send(sealed: SealedRequest, left: float) -> gateway_pb2.Result:
            nonlocal noted
            asked, bound = sealed.request, sealed.context.digest.hex()
            if noted is None or noted.digest != bound:
                noted = Sent(asked.request_id.hex(), subject, photos, bound, asked.expires_unix_ms)
                self._journal.sent(noted, asked.instead_of, [str(one.item.file) for one in batch])
            return await self._caller.matching.Enrol(sealed.upload(), timeout=left)

        try:
            async with within(min(self._caller.deadline, _LONGEST)):
                result, sealed = await self._caller.write(request, lambda: shared(values, self._info.field_bits), send)
        except RequestError as error:
            if noted is not None:
                self._journal.refused(noted, str(error))
            raise
        assert noted is not None
        stored = opening.reference_ids(opening.open_all(result.results, sealed.context, sealed.reply_keys))
        if list(stored) != noted.reference_ids:
            raise InconsistentAnswer("the parties name what they have stored otherwise than its request does")
        self._journal.made(noted)


def _chunks(items: list[BulkItem], size: int) -> Iterator[list[BulkItem]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
