"""The party's sealing keys: it makes them by itself, offers the newest, opens with those before it, and erases them in time.

What is due is decided each time a key is asked for (visard_party.intake.keyring); the loop is there for when nobody asks.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import Counter
from visard_common.errors import Unavailable
from visard_common.metrics import REGISTRY
from visard_common.tls import Stamp, Tls
from visard_wire.errors import VisardError
from visard_wire.partykeys import sign, verify_party_key
from visard_wire.sealing import key_id
from visard_wire.statements import Holder
from visard_wire.v1 import common_pb2

from visard_party.intake import keyring
from visard_party.intake.sealingfiles import KeyFiles, SealingKey

SHARES = Counter("visard_shares_accepted", "Uploads of shares accepted, by key.", ["key"], registry=REGISTRY)
FAULTS = Counter("visard_sealing_key_faults", "Sealing keys that could not be made or erased.", registry=REGISTRY)
_REMEMBERED = 64  # refreshes: one that is asked for again is minutes old
LOOK_SECONDS = 30.0  # not a timer for the next change: clocks are set, and machines sleep

log = structlog.get_logger()


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class SealingKeys:
    """A party's keys, in a directory. Raises OSError, ValueError and VisardError (a wrong certificate) when it is made."""

    def __init__(
        self, party: int, tls: Tls, directory: Path, hours: float, clock: Callable[[], int] = _unix_ms
    ) -> None:
        self._party = party
        self._tls = tls
        self._files = KeyFiles(directory)
        self._hours = hours
        self._clock = clock
        self._held = {key.term: key for key in self._files.read()}
        self._last = self._files.highest()
        # of a disk that was restored clients may have seen a newer one: every start makes a key of its own
        self._replaced = self._last
        self._untidy = True
        self._rotated = deque[bytes](maxlen=_REMEMBERED)
        self._holder, self._statement, self._stamp = self._certified(self._turn(), tls.stamp())

    def offered(self) -> common_pb2.PartyKey:
        """The key to seal to now, with this party's statement; raises Unavailable."""
        key, stamp = self._current(), self._tls.stamp()
        if stamp != self._stamp:
            try:
                self._holder, self._statement, self._stamp = self._certified(key, stamp)
            except (OSError, ValueError, VisardError) as error:
                # half replaced, or wrong: the certificate in memory stays, and the files are looked at again next time
                log.warning("the new certificate does not sign sealing keys", reason=str(error))
        if self._statement.serial != key.term.serial:
            self._statement = self._signed(self._holder, key)
        return self._statement

    def named(self, wanted: bytes) -> SealingKey:
        """The key that a share names; the current one when it names none of ours, to be refused by its name.

        Raises Unavailable.
        """
        current = self._current()
        for key in self._held.values():
            if wanted == key_id(key.public):
                SHARES.labels("current" if key is current else "previous").inc()
                return key
        return current

    def held(self, wanted: bytes) -> SealingKey | None:
        """The key of this name, while it is accepted; raises Unavailable."""
        self._current()
        return next((key for key in self._held.values() if wanted == key_id(key.public)), None)

    def rotate(self, request_id: bytes) -> None:
        """Offer a new key, once for each request; the one before stays for its hour.

        Where none can be made no other is offered, and it is tried again.
        """
        if request_id not in self._rotated:
            self._rotated.append(request_id)
            self._replaced = self._last
            self._look()

    async def look(self) -> None:
        """Make and erase keys in time, also when nobody asks."""
        self._look()

    def _look(self) -> None:
        try:
            self._turn()
        except OSError as error:
            self._note(error)

    def _current(self) -> SealingKey:
        try:
            return self._turn()
        except OSError as error:
            self._note(error)
            raise Unavailable(f"party {self._party} cannot make or erase a sealing key: see its log") from error

    def _note(self, error: OSError) -> None:
        FAULTS.inc()
        log.error("a sealing key could not be made or erased", reason=str(error))

    def _turn(self) -> SealingKey:
        """Do what is due; the key to offer. Raises OSError."""
        now = self._clock()
        plan = keyring.plan(self._held.keys(), now, self._replaced)
        self._untidy |= len(plan.accepted) < len(self._held)
        self._held = {term: self._held[term] for term in plan.accepted}  # forgotten at once, whatever the disk says
        try:
            # first, so that the highest serial is on disk at any time
            return self._held[plan.offered] if plan.offered is not None else self._make(now)
        finally:
            if self._untidy:
                self._files.erase_all_but(self._held.keys())
                self._untidy = False

    def _make(self, now: int) -> SealingKey:
        term = keyring.fresh(self._last, now, self._hours)
        key = SealingKey.of(term, X25519PrivateKey.generate())
        self._untidy = True  # should the writing fail
        self._files.write(key)
        self._last = term.serial
        self._held[term] = key
        log.info("sealing key made", serial=term.serial)
        return key

    def _certified(self, key: SealingKey, stamp: Stamp) -> tuple[Holder, common_pb2.PartyKey, Stamp]:
        """Sign with the certificate that the files hold now; raises OSError, ValueError and VisardError."""
        holder = Holder.read(self._tls.cert, self._tls.key)
        signed = self._signed(holder, key)
        verify_party_key(self._tls.trust(), self._party, signed, self._clock())
        return holder, signed, stamp

    def _signed(self, holder: Holder, key: SealingKey) -> common_pb2.PartyKey:
        statement = common_pb2.PartyKey(
            party=self._party,
            public_key=key.public,
            serial=key.term.serial,
            not_before_unix_ms=key.term.not_before,
            not_after_unix_ms=key.term.not_after,
        )
        sign(holder, statement)
        return statement
