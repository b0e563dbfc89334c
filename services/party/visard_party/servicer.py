"""A party's two services: Party for the gateway, Peer for the other parties."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from visard_common import logs
from visard_common.deadline import remaining, within
from visard_common.errors import DeadlineExceeded, InvalidArgument, NotFound
from visard_common.identity import require, require_party
from visard_common.limits import MAX_AHEAD_MS, MAX_EXPIRY_MS, MAX_PAGE, MAX_ROWS, UPLOAD_SECONDS
from visard_common.operations import DECLARED
from visard_common.uploads import refusing_politely
from visard_wire.chain import message
from visard_wire.v1 import common_pb2, gateway_pb2, party_pb2, party_pb2_grpc
from visard_wire.version import __version__

from visard_party.auditlog import CANCELLED, AuditLog
from visard_party.config import PartyConfig
from visard_party.consistency.modelset import ModelSets
from visard_party.consistency.watch import Watch
from visard_party.intake import requests
from visard_party.intake.asked import Asked
from visard_party.intake.callers import Callers
from visard_party.intake.deposits import Deposit, DepositBox, check_key, expect, unseal, unseal_envelope
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.kits.stock import KitStock
from visard_party.models import ModelShelf, Published, parse_program
from visard_party.peers.framing import Incoming, Outgoing
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import Runner
from visard_party.store.base import Reference, Store

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Party:
    """Everything a party's services work with."""

    config: PartyConfig
    store: Store
    links: PeerLinks
    stock: KitStock
    models: ModelShelf
    model_sets: ModelSets
    runner: Runner
    watch: Watch
    deposits: DepositBox
    keys: SealingKeys
    callers: Callers
    audit: AuditLog


