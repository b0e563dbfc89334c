"""How often somebody may try: decisions about attempts. Pure.

One bit an answer is little, but ten thousand answers climb to a template, and a thousand strangers find one who passes. So
each reference, each gallery and each caller has a bucket that refills evenly, and every party counts for itself.
References, because a subject that is renamed would begin with a full bucket. A bucket is one number, the time at which it is
full again (the generic cell rate algorithm of ITU-T I.371); times are microseconds since the Unix epoch.

Unless an operator sets a number, a bucket holds risk. An attempt at a false match rate f costs -ln(1 - f), a full bucket is
-ln(1 - RISK): costs add up as chances of no false match multiply, so whatever points are mixed, a stranger who empties a
bucket has matched with a chance of at most RISK (10 attempts at 1e-3, 100 at 1e-4).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from visard_common.errors import InvalidArgument, ResourceExhausted
from visard_common.operations import DECLARED, Charged
from visard_wire.v1 import common_pb2

from visard_party.store.contents import Name, Place

KEY_BYTES = 16
RISK = 0.01  # of a stranger's matching before a bucket is empty; 2026-11-26
SEARCH_SHARE = 0.5  # one caller's searches: some of everybody's verifications and of all callers' searches are left
_SECOND = 1_000_000
_MANY = 1024  # buckets below which nobody looks for full ones


def part(rate: float | None) -> float:
    """What an attempt at a false match rate costs, of a bucket of RISK; all of it where the rate is unknown, or RISK."""
    return 1.0 if rate is None or rate >= RISK else math.log1p(-rate) / math.log1p(-RISK)


@dataclass(frozen=True)
class Budget:
    """So many attempts within so many seconds, at ``what``; 0 for no limit, None for a ``share`` of RISK."""

    what: str
    attempts: int | None
    seconds: float
    share: float = 1.0

    @property
    def window(self) -> int:
        """The time in which an empty bucket fills."""
        return int(self.seconds * _SECOND)

    def cost(self, rate: float | None = None, rows: int = 1) -> int:
        """What an attempt at a false match rate takes, in time until it is back: never more than a full bucket.

        One against several rows costs as many times the risk (the union bound), but is one attempt where these are counted.
        """
        if self.attempts is not None:
            return self.window // self.attempts if self.attempts else 0
        return min(self.window, math.ceil(self.window * part(rate) * rows / self.share))

    def allowed(self, rate: float | None = None) -> int:
        """Attempts that a full bucket holds; 0 for no limit."""
        cost = self.cost(rate)
        return self.window // cost if cost else 0


@dataclass(frozen=True)
class Beside:
    """Another bucket: what is missing there is missing here as well, ``times`` over, but at most half of what fits in."""

    key: bytes
    times: int = 1

    def load(self, full_at: int, now: int, window: int) -> int:
        """In the time until it is back."""
        return min(max(full_at - now, 0) * self.times, window // 2)


@dataclass(frozen=True)
class Charge:
    """Attempts taken from the bucket ``key``, each for ``cost``. One that is only noted is never refused."""

    key: bytes
    budget: Budget
    cost: int
    times: int = 1
    beside: Beside | None = None
    noted: bool = False

    def after(self, full_at: int, now: int) -> int:
        """When the bucket is full again. A clock that went back costs one window at most."""
        window = self.budget.window
        return min(max(full_at, now), now + window) + min(self.times * self.cost, window)

    def check(self, full_at: int, beside: int, now: int) -> None:
        """Whether the bucket held it, being full again at ``full_at`` afterwards; raises ServiceFault."""
        budget, most = self.budget, self.budget.window // self.cost
        if self.times > most:
            raise InvalidArgument.of(
                "request.images",
                f"at most {most}: each is an attempt {budget.what}, of which there are no more at once",
            )
        if (excess := full_at + beside - now - budget.window) > 0:
            raise ResourceExhausted(
                f"too many attempts {budget.what}: {most} within {budget.seconds:g} s are allowed",
                retry_after=excess / _SECOND,
            )


@dataclass(frozen=True)
class Budgets:
    """A party's budgets: for a subject (each of its references), a gallery, a caller's searches there, a caller."""

    subject: int | None
    gallery: int | None
    search: int | None
    caller: int
    seconds: float
    enrolments: int = 0

    @property
    def at_subject(self) -> Budget:
        """Of verifications of one subject."""
        return Budget("at this subject", self.subject, self.seconds)

    @property
    def at_gallery(self) -> Budget:
        """Of all callers' searches in a gallery."""
        return Budget("at this gallery", self.gallery, self.seconds)

    @property
    def by_search(self) -> Budget:
        """Of one caller's searches in a gallery."""
        return Budget("by this caller at this gallery", self.search, self.seconds, SEARCH_SHARE)

    def charges(
        self, request: common_pb2.Request, caller: str, rows: Sequence[Name], rate: float | None
    ) -> list[Charge]:
        """What a request costs; ``rate`` is the false match rate of its operating point, if that is known.

        A verification (or a migration, which is an enrolment besides) counts for each of its subject's references, so that there
        is no telling them apart by what is left, and a search (an identification, an enrolment that is to be unique: for each of
        its photos) for the gallery and for its caller there. A search is also noted: it has asked about everybody, which their
        own budgets then count. It is not refused because somebody's is used up, or anybody could be made not to be found.
        """
        total = Budget("by this caller", self.caller, self.seconds)
        own = Charge(_key("caller", caller), total, total.cost())
        match DECLARED[request.operation].charged:
            case Charged.SUBJECT:
                found = [*self._at_subject(Place.of(request), rows, rate), own]
            case Charged.SEARCH:
                found = self._search(Place.of(request), caller, rate, request.images, own)
            case Charged.MIGRATION:
                tried = self._at_subject(Place.of(request), rows, rate)
                found = [*tried, own, self._enrolment(caller, request.images)]
            case Charged.ENROLMENT:
                compared = request.unique or request.review
                looked = self._search(Place.of(request), caller, rate, request.images, own) if compared else []
                found = [*looked, self._enrolment(caller, request.images)]
            case Charged.CALLER:
                found = [own]
            case Charged.NOTHING:
                found = []
        return [charge for charge in found if charge.budget.attempts != 0]

    def _at_subject(self, place: Place, rows: Sequence[Name], rate: float | None) -> Iterable[Charge]:
        budget = self.at_subject
        beside = Beside(_key("searched", *place), 1 if self.subject is not None else len(rows))
        for row in rows:
            yield Charge(_key("subject", row.reference_id), budget, budget.cost(rate, len(rows)), beside=beside)

    def _enrolment(self, caller: str, images: int) -> Charge:
        budget = Budget("to enrol by this caller", self.enrolments, self.seconds)
        return Charge(_key("enrolments", caller), budget, budget.cost(), images)

    def _search(self, place: Place, caller: str, rate: float | None, images: int, own: Charge) -> list[Charge]:
        counted = [(_key("gallery", *place), self.at_gallery), (_key("search", *place, caller), self.by_search)]
        found = [Charge(key, budget, budget.cost(rate), images) for key, budget in counted]
        subject = self.at_subject
        noted = Charge(_key("searched", *place), subject, subject.cost(rate), images, noted=True)
        return [*found, replace(own, times=images), noted]


