"""What administrators ask: what is stored, who has rights to it, and who asked for what. ``admin`` of a client."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from visard_wire.chain import entry
from visard_wire.limits import PARTIES, UNLOCK_AT_ONCE
from visard_wire.v1 import common_pb2, gateway_pb2

from visard import crossing, opening, received
from visard.audit import find
from visard.auditlog import MARGIN_MS, PartyLog
from visard.calls import Caller, filled
from visard.envelopes import NO_SHARES, SealedRequest
from visard.errors import NotFound
from visard.galleries import ExportedGallery, ImportedGallery
from visard.results import Audit, Holdings, Right

Operation = common_pb2.Operation
Request = common_pb2.Request


class Admin:
    """The service Admin. The client's certificate must be an administrator's; PermissionDenied otherwise."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def audit(self) -> Audit:
        """Do the three parties hold the same references and rights, and if not, which differ? Compares hashes."""
        return await find(self.holdings)

    async def holdings(self, prefixes: Sequence[str]) -> list[list[Holdings]]:
        """What each party says that it holds below prefixes of references' ids (hex; at most 256), by party, then by prefix."""
        ask = filled(gateway_pb2.AuditRequest(), prefixes=prefixes)
        response = await self._caller.again(lambda left: self._caller.admin.Audit(ask, timeout=left))
        return [[received.holdings(node) for node in party.nodes] for party in response.parties]

    async def refresh(self) -> int:
        """New shares for everything that is stored; how many references were renewed."""
        request = self._caller.request(Operation.OPERATION_REFRESH, model="")
        return await self._caller.change(self._caller.admin.Refresh, gateway_pb2.RefreshRequest, request)

    async def recover(self, party: int) -> int:
        """Write a party's store anew from the two others; how many references it holds then."""

        def request() -> Request:
            return self._caller.request(Operation.OPERATION_RECOVER, model="", party=party)

        def send(sealed: SealedRequest, left: float) -> Awaitable[gateway_pb2.RecoverResponse]:
            ask = gateway_pb2.RecoverRequest(request=sealed.request, envelopes=sealed.envelopes)
            return self._caller.admin.Recover(ask, timeout=left)

        response, sent = await self._caller.read(request, lambda: NO_SHARES, send)
        return opening.changed(opening.open_all(response.results, sent.context, sent.reply_keys))

    async def grant(self, grantee: str, subject: str = "") -> None:
        """Let a caller, as in "enroller/kiosk-7", add to, replace, delete and rename a subject that others have enrolled.

        With an empty subject: every subject of the client's model in its gallery. The right is to the name, whoever bears it
        later.
        """
        request = self._caller.request(Operation.OPERATION_GRANT, subject, grantee=grantee)
        await self._caller.change(self._caller.admin.Grant, gateway_pb2.GrantRequest, request)

    async def revoke(self, grantee: str, subject: str = "") -> None:
        """Take back exactly what ``grant`` gave with the same words; raises NotFound."""
        request = self._caller.request(Operation.OPERATION_REVOKE, subject, grantee=grantee)
        await self._caller.change(self._caller.admin.Revoke, gateway_pb2.RevokeRequest, request)

    async def recipients(self) -> bytes:
        """The sealing keys of this deployment's parties, as another one's ``export_gallery`` takes them.

        Good until the first of the three is erased: for 1 to 25 hours by default. Raises UntrustedKey.
        """
        return await crossing.recipients(self._caller)

    async def export_gallery(
        self, to: str, recipients: bytes, file: Path, told: Callable[[int], object] | None = None
    ) -> ExportedGallery:
        """Write the references of the client's model in its gallery to a file, for the parties of another deployment alone.

        ``to``: what all three operators here call that deployment (``export_to`` in their configurations); ``recipients`` are its
        parties' keys, which they vouch for. The same call again goes on where it stopped (``file`` with ``.part`` behind it).
        ``told`` hears how many references are written. Raises PermissionDenied where an operator has not named the deployment,
        InvalidRequest for a file that is there already.
        """
        return await crossing.exported(self._caller, to, recipients, file, told)

    async def import_gallery(
        self, source: str, file: Path, told: Callable[[int], object] | None = None
    ) -> ImportedGallery:
        """Store what another deployment has exported as references of the client's model in its gallery, in this caller's name.

        ``source``: what all three operators here call that deployment (``import_from``). The same file again stores nothing
        twice, and nobody who was erased in between. Raises PermissionDenied where an operator has not named it,
        FailedPrecondition for a model that is another network or has other weights, and for a file that is too old;
        AlreadyExists where somebody else has enrolled a subject.
        """
        return await crossing.imported(self._caller, source, file, told)

    async def unlock(self, subject: str = "") -> int:
        """Forget the failed verifications of a subject, with the client's model in its gallery: it is locked no more.

        With an empty subject: everybody's. Of how many something was counted; raises NotFound where of nobody. Find out why
        they were locked before.
        """
        done = last = await self._unlock(subject)
        while last == UNLOCK_AT_ONCE:
            try:
                last = await self._unlock(subject)
            except NotFound:
                break
            done += last
        return done

    async def _unlock(self, subject: str) -> int:
        request = self._caller.request(Operation.OPERATION_UNLOCK, subject)
        return await self._caller.change(self._caller.admin.Unlock, gateway_pb2.UnlockRequest, request)

    async def rights(self) -> list[Right]:
        """All rights that were granted, to whatever model."""
        found: list[Right] = []
        token = ""
        while True:
            page = await self._rights_page(token)
            found += [received.taken(Right, right) for right in page.rights]
            if not (token := page.next_page_token):
                return sorted(found, key=lambda right: (right.gallery, right.model, right.subject, right.grantee))

    async def _rights_page(self, token: str) -> gateway_pb2.ListRightsResponse:
        ask = filled(gateway_pb2.ListRightsRequest(), page_token=token)
        return await self._caller.again(lambda left: self._caller.admin.ListRights(ask, timeout=left))

    async def audit_log(self, since_unix_ms: int = 0) -> list[PartyLog]:
        """The three parties' logs of who asked for what, from a little before a time on: see visard.auditlog.

        Raises Unavailable when a party is away.
        """
        asked = filled(gateway_pb2.AuditLogRequest(), since_unix_ms=since_unix_ms)
        begin = max(0, asked.since_unix_ms - MARGIN_MS)
        return [await self._log_of(party, begin) for party in range(PARTIES)]

    async def _log_of(self, party: int, since_unix_ms: int) -> PartyLog:
        first = page = await self._log_page(party, since_unix_ms=since_unix_ms)
        told = list(page.entries)
        while page.entries:
            page = await self._log_page(party, after=told[-1].sequence)
            told += page.entries
        return PartyLog(
            party,
            begins_after=first.previous_sequence,
            anchor=first.previous_hash,
            complete_from=first.previous_unix_ms if first.previous_sequence else 0,
            now_unix_ms=first.now_unix_ms,
            entries=tuple(map(entry, told)),
            hashes=tuple(one.hash for one in told),
        )

    async def _log_page(self, party: int, after: int = 0, since_unix_ms: int = 0) -> gateway_pb2.AuditLogResponse:
        ask = filled(gateway_pb2.AuditLogRequest(), party=party, after=after, since_unix_ms=since_unix_ms)
        return await self._caller.again(lambda left: self._caller.admin.AuditLog(ask, timeout=left))
