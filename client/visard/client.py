"""The client: photos in, answers out. Shares are made and sealed here; nobody else can put them together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from visard_wire import tracing
from visard_wire.v1 import common_pb2, gateway_pb2

from visard import results
from visard.administration import Administration
from visard.calls import DEFAULT_DEADLINE, filled, within
from visard.capture import Chip, Source, as_pictures, capture_all
from visard.connection import Connection
from visard.envelopes import SealedRequest, Uploads
from visard.errors import InvalidRequest, NotFound
from visard.results import (
    Enrolment,
    Identification,
    Output,
    StoredReference,
    SubjectCount,
    Verification,
    stored_reference,
)
from visard.sharing import FIELDS
from visard.uploads import pixels, planes, shared

__all__ = ["DEFAULT_DEADLINE", "DEFAULT_MODEL", "Client", "Connection", "Photo"]

Photo = Source | Chip
Operation = common_pb2.Operation
Request = common_pb2.Request


DEFAULT_MODEL = "face"
UPLOADED = ("enrol", "verify", "identify", "compare")
Method = Callable[..., Awaitable[gateway_pb2.Result]]
Images = Callable[[common_pb2.ModelInfo], list[npt.NDArray[np.int64]]]


def some(photos: Sequence[Photo]) -> Sequence[Photo]:
    """The photos, if they are a list of at least one; raises InvalidRequest."""
    if not isinstance(photos, Sequence) or isinstance(photos, str | bytes) or not photos:
        raise InvalidRequest("photos: a list of at least one")
    return photos


class Client(Administration):
    """An asynchronous client; use it as ``async with``. Errors are those of visard.errors.

    ``deadline`` bounds every call in seconds; while the services are exhausted or away a call is made again until then, unless
    ``retry`` is False. Calls may run at the same time: those for which the gateway has no place wait here, oldest first.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        model: str = DEFAULT_MODEL,
        deadline: float = DEFAULT_DEADLINE,
        retry: bool = True,
    ) -> None:
        super().__init__(connection, model, deadline, retry=retry)
        self._infos: dict[str, common_pb2.ModelInfo] = {}

    async def enrol(
        self,
        subject: str,
        photos: Sequence[Photo],
        *,
        largest: bool = False,
        replace: bool = False,
        unique: bool = False,
        ttl_seconds: int = 0,
        metadata: bytes = b"",
    ) -> Enrolment:
        """Store one reference a photo under a subject. Stored at all three parties or at none.

        ``replace`` erases the subject's earlier references in the same step. ``unique`` refuses somebody who is enrolled
        under another name (AlreadyExists). ``ttl_seconds`` erases the references after so long; 0 is never. ``metadata``,
        at most 4096 bytes, is kept as it is, readable by gateway and parties.
        """
        options = {"replace": replace, "unique": unique, "ttl_seconds": ttl_seconds, "metadata": metadata}
        outcomes, report = await self._ask(
            self._matching.Enrol, Operation.OPERATION_ENROL, photos, subject, largest=largest, options=options
        )
        return Enrolment(subject, results.reference_ids(outcomes), report)

    async def verify(
        self, subject: str, photo: Photo, *, operating_point: str = "", largest: bool = False
    ) -> Verification:
        """Whether a photo shows an enrolled subject."""
        outcomes, report = await self._ask(
            self._matching.Verify, Operation.OPERATION_VERIFY, [photo], subject, operating_point, largest=largest
        )
        return Verification(results.match_bit(outcomes), report)

    async def identify(self, photo: Photo, *, operating_point: str = "", largest: bool = False) -> Identification:
        """Which enrolled subject a photo shows, if any."""
        outcomes, report = await self._ask(
            self._matching.Identify, Operation.OPERATION_IDENTIFY, [photo], "", operating_point, largest=largest
        )
        return Identification(results.matched_subject(outcomes), report)

    async def compare(
        self, photo: Photo, other: Photo, *, operating_point: str = "", largest: bool = False
    ) -> Verification:
        """Whether two photos show the same person; nothing is stored."""
        outcomes, report = await self._ask(
            self._matching.Compare, Operation.OPERATION_COMPARE, [photo, other], "", operating_point, largest=largest
        )
        return Verification(results.match_bit(outcomes), report)

    async def run(self, image: Source, *more: Source) -> Output:
        """What the model makes of an image, or of a pair for one that judges pairs; nobody else sees either.

        Images are brought to the model's size. Only for models whose owner opens their output; raises FailedPrecondition
        for others.
        """
        pictures = await asyncio.to_thread(as_pictures, (image, *more))
        asked = (Operation.OPERATION_RUN, "", "")
        outcomes, report = await self._timed(self._matching.Run, asked, lambda info: [planes(pictures, info)])
        return Output(*results.output(outcomes, (await self.model_info()).field_bits), report)

    async def delete(self, subject: str, reference_ids: Sequence[str] = ()) -> int:
        """Forget a subject, or those of its references; how many."""
        request = self._request(Operation.OPERATION_DELETE, subject, reference_ids=reference_ids)
        return await self._change(self._matching.Delete, gateway_pb2.DeleteRequest, request)

    async def rename(self, subject: str, new_subject: str) -> int:
        """Give a subject another name, which must be free; how many references moved."""
        request = self._request(Operation.OPERATION_RENAME, subject, new_subject=new_subject)
        return await self._change(self._matching.Rename, gateway_pb2.RenameRequest, request)

    async def references(self, subject: str) -> list[StoredReference]:
        """What is kept about a subject. No biometric plaintext is kept anywhere, so none can be had."""
        ask = filled(gateway_pb2.ListReferencesRequest(), model=self.model, subject=subject)
        response = await self._again(lambda left: self._matching.ListReferences(ask, timeout=left))
        return [stored_reference(info) for info in response.references]

    async def subjects(self) -> list[SubjectCount]:
        """Everybody who is enrolled."""
        found: list[SubjectCount] = []
        token = ""
        while True:
            ask = filled(gateway_pb2.ListSubjectsRequest(), model=self.model, page_token=token)
            page = await self._again(lambda left, ask=ask: self._matching.ListSubjects(ask, timeout=left))  # type: ignore[misc]
            found += [SubjectCount(s.subject, s.references) for s in page.subjects]
            if not (token := page.next_page_token):
                return found

    async def status(self) -> gateway_pb2.GetStatusResponse:
        """How the services are."""
        ask = gateway_pb2.GetStatusRequest()
        return await self._again(lambda left: self._matching.GetStatus(ask, timeout=left))

    async def models(self) -> list[common_pb2.ModelInfo]:
        """The published models."""
        ask = gateway_pb2.ListModelsRequest()
        response = await self._again(lambda left: self._registry.ListModels(ask, timeout=left))
        return list(response.models)

    async def publish(self, name: str, program: bytes, digest: bytes, weights: npt.NDArray[np.int64], q: int) -> None:
        """Publish a compiled network under a name; its weights leave this machine as three sealed shares only."""
        if not isinstance(q, int) or q not in FIELDS:
            raise InvalidRequest("q: 31 or 61")
        if not isinstance(weights, np.ndarray) or weights.dtype != np.int64:  # of a network without any it is empty
            raise InvalidRequest("weights: an array of 64-bit integers")
        if not isinstance(program, bytes):
            raise InvalidRequest("program: canonical JSON, as bytes")
        request = self._request(Operation.OPERATION_PUBLISH, model=name, program_digest=digest)
        response, sent = await self._write(
            request,
            lambda: shared([weights], q),
            lambda sealed, left: self._registry.Publish(sealed.upload(program), timeout=left),
        )
        results.check_published(results.open_all(response.results, sent.context, sent.reply_keys), digest)

    async def withdraw(self, name: str) -> None:
        """Remove a model that nobody is enrolled with."""
        request = self._request(Operation.OPERATION_WITHDRAW, model=name)
        await self._change(self._registry.Withdraw, gateway_pb2.WithdrawRequest, request)
        self._infos.pop(name, None)

    async def upload(
        self, operation: str, photos: Sequence[Photo], *, subject: str = "", largest: bool = False
    ) -> Uploads:
        """The messages of "enrol", "verify", "identify" or "compare", sealed, for another tool to send.

        The keys to its answer are thrown away: the tool sees that there is one, and what it cost.
        """
        if not isinstance(operation, str) or operation not in UPLOADED:
            raise InvalidRequest(f"operation: one of {', '.join(UPLOADED)}")
        info = await self.model_info()
        images = [pixels(chip, info) for chip in await asyncio.to_thread(capture_all, some(photos), largest=largest)]
        request = self._request(Operation.Value(f"OPERATION_{operation.upper()}"), subject, images=len(images))
        return (await self._sealed(request, shared(images, info.field_bits))).upload()

    async def _ask(
        self,
        method: Method,
        operation: int,
        photos: Sequence[Photo],
        subject: str,
        operating_point: str = "",
        *,
        largest: bool,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[list[common_pb2.Outcome], results.Report]:
        """Capture, share, seal, send, open. With ``options`` it is a write, which keeps its id when it is sent again."""
        chips = await asyncio.to_thread(capture_all, some(photos), largest=largest)
        asked = (operation, subject, operating_point)
        return await self._timed(method, asked, lambda info: [pixels(chip, info) for chip in chips], options)

    async def _timed(
        self, method: Method, asked: tuple[int, str, str], images: Images, options: Mapping[str, Any] | None = None
    ) -> tuple[list[common_pb2.Outcome], results.Report]:
        started = time.monotonic()
        name = Operation.Name(asked[0]).removeprefix("OPERATION_").lower()  # type: ignore[arg-type]
        async with within(self.deadline):  # models and keys are fetched first: they share the deadline
            with tracing.span(f"visard {name}"):
                outcomes, result = await self._exchange(method, asked, images, options)
        return outcomes, results.report(time.monotonic() - started, result)

    async def _exchange(
        self,
        method: Method,
        asked: tuple[int, str, str],
        prepare: Images,
        options: Mapping[str, Any] | None,
    ) -> tuple[list[common_pb2.Outcome], gateway_pb2.Result]:
        info = await self.model_info()
        images = prepare(info)

        def shares() -> list[bytes]:
            return shared(images, info.field_bits)

        def send(sealed: SealedRequest, left: float) -> Awaitable[gateway_pb2.Result]:
            return method(sealed.upload(), timeout=left)

        if options is None:
            result, sent = await self._read(lambda: self._request(*asked, len(images)), shares, send)
        else:
            result, sent = await self._write(self._request(*asked, len(images), **options), shares, send)
        return results.open_all(result.results, sent.context, sent.reply_keys), result

    async def model_info(self) -> common_pb2.ModelInfo:
        """What is known about the client's model; raises NotFound."""
        async with self._fetching:
            if self.model not in self._infos:
                self._infos = {info.name: info for info in await self.models()}
        if self.model not in self._infos:
            raise NotFound(f"model {self.model!r} is not published: see visard model publish")
        return self._infos[self.model]
