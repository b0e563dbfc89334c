"""A request as a party was asked to take part in it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from visard_common.errors import InvalidArgument, NotFound
from visard_common.limits import SESSION_BYTES
from visard_common.operations import DECLARED, Declared
from visard_wire.limits import ATTEMPT_BYTES
from visard_wire.sealing import Context
from visard_wire.v1 import common_pb2

from visard_party.intake import requests
from visard_party.intake.deposits import Deposit


@dataclass(frozen=True)
class Asked:
    """A request as this party was asked to take part in it, within so many seconds. ``attempt`` names the session.

    ``workers``: over how many workers of each party the references of a gallery are spread in this run, as party 0 says; 0 where
    the parties hold them themselves. ``describer``: the number of the workers that evaluate the network, k + 1 for workers k; 0
    where the parties do. ``lock_after``: how many failed verifications in a row lock a subject of its gallery; 0 where none
    do, or what is asked is no verification.
    """

    request: common_pb2.Request
    attempt: bytes
    deposit: Deposit | None  # what its caller has handed in; None where nobody has signed
    seconds: float
    workers: int = 0
    describer: int = 0
    lock_after: int = 0

    def check(self, now_unix_ms: int) -> None:
        """Raises InvalidArgument where a field is wrong, or another request was deposited under this one's id."""
        requests.check(self.request, now_unix_ms)
        if len(self.attempt) != ATTEMPT_BYTES:
            raise InvalidArgument.of("attempt", f"{ATTEMPT_BYTES} bytes")
        if self.deposit is not None and self.deposit.context != self.context:
            raise InvalidArgument.of("request", "the one that the share was deposited for")

    @cached_property
    def context(self) -> Context:
        """All that its caller has signed, as it is bound to what is sealed."""
        return Context.from_request(self.request)

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that was signed, and handed in."""
        return self.context.digest

    @property
    def signed(self) -> bytes:
        """What the log of writes keeps of it: 32 bytes for what was signed, 32 for who has signed."""
        return self.digest + hashlib.sha256(self.caller.encode()).digest()

    @property
    def session(self) -> bytes:
        """The name of its run: the same at all parties that were asked for the same, and another for each attempt."""
        return hashlib.sha256(b"visard session" + self.digest + self.attempt).digest()[:SESSION_BYTES]

    @property
    def declared(self) -> Declared:
        """What its operation may do and needs: see visard_common.operations."""
        return DECLARED[self.request.operation]

    @property
    def caller(self) -> str:
        """Who has signed it; empty where nobody has."""
        return self.deposit.caller if self.deposit is not None else ""

    @property
    def present(self) -> Deposit:
        """The share that was deposited for it; raises NotFound."""
        if self.deposit is None:
            raise NotFound("no share of this request was deposited here")
        return self.deposit
