"""The client: photos in, answers out. Shares are made and sealed here; nobody else can put them together."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import grpc
import numpy as np
import numpy.typing as npt

from visard import results, tracing
from visard.callers import Signer
from visard.capture import Chip, Source, as_pictures, capture_all
from visard.certs import verify_party_key
from visard.connection import OPTIONS, Connection
from visard.errors import (
    DeadlineExceeded,
    Exhausted,
    NotFound,
    StaleKey,
    Unavailable,
    Undone,
    UntrustedKey,
    from_rpc,
)
from visard.results import (
    Enrolment,
    Identification,
    Output,
    StoredReference,
    SubjectCount,
    Verification,
    stored_reference,
)
from visard.sealing import Context
from visard.secret import Secret
from visard.uploads import Uploads, pixels, planes, sealed_upload
from visard.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

__all__ = ["DEFAULT_DEADLINE", "DEFAULT_MODEL", "Client", "Connection", "Photo"]

Photo = Source | Chip
Operation = common_pb2.Operation
T = TypeVar("T")

DEFAULT_MODEL = "face"
DEFAULT_DEADLINE = 60.0
REQUEST_ID_BYTES = 16
ATTEMPTS = 4
_LIFETIME_MS = 300_000

Method = Callable[..., Awaitable[gateway_pb2.Result]]
Answered = tuple[gateway_pb2.Result, Context, list[Secret]]
Images = Callable[[common_pb2.ModelInfo], list[npt.NDArray[np.int64]]]


class Client:
    """An asynchronous client; use it as ``async with``. Errors are those of visard.errors."""

    def __init__(
        self, connection: Connection, *, model: str = DEFAULT_MODEL, deadline: float = DEFAULT_DEADLINE
    ) -> None:
        self.model = model
        self.deadline = deadline
        self._connection = connection
        self._ca = connection.ca.read_bytes()
        self._signer = Signer.read(connection.cert, connection.key)
        self._keys: list[bytes] | None = None
        self._infos: dict[str, common_pb2.ModelInfo] = {}

    async def __aenter__(self) -> Self:
        """Open the channel."""
        pem = (self._connection.key.read_bytes(), self._connection.cert.read_bytes())
        credentials = grpc.ssl_channel_credentials(self._ca, *pem)
        self._channel = grpc.aio.secure_channel(
            self._connection.gateway, credentials, options=OPTIONS, interceptors=tracing.interceptors()
        )
        self._matching = gateway_pb2_grpc.FaceMatchingStub(self._channel)
        self._registry = gateway_pb2_grpc.ModelRegistryStub(self._channel)
        self._admin = gateway_pb2_grpc.AdminStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel."""
        await self._channel.close(None)

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
        request = self._request(Operation.OPERATION_DELETE, subject, reference_ids=list(reference_ids))
        response = await self._write(
            request, lambda r, left: self._matching.Delete(gateway_pb2.DeleteRequest(request=r), timeout=left)
        )
        return response.references_deleted

    async def rename(self, subject: str, new_subject: str) -> int:
        """Give a subject another name, which must be free; how many references moved."""
        request = self._request(Operation.OPERATION_RENAME, subject, new_subject=new_subject)
        response = await self._write(
            request, lambda r, left: self._matching.Rename(gateway_pb2.RenameRequest(request=r), timeout=left)
        )
        return response.references_renamed

    async def references(self, subject: str) -> list[StoredReference]:
        """What is kept about a subject. No biometric plaintext is kept anywhere, so none can be had."""
        ask = gateway_pb2.ListReferencesRequest(model=self.model, subject=subject)
        response = await self._again(lambda left: self._matching.ListReferences(ask, timeout=left))
        return [stored_reference(info) for info in response.references]

    async def subjects(self) -> list[SubjectCount]:
        """Everybody who is enrolled."""
        found: list[SubjectCount] = []
        token = ""
        while True:
            ask = gateway_pb2.ListSubjectsRequest(model=self.model, page_token=token)
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
        request = self._request(Operation.OPERATION_PUBLISH, model=name, program_digest=digest)

        async def once(r: common_pb2.Request, left: float) -> gateway_pb2.PublishResponse:
            messages, _ = sealed_upload(r, [weights], q, await self._party_keys(), program)
            return await self._registry.Publish(messages, timeout=left)

        await self._with_fresh_keys(lambda: self._write(request, once))

    async def withdraw(self, name: str) -> None:
        """Remove a model that nobody is enrolled with."""
        request = self._request(Operation.OPERATION_WITHDRAW, model=name)
        await self._write(
            request, lambda r, left: self._registry.Withdraw(gateway_pb2.WithdrawRequest(request=r), timeout=left)
        )
        self._infos.pop(name, None)

    async def audit_nodes(self, prefixes: Sequence[str]) -> list[list[gateway_pb2.AuditNode]]:
        """Each party's hashes below prefixes of references' ids (admin): see visard.admin.audit."""
        ask = gateway_pb2.AuditRequest(prefixes=prefixes)
        response = await self._again(lambda left: self._admin.Audit(ask, timeout=left))
        return [list(party.nodes) for party in response.parties]

    async def refresh(self) -> int:
        """New shares for everything that is stored (admin); how many references were renewed."""
        request = self._request(Operation.OPERATION_REFRESH, model="")
        response = await self._write(
            request, lambda r, left: self._admin.Refresh(gateway_pb2.RefreshRequest(request=r), timeout=left)
        )
        return response.references_renewed

    async def recover(self, party: int) -> int:
        """Write a party's store anew from the two others (admin); how many references it holds then."""
        ask = gateway_pb2.RecoverRequest(request=self._request(Operation.OPERATION_RECOVER, model="", party=party))
        response = await self._call(lambda: self._admin.Recover(ask, timeout=self.deadline))
        return response.references_restored

    async def upload(self, operation: str, photos: Sequence[Photo], *, subject: str = "") -> Uploads:
        """The messages of "enrol", "verify", "identify" or "compare", sealed, for another tool to send.

        The keys to its answer are thrown away: the tool sees that there is one, and what it cost.
        """
        info = await self.model_info()
        images = [pixels(chip, info) for chip in await asyncio.to_thread(capture_all, photos)]
        request = self._request(Operation.Value(f"OPERATION_{operation.upper()}"), subject, images=len(images))
        messages, _ = sealed_upload(request, images, info.field_bits, await self._party_keys())
        return messages

    async def _write(self, request: common_pb2.Request, call: Callable[[common_pb2.Request, float], Awaitable[T]]) -> T:
        """A write: sent again with the same id when its answer is lost, and with a fresh one when it was undone."""

        async def once(left: float) -> T:
            try:
                return await self._call(lambda: call(request, left))
            except Undone:
                request.request_id = os.urandom(REQUEST_ID_BYTES)
                self._signer.sign(request)
                raise

        return await self._again(once)

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
        chips = await asyncio.to_thread(capture_all, photos, largest=largest)
        asked = (operation, subject, operating_point)
        return await self._timed(method, asked, lambda info: [pixels(chip, info) for chip in chips], options)

    async def _timed(
        self, method: Method, asked: tuple[int, str, str], images: Images, options: Mapping[str, Any] | None = None
    ) -> tuple[list[common_pb2.Outcome], results.Report]:
        started = time.monotonic()
        try:
            name = Operation.Name(asked[0]).removeprefix("OPERATION_").lower()  # type: ignore[arg-type]
            async with asyncio.timeout(self.deadline):  # models and keys are fetched first: they share the deadline
                with tracing.span(f"visard {name}"):
                    outcomes, result = await self._exchange(method, asked, images, options)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {self.deadline:g} s") from error
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

        async def once(request: common_pb2.Request, left: float) -> Answered:
            # fresh shares and fresh reply keys, also for a write that is sent again
            messages, keys = sealed_upload(request, images, info.field_bits, await self._party_keys())
            return await method(messages, timeout=left), Context.from_request(request), keys

        async def attempts() -> Answered:
            if options is None:
                return await self._again(
                    lambda left: self._call(lambda: once(self._request(*asked, len(images)), left))
                )
            return await self._write(self._request(*asked, len(images), **options), once)

        result, context, keys = await self._with_fresh_keys(attempts)
        return results.open_all(result, context, keys), result

    def _request(
        self,
        operation: int,
        subject: str = "",
        operating_point: str = "",
        images: int = 0,
        *,
        model: str | None = None,
        **options: Any,
    ) -> common_pb2.Request:
        now = int(time.time() * 1000)
        request = common_pb2.Request(
            request_id=os.urandom(REQUEST_ID_BYTES),
            operation=common_pb2.Operation.Name(operation),  # type: ignore[arg-type]
            subject=subject,
            model=self.model if model is None else model,
            images=images,
            operating_point=operating_point,
            sent_unix_ms=now,
            expires_unix_ms=now + _LIFETIME_MS,
            **options,
        )
        self._signer.sign(request)
        return request

    async def _party_keys(self) -> list[bytes]:
        """The parties' sealing keys, each signed by our authority; raises UntrustedKey."""
        if self._keys is None:
            ask = gateway_pb2.GetPartiesRequest()
            response = await self._again(lambda left: self._matching.GetParties(ask, timeout=left))
            if [party.party for party in response.parties] != [0, 1, 2]:
                raise UntrustedKey("the keys of three parties are needed")
            for party in response.parties:
                verify_party_key(self._ca, party.party, party.public_key, party.signature)
            self._keys = [party.public_key for party in response.parties]
        return self._keys

    async def _with_fresh_keys(self, work: Callable[[], Awaitable[T]]) -> T:
        """Work that seals, done once more when a party has another key by now: a refused share was not looked at."""
        try:
            return await work()
        except StaleKey:
            self._keys = None
            return await work()

    async def model_info(self) -> common_pb2.ModelInfo:
        """What is known about the client's model; raises NotFound."""
        if self.model not in self._infos:
            self._infos = {info.name: info for info in await self.models()}
        if self.model not in self._infos:
            raise NotFound(f"model {self.model!r} is not published: see visard model publish")
        return self._infos[self.model]

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """One call, its failure as one of our errors."""
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error

    async def _again(self, call: Callable[[float], Awaitable[T]]) -> T:
        """A call, repeated a few times when the service is exhausted or away; all attempts share one deadline."""
        end = time.monotonic() + self.deadline
        for attempt in range(ATTEMPTS):
            try:
                left = max(end - time.monotonic(), 0.001)
                return await self._call(lambda left=left: call(left))  # type: ignore[misc]
            except (Exhausted, Unavailable, Undone) as error:
                pause = error.retry_after if isinstance(error, Exhausted) else 0.3 * 2**attempt
                if attempt == ATTEMPTS - 1 or time.monotonic() + pause > end:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")
