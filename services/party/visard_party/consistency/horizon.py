"""How far back the log of writes reaches: when finished writes and tombstones may be forgotten at all three parties. Pure.

A request that has expired is started by no party, so a write whose request expired long enough ago comes from nobody any more:
neither again, nor late. Its entry serves nothing once all three have finished it; nor does the tombstone that its deletion left,
for what it erased was committed everywhere before. The parties must forget alike, because they compare hashes of their logs. So
there is one horizon, a time that only grows: the hash counts what expired after it, and what expired before is deleted at
leisure. Party 0 moves it, and the others follow what they hear; so does party 0, after it has lost its own.

What is committed at one party is staged at all three. So where both peers have just said that nothing so old is pending with
them, they have finished whatever of it is committed here. Each party deletes on that evidence of its own, not because party 0
says so. New writes under way are in nobody's way: under a steady load all three hold the same at no moment.
"""

from dataclasses import dataclass, field

from visard_common.limits import LEADER, MAX_AHEAD_MS, MAX_EXPIRY_MS

from visard_party.consistency.sets import View

STEP_MS = 600_000  # it moves in steps, so that the parties' views differ in it for moments only


@dataclass
class Horizon:
    """``longest_ms`` is how long a run may last, after which no write of an expired request is under way anywhere."""

    party: int
    longest_ms: int
    at: int = 0
    forgotten: int = 0  # what expired before this is deleted here
    _heard: dict[int, tuple[View, int]] = field(default_factory=dict)  # and when

    def latest(self, now_unix_ms: int) -> int:
        """How far it may have moved by now."""
        return now_unix_ms - 2 * MAX_EXPIRY_MS - self.longest_ms

    def hear(self, peer: int, theirs: View, now_unix_ms: int) -> None:
        """What a peer has said; one that is ahead of any honest clock is not followed."""
        self._heard[peer] = (theirs, now_unix_ms)
        if self.at < theirs.horizon <= self.latest(now_unix_ms) + MAX_AHEAD_MS:
            self.at = theirs.horizon

    def lost(self, peer: int) -> None:
        """A link has ended: what that peer said is old, and the horizon stays until it is heard again."""
        self._heard.pop(peer, None)

    def finished(self, own: View, before_unix_ms: int, now_unix_ms: int) -> bool:
        """Whether all three have finished the writes that expired before this time, and what those may have erased.

        A deletion's request may have expired before that of the enrolment whose reference it erases, by as much as a request
        may be ahead and a run may last.
        """
        over = before_unix_ms + MAX_EXPIRY_MS + MAX_AHEAD_MS + self.longest_ms
        views = [own, *(view for view, heard in self._heard.values() if now_unix_ms - heard <= MAX_EXPIRY_MS)]
        return len(views) == 3 and not any(view.pending and view.pending_expires < over for view in views)

    def move(self, own: View, now_unix_ms: int) -> bool:
        """At party 0: whether it has moved."""
        wanted = self.latest(now_unix_ms) // STEP_MS * STEP_MS
        if self.party != LEADER or wanted <= self.at or not self.finished(own, wanted, now_unix_ms):
            return False
        self.at = wanted
        return True

    def due(self, own: View, now_unix_ms: int) -> int | None:
        """What expired before this is to be deleted now; None for nothing."""
        return self.at if self.at > self.forgotten and self.finished(own, self.at, now_unix_ms) else None