class PartyServicer(party_pb2_grpc.PartyServicer):
    """What the gateway calls."""

    def __init__(self, party: Party) -> None:
        self._party = party

    async def Deposit(  # noqa: N802
        self, request_iterator: AsyncIterator[common_pb2.Upload], context: Context
    ) -> party_pb2.DepositResponse:
        """Take this party's sealed share of a request."""
        require(context, "gateway")
        async with within(remaining(context, UPLOAD_SECONDS), "the upload"), refusing_politely(request_iterator):
            self._party.runner.admit()
            return await self._deposit(request_iterator)

    async def _deposit(self, uploads: AsyncIterator[common_pb2.Upload]) -> party_pb2.DepositResponse:
        party = self._party
        first = await anext(aiter(uploads), None)
        if first is None or not first.HasField("header"):
            raise InvalidArgument.of("header", "the first message of an upload")
        header, now = first.header, int(time.time() * 1000)
        logs.about(header.request.request_id)
        requests.check(header.request, now)
        caller = party.callers.signed(header.request)
        for dropped in party.deposits.purge(now):
            await party.audit.note(dropped.request, dropped.caller, DeadlineExceeded.code)
        return await self._take(header, uploads, caller)

    async def _take(
        self, header: common_pb2.UploadHeader, uploads: AsyncIterator[common_pb2.Upload], caller: str
    ) -> party_pb2.DepositResponse:
        """The share of a request that a caller has signed. What is refused here is noted; the rest when it has run."""
        async with self._party.audit.noting(header.request, caller, failures_only=True):
            self._party.callers.admit(caller, header.request.operation)
            return await self._assemble(header, uploads, caller)

    async def _assemble(
        self, header: common_pb2.UploadHeader, uploads: AsyncIterator[common_pb2.Upload], caller: str
    ) -> party_pb2.DepositResponse:
        party = self._party
        party.watch.require_agreement()  # else a party with an empty store would say that there is no such model
        key = party.keys.named(header.shares[0].key_id if header.shares else b"")
        assembly = expect(header, party.config.index, key.public, await self._share_bytes(header))
        size = assembly.info.size
        party.deposits.reserve(size)
        try:
            async for upload in uploads:
                if not upload.HasField("chunk"):
                    raise InvalidArgument.of("header", "only once, at the beginning")
                assembly.add(upload.chunk)
            sealed = assembly.finish()
            index, program = party.config.index, header.program
            deposit = unseal(header.request, index, key.private, sealed, caller=caller, program=program)
            party.deposits.put(deposit)
        finally:
            party.deposits.release(size)
        return party_pb2.DepositResponse(context_digest=deposit.context.digest)

    async def _share_bytes(self, header: common_pb2.UploadHeader) -> int:
        """How many bytes a share of this request must have; raises ServiceFault."""
        declared = DECLARED[header.request.operation]
        if declared.has_program:
            program = parse_program(header)
            return program.weight_count * (4 if program.q == 31 else 8)
        if not declared.has_share:
            raise InvalidArgument.of("request.operation", "one that has a share")
        model = (await self._party.models.get(header.request.model)).model
        return header.request.images * model.program.values[0].size * model.field.itemsize

    async def Run(self, request: party_pb2.RunRequest, context: Context) -> party_pb2.RunResponse:  # noqa: N802
        """Take part in a run."""
        require(context, "gateway")
        logs.about(request.request.request_id)
        config = self._party.config
        declared = DECLARED.get(request.request.operation)
        seconds = remaining(context, config.admin_timeout if declared and declared.long else config.run_timeout)
        deposit = self._party.deposits.take(request.request.request_id)
        if deposit is None:
            requests.check(request.request, int(time.time() * 1000))  # before anything is made of its fields
        caller = deposit.caller if deposit is not None else self._party.callers.signed(request.request)
        signed = deposit.request if deposit is not None else request.request
        async with self._party.audit.noting(signed, caller):
            self._party.callers.admit(caller, signed.operation)
            brought = deposit or _brought(self._party, request, caller)
            return await self._party.runner.run(Asked(request.request, request.attempt, brought, seconds))

    async def Cancel(  # noqa: N802
        self, request: party_pb2.CancelRequest, context: Context
    ) -> party_pb2.CancelResponse:
        """Drop a deposit, or stop a run."""
        require(context, "gateway")
        requests.check_id("request_id", request.request_id)
        deposit = self._party.deposits.take(request.request_id)
        self._party.runner.cancel(request.request_id)
        if deposit is not None:
            await self._party.audit.note(deposit.request, deposit.caller, CANCELLED)
        return party_pb2.CancelResponse()

    async def ListSubjects(  # noqa: N802
        self, request: gateway_pb2.ListSubjectsRequest, context: Context
    ) -> gateway_pb2.ListSubjectsResponse:
        """A page of subjects, in order of name."""
        require(context, "gateway")
        if not 0 <= request.page_size <= MAX_PAGE:
            raise InvalidArgument.of("page_size", f"1 to {MAX_PAGE}; 0 for 1000")
        requests.check_model("model", request.model)
        if request.page_token:
            requests.check_subject("page_token", request.page_token)
        at = _moment(request.at_unix_ms)
        await self._party.models.get(request.model)
        limit = request.page_size or 1000
        found = await self._party.store.subjects(request.model, limit + 1, request.page_token, at)
        subjects = [gateway_pb2.Subject(subject=s.subject, references=s.references) for s in found[:limit]]
        token = subjects[-1].subject if len(found) > limit else ""
        return gateway_pb2.ListSubjectsResponse(subjects=subjects, next_page_token=token)

    async def ListReferences(  # noqa: N802
        self, request: gateway_pb2.ListReferencesRequest, context: Context
    ) -> gateway_pb2.ListReferencesResponse:
        """What is kept about a subject, but for the shares."""
        require(context, "gateway")
        requests.check_model("model", request.model)
        requests.check_subject("subject", request.subject)
        at = _moment(request.at_unix_ms)
        await self._party.models.get(request.model)
        rows = [row for row in await self._party.store.references(request.model, request.subject) if row.live(at)]
        if not rows:
            raise NotFound(f"subject {request.subject!r} is not enrolled")
        return gateway_pb2.ListReferencesResponse(references=[_reference_info(row) for row in rows])

    async def Audit(self, request: gateway_pb2.AuditRequest, context: Context) -> gateway_pb2.PartyAudit:  # noqa: N802
        """Hashes of what is stored here, below prefixes of the references' ids."""
        require(context, "gateway")
        return await self._party.watch.audit(request)

    async def ListRights(  # noqa: N802
        self, request: gateway_pb2.ListRightsRequest, context: Context
    ) -> gateway_pb2.ListRightsResponse:
        """A page of rights, in order of id."""
        require(context, "gateway")
        limit = _page(request.page_size)
        if request.page_token:
            requests.check_row_id("page_token", request.page_token)
        found = await self._party.store.rights(limit + 1, request.page_token)
        rights = [gateway_pb2.Right(model=r.model, subject=r.subject, grantee=r.grantee) for r in found[:limit]]
        token = found[limit - 1].right_id if len(found) > limit else ""
        return gateway_pb2.ListRightsResponse(rights=rights, next_page_token=token)

    async def AuditLog(  # noqa: N802
        self, request: gateway_pb2.AuditLogRequest, context: Context
    ) -> gateway_pb2.AuditLogResponse:
        """A page of this party's log of who asked for what."""
        require(context, "gateway")
        limit, store, after = _page(request.page_size), self._party.store, request.after
        if not after and request.since_unix_ms:
            after = await store.audit_since(request.since_unix_ms)
        previous, found = await store.audit_page(after, limit)
        return gateway_pb2.AuditLogResponse(
            entries=[message(entry, link) for entry, link in found],
            previous_sequence=previous.sequence,
            previous_hash=previous.hash,
            previous_unix_ms=previous.time_unix_ms,
            now_unix_ms=int(time.time() * 1000),
        )

    async def GetStatus(  # noqa: N802
        self, request: gateway_pb2.GetStatusRequest, context: Context
    ) -> common_pb2.PartyStatus:
        """How this party is."""
        require(context, "gateway")
        return await status(self._party)

    async def GetKey(self, request: party_pb2.GetKeyRequest, context: Context) -> common_pb2.PartyKey:  # noqa: N802
        """The sealing key that this party offers now, with its statement."""
        require(context, "gateway")
        return self._party.keys.offered()