def _key(*names: str) -> bytes:
    """A bucket's name is a hash: what is kept after a subject is erased is no name."""
    return hashlib.sha256("\0".join(("visard attempts", *names)).encode()).digest()[:KEY_BYTES]


@dataclass
class Buckets:
    """Every bucket that is not full."""

    full_at: dict[bytes, int] = field(default_factory=dict)
    _looked: int = _MANY

    def spend(self, charges: Sequence[Charge], now: int) -> Mapping[bytes, int]:
        """Take what is charged from every bucket, or nothing from any; what changed.

        Raises ResourceExhausted, which says when at the latest there is enough, and InvalidArgument for what never fits.
        """
        changed: dict[bytes, int] = {}
        for charge in charges:
            changed[charge.key] = charge.after(self.full_at.get(charge.key, 0), now)
            if not charge.noted:
                charge.check(changed[charge.key], self._beside(charge, now), now)
        self.full_at |= changed
        self._forget_full_ones(now)
        return changed

    def _beside(self, charge: Charge, now: int) -> int:
        if charge.beside is None:
            return 0
        return charge.beside.load(self.full_at.get(charge.beside.key, 0), now, charge.budget.window)

    def _forget_full_ones(self, now: int) -> None:
        """Looked for whenever there are twice as many as last time: the cost of each attempt stays constant."""
        if len(self.full_at) > 2 * self._looked:
            self.full_at = {key: at for key, at in self.full_at.items() if at > now}
            self._looked = max(_MANY, len(self.full_at))
