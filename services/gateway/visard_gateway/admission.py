"""How many requests may be under way: in all, and of one caller, so that none can take every place. Pure."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from visard_common.errors import ResourceExhausted
from visard_common.identity import Role
from visard_common.limits import RETRY_SECONDS


class Admission:
    """Counts requests by the role in the caller's certificate."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._callers: Counter[Role] = Counter()

    @property
    def active(self) -> int:
        """Requests under way."""
        return self._callers.total()

    @contextmanager
    def of(self, caller: Role) -> Iterator[None]:
        """A place for one request; raises ResourceExhausted when there is none."""
        if self.active >= self._total:
            raise ResourceExhausted("too many requests at a time", retry_after=RETRY_SECONDS)
        if self._callers[caller] >= self._each:
            raise ResourceExhausted(
                f"too many requests of this caller at a time: {self._each} are allowed", retry_after=RETRY_SECONDS
            )
        self._callers[caller] += 1
        try:
            yield
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
