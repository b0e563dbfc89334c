"""How often somebody may try: decisions about attempts. Pure.

One bit an answer is little, but ten thousand answers climb to a template. So each reference, each gallery and each caller
has a bucket of attempts that refills evenly, and every party counts for itself. References, because a subject that is renamed
would begin with a full bucket. A bucket is one number, the time at which it is full again (the generic cell rate
algorithm of ITU-T I.371); times are microseconds since the Unix epoch.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from visard.v1 import common_pb2

from services.common.errors import ResourceExhausted
from services.party.requests import Operation
from services.party.store.base import Name

KEY_BYTES = 16
_SECOND = 1_000_000
_MANY = 1024  # buckets below which nobody looks for full ones


@dataclass(frozen=True)
class Budget:
    """So many attempts within so many seconds, at ``what``; no attempts stand for no limit."""

    what: str
    attempts: int
    seconds: float

    @property
    def window(self) -> int:
        """The time in which an empty bucket fills."""
        return int(self.seconds * _SECOND)

    def after(self, times: int, full_at: int, now: int) -> int:
        """When the bucket is full again, after attempts more. A clock that went back costs one window at most."""
        return min(max(full_at, now), now + self.window) + min(times, self.attempts) * (self.window // self.attempts)


@dataclass(frozen=True)
class Charge:
    """Attempts taken from the bucket ``key``; from a small one all that it holds."""

    key: bytes
    budget: Budget
    times: int = 1


@dataclass(frozen=True)
class Budgets:
    """A party's budgets for a subject (each of its references), for a model's gallery, and for a caller."""

    subject: int
    gallery: int
    caller: int
    seconds: float

    def charges(self, request: common_pb2.Request, caller: str, rows: Sequence[Name]) -> list[Charge]:
        """What a request takes that is compared with these rows.

        An enrolment that asks whether the person is known is a look through the gallery for each of its photos.
        """
        gallery = self._charge("at this model's gallery", self.gallery, "gallery", request.model)
        own = self._charge("by this caller", self.caller, "caller", caller)
        match request.operation:
            case Operation.OPERATION_VERIFY:
                found = [*(self._charge("at this subject", self.subject, row.reference_id) for row in rows), own]
            case Operation.OPERATION_IDENTIFY:
                found = [gallery, own]
            case Operation.OPERATION_ENROL if request.unique:
                found = [replace(charge, times=request.images) for charge in (gallery, own)]
            case Operation.OPERATION_COMPARE | Operation.OPERATION_RUN:
                found = [own]
            case _:
                found = []
        return [charge for charge in found if charge.budget.attempts]

    def _charge(self, what: str, attempts: int, *names: str) -> Charge:
        """An attempt at a bucket, whose key is a hash: what is kept after a subject is erased is no name."""
        key = hashlib.sha256("\0".join(("visard attempts", *names)).encode()).digest()[:KEY_BYTES]
        return Charge(key, Budget(what, attempts, self.seconds))


@dataclass
class Buckets:
    """Every bucket that is not full."""

    full_at: dict[bytes, int] = field(default_factory=dict)
    _looked: int = _MANY

    def spend(self, charges: Sequence[Charge], now: int) -> Mapping[bytes, int]:
        """Take what is charged from every bucket, or nothing from any; what changed. Raises ResourceExhausted."""
        changed: dict[bytes, int] = {}
        for charge in charges:
            budget = charge.budget
            full_at = budget.after(charge.times, self.full_at.get(charge.key, 0), now)
            if (excess := full_at - now - budget.window) > 0:
                raise ResourceExhausted(
                    f"too many attempts {budget.what}: {budget.attempts} within {budget.seconds:g} s are allowed",
                    retry_after=excess / _SECOND,
                )
            changed[charge.key] = full_at
        self.full_at |= changed
        self._forget_full_ones(now)
        return changed

    def _forget_full_ones(self, now: int) -> None:
        """Looked for whenever there are twice as many as last time: the cost of each attempt stays constant."""
        if len(self.full_at) > 2 * self._looked:
            self.full_at = {key: at for key, at in self.full_at.items() if at > now}
            self._looked = max(_MANY, len(self.full_at))