class PeerServicer:
    """What the other parties call; visard_party.peers.framing turns bytes into its frames."""

    def __init__(self, links: PeerLinks) -> None:
        self._links = links

    async def Exchange(  # noqa: N802
        self, request_iterator: AsyncIterator[Incoming], context: Context
    ) -> AsyncIterator[Outgoing]:
        """One stream for all runs."""
        async with refusing_politely(request_iterator):
            async for frame in self._links.serve(require_party(context), request_iterator):
                yield frame


def _brought(party: Party, run: party_pb2.RunRequest, caller: str) -> Deposit | None:
    """What came with a request that is not uploaded; None where there should have been a share, or nobody asks."""
    request = run.request
    declared = DECLARED[request.operation]
    if declared.has_share or not declared.signed:
        if run.HasField("envelope"):
            raise InvalidArgument.of("envelope", "none: a share is uploaded, and who asks unsigned gets no answer")
        return None
    key = party.keys.named(run.envelope.key_id)
    check_key("envelope.key_id", run.envelope.key_id, party.config.index, key.public)
    return unseal_envelope(request, party.config.index, key.private, run.envelope, caller)


def _page(size: int) -> int:
    """How many rows a page has; raises InvalidArgument."""
    if not 0 <= size <= MAX_ROWS:
        raise InvalidArgument.of("page_size", f"1 to {MAX_ROWS}; 0 for {MAX_ROWS}")
    return size or MAX_ROWS


def _moment(asked_unix_ms: int) -> int:
    """The time for which a list is asked, the same at all three parties; raises InvalidArgument for one that is not now."""
    now = int(time.time() * 1000)
    if not asked_unix_ms:
        return now
    if not now - MAX_EXPIRY_MS <= asked_unix_ms <= now + MAX_AHEAD_MS:
        raise InvalidArgument.of("at_unix_ms", "the time now, at most ten minutes ago: check the clocks")
    return asked_unix_ms


def _reference_info(row: Reference) -> gateway_pb2.ReferenceInfo:
    return gateway_pb2.ReferenceInfo(
        reference_id=row.reference_id,
        version=row.version,
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
        expires_unix_ms=row.expires_unix_ms,
        metadata=row.metadata,
        enrolled_by=row.enrolled_by,
    )


async def status(party: Party) -> common_pb2.PartyStatus:
    """What an operator wants to know."""
    subjects, references = (await party.watch.holdings()).counts
    reasons = obstacles(party.links, party.model_sets.differing())
    reasons += [party.watch.problem] if party.watch.problem else []
    stock = [
        common_pb2.KitStock(
            program=level.plan.digest.hex(),
            available=level.available,
            target=level.target,
            kit_bytes=level.plan.correction_bytes,
        )
        for level in party.stock.levels()
    ]
    return common_pb2.PartyStatus(
        party=party.config.index,
        ready=not reasons,
        reason=" and ".join(reasons),
        store=party.store.description,
        version=__version__,
        peers=[_peer_state(party, peer) for peer in party.links.peers],
        stock=stock,
        subjects=subjects,
        references=references,
        runs_active=party.runner.active,
        models=[published.info() for published in party.models.listed()],
        attempts_seconds=party.config.attempts_seconds,
        attempts=[allowed for published in party.models.listed() for allowed in _attempts(party, published)],
    )


def _attempts(party: Party, published: Published) -> Iterator[common_pb2.Attempts]:
    """What the budgets let through at each of a model's operating points."""
    budgets = party.runner.budgets
    for point in sorted(published.program.operating_points):
        rate = published.program.false_match_rate(point)
        yield common_pb2.Attempts(
            model=published.name,
            operating_point=point,
            subject=budgets.at_subject.allowed(rate),
            gallery=budgets.at_gallery.allowed(rate),
            search=budgets.by_search.allowed(rate),
        )


def obstacles(links: PeerLinks, differing: list[int]) -> list[str]:
    """Why this party is not ready, in words for an operator."""
    away = [peer for peer in links.peers if not links.connected(peer)]
    reasons = [links.refusals.get(peer, f"party {peer} is not connected") for peer in away]
    return reasons + [f"party {peer} has published other models: see visard model list" for peer in differing]


def _peer_state(party: Party, peer: int) -> common_pb2.PeerState:
    return common_pb2.PeerState(
        party=peer,
        connected=party.links.connected(peer),
        version=party.links.versions.get(peer, ""),
        models_differ=peer in party.model_sets.differing(),
    )
